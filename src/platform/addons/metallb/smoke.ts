import {waitFor} from '../../../base/waiting.ts'
import {z} from 'zod'
import type {SmokeTools} from '../addon.ts'
import {waitAnswer, waitBalancer} from '../balancers.ts'
import {SMOKE_PORT, startPod} from '../smoke-pods.ts'
import {NAMESPACE} from './objects.ts'

const ANNOUNCED_MS = 60_000
const NAME = 'balanced'

const announcedSchema = z.looseObject({
  status: z
    .looseObject({
      node: z.string().optional(),
      serviceName: z.string().optional(),
      serviceNamespace: z.string().optional(),
    })
    .default({}),
})

/** A service gets an address, a node announces it, and it answers. */
export async function smokeMetalLb(tools: SmokeTools): Promise<void> {
  const {kube, namespace, signal, progress} = tools
  const image = tools.facts.image('smoke')
  await startPod(tools, {name: NAME, image, args: ['serve'], serves: true})
  const service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {name: NAME, namespace},
    spec: {
      type: 'LoadBalancer',
      selector: {app: NAME},
      ports: [{port: 80, targetPort: SMOKE_PORT, protocol: 'TCP'}],
    },
  }
  await kube.apply([service], signal)
  const address = await waitBalancer(tools, NAME)
  progress(`waiting for a node that announces ${address}`)
  await waitFor({
    what: `a node to announce ${address}`,
    check: async () => {
      const states = await kube.list({
        apiVersion: 'metallb.io/v1beta1',
        kind: 'ServiceL2Status',
        namespace: NAMESPACE,
      })
      const mine = states
        .map((state) => announcedSchema.parse(state).status)
        .find((status) => status.serviceName === NAME && status.serviceNamespace === namespace)
      return mine?.node === undefined ? {seen: 'no ServiceL2Status names it'} : {value: true, seen: mine.node}
    },
    timeoutMs: ANNOUNCED_MS,
    intervalMs: 500,
    signal,
  })
  await waitAnswer(tools, 'client', `http://${address}/`)
}
