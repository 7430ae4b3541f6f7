import {z} from 'zod'
import type {ConfigProblem} from '../../base/errors.ts'
import {nodeSchema, parsePod, quantity, type Node, type Pod} from '../../kubernetes/pod.ts'
import type {KubeObject, KubeReader} from '../../kubernetes/types.ts'
import type {Preflight, Service} from './stack-schema.ts'

export interface PreflightTools {
  readonly kube: KubeReader
  /** Throws where the name has no address. */
  readonly resolveName: (name: string) => Promise<unknown>
}

/** Provisioners whose volumes many nodes can write to. */
const SHARED_PROVISIONERS =
  /(^|[./-])(nfs|efs|file|cephfs|glusterfs|seaweedfs|juicefs|longhorn|beegfs|lustre)([./-]|$)/
/** What a StorageClass says of itself where its provisioner is none of these. */
const SHARED_LABEL = 'clouder.dev/shared-volumes'
const DEFAULT_CLASS = 'storageclass.kubernetes.io/is-default-class'

/** What the cluster lacks for these services, each with the path in stack.yaml. `installed`: capacity is theirs already. */
export async function preflight(
  services: readonly Service[],
  installed: ReadonlySet<string>,
  tools: PreflightTools,
): Promise<readonly ConfigProblem[]> {
  const cluster = clusterOf(tools.kube)
  const found = await Promise.all(
    services.map(async ({name, preflight: wanted}) => {
      const isInstalled = installed.has(name)
      const problems = await problemsOf(wanted, isInstalled, cluster, tools)
      return problems.map(([key, value, problem]) => ({
        path: `services.${name}.preflight.${key}`,
        value,
        problem,
      }))
    }),
  )
  return [
    ...found.flat(),
    ...(await capacityProblems(
      services.filter(({name}) => !installed.has(name)),
      cluster,
    )),
  ]
}

type Problem = readonly [key: string, value: unknown, problem: string]

/** Lists of the cluster, each read once and only when a service asks for it. */
interface Cluster {
  readonly classes: () => Promise<readonly KubeObject[]>
  readonly nodes: () => Promise<readonly Node[]>
  readonly pods: () => Promise<readonly Pod[]>
  readonly balancers: () => Promise<string | undefined>
}

function clusterOf(kube: KubeReader): Cluster {
  const once = <T>(read: () => Promise<T>): (() => Promise<T>) => {
    let value: Promise<T> | undefined
    return () => (value ??= read())
  }
  const nodes = once(async () =>
    (await kube.list({apiVersion: 'v1', kind: 'Node'})).map((node) => nodeSchema.parse(node)),
  )
  return {
    nodes,
    classes: once(() => kube.list({apiVersion: 'storage.k8s.io/v1', kind: 'StorageClass'})),
    pods: once(async () => (await kube.list({apiVersion: 'v1', kind: 'Pod'})).map(parsePod)),
    balancers: once(() => balancerOf(kube)),
  }
}

async function problemsOf(
  wanted: Preflight,
  isInstalled: boolean,
  cluster: Cluster,
  tools: PreflightTools,
): Promise<readonly Problem[]> {
  const problems: Problem[] = []
  const {storageClass, rwx, loadBalancer, dns, nodeLabels} = wanted
  if (storageClass !== undefined) {
    const classes = await cluster.classes()
    const isThere =
      storageClass === true
        ? classes.some(({metadata}) => metadata.annotations?.[DEFAULT_CLASS] === 'true')
        : classes.some(({metadata}) => metadata.name === storageClass)
    if (!isThere) {
      problems.push([
        'storageClass',
        storageClass,
        `${storageClass === true ? 'no StorageClass is the default' : 'is not a StorageClass of the cluster'}; ${namesOf(classes)}`,
      ])
    }
  }
  if (rwx !== undefined) {
    const classes = await cluster.classes()
    const found = classes.find(({metadata}) => metadata.name === rwx)
    if (found === undefined)
      problems.push(['rwx', rwx, `is not a StorageClass of the cluster; ${namesOf(classes)}`])
    else if (!isShared(found)) {
      problems.push([
        'rwx',
        rwx,
        `has provisioner ${String(found['provisioner'])}, which is not known to make shared volumes; label it ${SHARED_LABEL}=true if it does`,
      ])
    }
  }
  if (loadBalancer && !isInstalled && (await cluster.balancers()) === undefined) {
    problems.push([
      'loadBalancer',
      true,
      'no controller gives Services of type LoadBalancer an address: no such Service has one, there is no cloud provider and no MetalLB',
    ])
  }
  if (Object.keys(nodeLabels).length > 0) {
    const fits = (await cluster.nodes()).some(
      (node) =>
        isUsable(node) &&
        Object.entries(nodeLabels).every(([key, value]) => node.metadata.labels[key] === value),
    )
    if (!fits)
      problems.push(['nodeLabels', nodeLabels, 'no node that is Ready and schedulable has all of them'])
  }
  const names = await Promise.all(
    dns.map(async (name, index) =>
      (await resolves(name, tools)) ? [] : [[`dns[${index}]`, name, 'has no address'] as const],
    ),
  )
  return [...problems, ...names.flat()]
}

const namesOf = (classes: readonly KubeObject[]): string =>
  classes.length === 0
    ? 'the cluster has none'
    : `the cluster has ${classes.map(({metadata}) => metadata.name).join(', ')}`

const isShared = (object: KubeObject): boolean =>
  object.metadata.labels?.[SHARED_LABEL] === 'true' || SHARED_PROVISIONERS.test(String(object['provisioner']))

async function resolves(name: string, {resolveName}: PreflightTools): Promise<boolean> {
  try {
    await resolveName(name)
    return true
  } catch {
    return false
  }
}

const isUsable = ({spec, status}: Node): boolean =>
  spec.unschedulable !== true &&
  (status.conditions ?? []).some(({type, status: is}) => type === 'Ready' && is === 'True')

const balancedSchema = z.looseObject({
  spec: z.looseObject({type: z.string().optional()}).optional(),
  status: z
    .looseObject({loadBalancer: z.looseObject({ingress: z.array(z.unknown()).optional()}).optional()})
    .optional(),
})

/** What gives Services of type LoadBalancer their addresses, in words. */
async function balancerOf(kube: KubeReader): Promise<string | undefined> {
  const [services, pools, nodes] = await Promise.all([
    kube.list({apiVersion: 'v1', kind: 'Service'}),
    kube.list({apiVersion: 'metallb.io/v1beta1', kind: 'IPAddressPool'}),
    kube.list({apiVersion: 'v1', kind: 'Node'}),
  ])
  if (pools.length > 0) return 'MetalLB'
  const served = services.some((service) => {
    const {spec, status} = balancedSchema.parse(service)
    return spec?.type === 'LoadBalancer' && (status?.loadBalancer?.ingress ?? []).length > 0
  })
  if (served) return 'a controller'
  const providerIds = nodes.map(
    (node) => z.looseObject({providerID: z.string().optional()}).parse(node['spec'] ?? {}).providerID,
  )
  return providerIds.some((id) => /^(aws|azure|gce):/.test(id ?? '')) ? 'the cloud provider' : undefined
}

/** All that is to be installed must fit together. */
async function capacityProblems(
  services: readonly Service[],
  cluster: Cluster,
): Promise<readonly ConfigProblem[]> {
  const asking = services.filter(({preflight: {capacity}}) => capacity !== undefined)
  if (asking.length === 0) return []
  const [nodes, pods] = await Promise.all([cluster.nodes(), cluster.pods()])
  const usable = nodes.filter(isUsable)
  const names = new Set(usable.map(({metadata}) => metadata.name))
  const active = pods.filter(
    ({spec, status}) =>
      names.has(spec.nodeName ?? '') && status.phase !== 'Succeeded' && status.phase !== 'Failed',
  )
  return (['cpu', 'memory'] as const).flatMap((key) => {
    const own = asking.filter(({preflight: {capacity}}) => capacity?.[key] !== undefined)
    const wanted = own.reduce((sum, {preflight: {capacity}}) => sum + quantity(capacity?.[key] ?? '0'), 0)
    const all = usable.reduce((sum, {status}) => sum + quantity(status.allocatable?.[key] ?? '0'), 0)
    const used = active.reduce((sum, pod) => sum + requestOf(pod, key), 0)
    if (wanted <= all - used) return []
    const shown = (amount: number): string =>
      key === 'cpu' ? String(Math.round(amount * 1000) / 1000) : `${Math.round(amount / 2 ** 20)}Mi`
    const problem = `services that are to be installed need ${shown(wanted)} of ${key} together, ${shown(all - used)} is free`
    return own.map(({name, preflight: {capacity}}) => ({
      path: `services.${name}.preflight.capacity.${key}`,
      value: capacity?.[key],
      problem,
    }))
  })
}

const requestOf = ({spec}: Pod, key: 'cpu' | 'memory'): number =>
  spec.containers.reduce((sum, {resources}) => sum + quantity(resources?.requests?.[key] ?? '0'), 0)
