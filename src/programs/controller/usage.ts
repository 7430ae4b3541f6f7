import {z} from 'zod'
import {SYSTEM_NAMESPACE} from '../../api/names.ts'
import {readAtMost} from '../../base/bounded.ts'
import {USAGE_PATH, usageSchema, type Usage} from '../../api/usage.ts'
import {askPeer, peerKeyOf} from '../../operator/peer-tls.ts'
import {podSchema} from '../../kubernetes/pod.ts'
import type {KubeClient} from '../../kubernetes/types.ts'
import {parsed, type Objects} from './reconcile-context.ts'

const AGENT = 'clouder-node-agent'
const ANSWER_MS = 5_000
const MAX_USAGE_BYTES = 1024 ** 2

const keySchema = z.looseObject({data: z.looseObject({'peer-key': z.base64()})})

/** Asks the agent of a node. Throws Error, which says why nothing is known. */
export async function askUsage(
  node: string,
  objects: Objects,
  {
    kube,
    port,
    signal,
  }: {
    readonly kube: Pick<KubeClient, 'get'>
    /** On which agents answer each other. */
    readonly port: number
    readonly signal: AbortSignal
  },
): Promise<Usage> {
  const agents = parsed(
    objects
      .list('Pod', SYSTEM_NAMESPACE)
      .filter(({metadata}) => metadata.labels?.['app.kubernetes.io/name'] === AGENT),
    podSchema,
  )
  const address = agents.find(({spec}) => spec.nodeName === node)?.status.podIP
  if (address === undefined) throw new Error(`node ${node} has no node agent`)
  const secret = {apiVersion: 'v1', kind: 'Secret', namespace: SYSTEM_NAMESPACE, name: 'checkpoint-key'}
  const {data} = keySchema.parse(await kube.get(secret))
  const response = await askPeer({
    host: address,
    port,
    path: USAGE_PATH,
    key: peerKeyOf(Buffer.from(data['peer-key'], 'base64').toString('utf8')),
    signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]),
  })
  if (response.statusCode !== 200) {
    response.destroy()
    throw new Error(`the node agent of ${node} responded with HTTP status ${response.statusCode}`)
  }
  return usageSchema.parse(
    JSON.parse((await readAtMost(response, USAGE_PATH, MAX_USAGE_BYTES)).toString('utf8')),
  )
}
