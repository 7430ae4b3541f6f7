import {z} from 'zod'
import type {HostReader} from '../../hosts/host.ts'
import type {KubeReader} from '../../../kubernetes/types.ts'

const requestSchema = z.looseObject({
  spec: z.looseObject({signerName: z.string(), username: z.string().optional()}),
  status: z.looseObject({conditions: z.array(z.unknown()).optional()}).optional(),
})

/** Kubelets whose newest request for a serving certificate waits: until then nobody reads the logs of their pods. */
export async function unapproved(hosts: readonly HostReader[], kube: KubeReader): Promise<readonly string[]> {
  const requests = await kube.list({apiVersion: 'certificates.k8s.io/v1', kind: 'CertificateSigningRequest'})
  const newest = new Map<string, {readonly madeAt: string; readonly isDecided: boolean}>()
  for (const object of requests) {
    const {spec, status} = requestSchema.parse(object)
    if (spec.signerName !== 'kubernetes.io/kubelet-serving' || spec.username === undefined) continue
    const madeAt = object.metadata.creationTimestamp ?? ''
    const isDecided = (status?.conditions ?? []).length > 0
    const before = newest.get(spec.username)
    if (before === undefined || before.madeAt < madeAt || (before.madeAt === madeAt && isDecided))
      newest.set(spec.username, {madeAt, isDecided})
  }
  return hosts.flatMap(({machine: {name}}) =>
    newest.get(`system:node:${name}`)?.isDecided === false
      ? [`the serving certificate of the kubelet of ${name} is not approved yet`]
      : [],
  )
}
