import {z} from 'zod'
import type {KubeReader} from '../../../kubernetes/types.ts'
import type {NotReady} from '../../release/types.ts'

const requestSchema = z.looseObject({
  spec: z.looseObject({signerName: z.string(), username: z.string().optional()}),
  status: z.looseObject({conditions: z.array(z.unknown()).optional()}).optional(),
})

/** Kubelets whose newest request for a serving certificate waits: until then nobody reads the logs of their pods. */
export async function unapprovedKubelets(kube: KubeReader): Promise<readonly NotReady[]> {
  const apiVersion = 'certificates.k8s.io/v1'
  const kind = 'CertificateSigningRequest'
  const [requests, nodes] = await Promise.all([
    kube.list({apiVersion, kind}),
    kube.list({apiVersion: 'v1', kind: 'Node'}),
  ])
  const newest = new Map<
    string,
    {readonly name: string; readonly madeAt: string; readonly isDecided: boolean}
  >()
  for (const object of requests) {
    const {spec, status} = requestSchema.parse(object)
    if (spec.signerName !== 'kubernetes.io/kubelet-serving' || spec.username === undefined) continue
    const madeAt = object.metadata.creationTimestamp ?? ''
    const isDecided = (status?.conditions ?? []).length > 0
    const before = newest.get(spec.username)
    if (before === undefined || before.madeAt < madeAt || (before.madeAt === madeAt && isDecided))
      newest.set(spec.username, {name: object.metadata.name, madeAt, isDecided})
  }
  return nodes.flatMap(({metadata: {name: node}}): readonly NotReady[] => {
    const request = newest.get(`system:node:${node}`)
    if (request?.isDecided !== false) return []
    const problem = `the serving certificate of the kubelet of ${node} is not approved yet`
    return [{ref: {apiVersion, kind, name: request.name}, problem, isStuck: false}]
  })
}
