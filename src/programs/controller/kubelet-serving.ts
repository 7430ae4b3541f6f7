import {isIPv4, SocketAddress} from 'node:net'
import {z} from 'zod'
import {refOf} from '../../kubernetes/refs.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import {parseCertificateRequest, type CertificateRequest} from './certificate-request.ts'
import {timeText} from '../../base/time.ts'
import type {Reconciler, ReconcileContext} from './reconcile-context.ts'

const SIGNER = 'kubernetes.io/kubelet-serving'
const USER = 'system:node:'
const GROUP = 'system:nodes'
const USAGES = new Set(['digital signature', 'key encipherment', 'server auth'])
/** A node tells its addresses a moment after it asks. */
const AGAIN_MS = 5000
const KUBERNETES = {apiVersion: 'v1', kind: 'Service', namespace: 'default', name: 'kubernetes'} as const

export const signingRequestSchema = z.looseObject({
  spec: z.looseObject({
    request: z.string(),
    signerName: z.string(),
    username: z.string().default(''),
    groups: z.array(z.string()).default([]),
    usages: z.array(z.string()).default([]),
  }),
  status: z.looseObject({conditions: z.array(z.looseObject({type: z.string()})).optional()}).optional(),
})
export type SigningRequest = z.output<typeof signingRequestSchema>

const nodeSchema = z.looseObject({
  status: z
    .looseObject({addresses: z.array(z.looseObject({type: z.string(), address: z.string()})).default([])})
    .default({addresses: []}),
})
const serviceSchema = z.looseObject({
  spec: z.looseObject({clusterIP: z.string().optional(), clusterIPs: z.array(z.string()).optional()}),
})

/**
 * Approves serving certificates of kubelets by rule: a node may have one for its own name and its own addresses. Any
 * other request stays as it is, for whoever may approve it by hand.
 */
export const kubeletServingReconciler: Reconciler = {
  name: 'kubelet-serving',
  kind: 'CertificateSigningRequest',
  async reconcile(object, context) {
    const {spec, status} = signingRequestSchema.parse(object)
    if (spec.signerName !== SIGNER || (status?.conditions ?? []).length > 0) return undefined
    const problem = refusal(spec, {
      nodes: context.objects.list('Node'),
      reserved: await clusterAddresses(context),
    })
    if (problem !== undefined) {
      context.log('warn', 'did not approve a serving certificate', {
        request: object.metadata.name,
        user: spec.username,
        why: problem,
      })
      return {requeueAfterMs: AGAIN_MS}
    }
    await approve(object, context)
    return undefined
  },
}

/** Addresses of the API server inside the cluster: a node that serves there would be it. */
async function clusterAddresses(context: ReconcileContext): Promise<readonly string[]> {
  const service = await context.kube.get(KUBERNETES)
  if (service === undefined) return []
  const {clusterIP, clusterIPs = []} = serviceSchema.parse(service).spec
  return clusterIP === undefined ? clusterIPs : [clusterIP, ...clusterIPs]
}

/** Why a request is not approved; undefined: it is what the kubelet of that node may have. */
export function refusal(
  spec: SigningRequest['spec'],
  {nodes, reserved}: {readonly nodes: readonly KubeObject[]; readonly reserved: readonly string[]},
): string | undefined {
  if (!spec.username.startsWith(USER) || !spec.groups.includes(GROUP)) return 'the requester is not a node'
  const name = spec.username.slice(USER.length)
  if (!spec.usages.includes('server auth') || !spec.usages.every((usage) => USAGES.has(usage)))
    return 'its usages are not those of a serving certificate'
  const asked = read(spec.request)
  if (typeof asked === 'string') return asked
  if (asked.commonName !== spec.username || asked.organisations.join() !== GROUP)
    return 'its subject is not the requester'
  if (asked.dnsNames.length + asked.ipAddresses.length === 0)
    return 'it contains no DNS name and no IP address'
  const strange = asked.dnsNames.find((dnsName) => dnsName !== name)
  if (strange !== undefined) return `DNS name ${strange} is not the name of the node`
  const addresses = new Map(nodes.map((node) => [node.metadata.name, addressesOf(node)]))
  const own = addresses.get(name)
  if (own === undefined) return `node ${name} not found`
  addresses.delete(name)
  const others = new Set([
    ...[...addresses.values()].flatMap((each) => [...each]),
    ...reserved.flatMap(bytesOf),
  ])
  const foreign = asked.ipAddresses.find((address) => !own.has(address) || others.has(address))
  return foreign === undefined ? undefined : `IP address ${foreign} (hex) does not belong to this node only`
}

function read(base64: string): CertificateRequest | string {
  try {
    return parseCertificateRequest(Buffer.from(base64, 'base64').toString('latin1'))
  } catch (error) {
    if (!(error instanceof RangeError || error instanceof TypeError)) throw error
    return `the certificate request cannot be parsed: ${error.message}`
  }
}

const addressesOf = (node: KubeObject): ReadonlySet<string> =>
  new Set(nodeSchema.parse(node).status.addresses.flatMap(({address}) => bytesOf(address)))

/** An address as a certificate has it, hex; none for a name. */
function bytesOf(address: string): readonly string[] {
  if (isIPv4(address)) return [Buffer.from(address.split('.').map(Number)).toString('hex')]
  const parsed = SocketAddress.parse(`[${address}]:0`)
  if (parsed?.family !== 'ipv6') return []
  const [head = '', tail] = parsed.address.split('::')
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':'))
  const before = groups(head)
  const after = groups(tail ?? '')
  const zeros = Array.from({length: tail === undefined ? 0 : 8 - before.length - after.length}, () => '0')
  return [[...before, ...zeros, ...after].map((group) => group.padStart(4, '0')).join('')]
}

async function approve(object: KubeObject, context: ReconcileContext): Promise<void> {
  context.signal.throwIfAborted()
  const {name, resourceVersion} = object.metadata
  const condition = {
    type: 'Approved',
    status: 'True',
    reason: 'NodeServesItself',
    message: "approved by clouder: it contains only the node's own name and addresses",
    lastUpdateTime: timeText(context.now()),
  }
  await context.kube.patch(
    refOf(object),
    {status: {conditions: [condition]}},
    {subresource: 'approval', resourceVersion},
  )
  context.log('info', 'approved a serving certificate', {request: name})
}
