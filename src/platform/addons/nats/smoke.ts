import {z} from 'zod'
import {KubernetesError} from '../../../kubernetes/errors.ts'
import type {SmokeTools} from '../addon.ts'
import {NAMESPACE, PART} from './objects.ts'

const jetStreamSchema = z.looseObject({
  disabled: z.boolean().optional(),
  config: z.looseObject({store_dir: z.string()}).optional(),
})

/**
 * JetStream is enabled and has its volume. No message is sent: the programs of the bundle that run in pods of smoke tests
 * speak HTTP only.
 */
export async function smokeNats({kube, signal}: SmokeTools): Promise<void> {
  const path = `/api/v1/namespaces/${NAMESPACE}/services/${PART.name}:monitor/proxy/jsz?config=true`
  const {status, body} = await kube.fetch(path, signal)
  const parsed = status === 200 ? jetStreamSchema.safeParse(JSON.parse(body)) : undefined
  if (parsed?.data?.config?.store_dir.startsWith('/data') === true && parsed.data.disabled !== true) return
  throw new KubernetesError(
    'SMOKE_TEST_FAILED',
    `JetStream of NATS is not enabled: status ${status}: ${body.trim().slice(0, 300)}`,
    {suggestions: [`kubectl --namespace ${NAMESPACE} logs statefulset/${PART.name}`]},
  )
}
