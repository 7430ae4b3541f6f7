import {AbortError, errorMessage} from '../../base/errors.ts'
import {KubernetesError} from '../../kubernetes/errors.ts'
import type {KubeClient} from '../../kubernetes/types.ts'
import {specFromDocument} from '../../spec/load.ts'
import {z} from 'zod'
import {allMachines, recordOf} from '../session/clusters.ts'
import {roundTrip} from '../checkpoint/round-trip.ts'
import {openSession} from '../session/session.ts'
import {
  LABEL,
  PORT,
  reach,
  runClient,
  smokeNamespace,
  startServer,
  type Bench,
} from '../checkpoint/smoke-pods.ts'
import type {SessionTools, SmokeCheck, SmokeResult, Tools} from '../session/types.ts'

/**
 * Proves on the live cluster that DNS, pod to pod across nodes, services and the CRIU round trip work: a process with
 * a random token only in its memory is checkpointed, its pod deleted, and restored on another node, where it must
 * present the same token and a larger count.
 */
export async function smokeTest(
  name: string,
  options: {readonly keep: boolean},
  tools: SessionTools,
): Promise<SmokeResult> {
  await using _lock = await tools.store.lock(name, tools.run)
  const record = await recordOf(name, tools)
  const {endpoint} = record
  if (endpoint === undefined)
    throw new KubernetesError('API_UNREACHABLE', `cluster ${name} has no machines yet`)
  const spec = specFromDocument(record.document)
  await using session = await openSession(
    {
      spec,
      machines: allMachines(record),
      endpoint,
      ignorePreflight: [],
      concurrency: 20,
      withBundle: false,
      exclusive: true,
    },
    tools,
  )
  const kube = await session.clusterTools.kube()
  const namespace = `clouder-smoke-${tools.run.replace(/[^a-z0-9]+/gi, '-').toLowerCase()}`
    .slice(0, 63)
    .replace(/-$/, '')
  await sweep(kube, namespace)
  await kube.apply(smokeNamespace(namespace), tools.signal)
  const bench: Bench = {kube, session, namespace, nodes: await usableNodes(kube), signal: tools.signal}
  try {
    const checks: SmokeCheck[] = []
    for (const [title, check] of checksOf(spec.checkpoint.enabled))
      checks.push(await runCheck(title, check, bench, tools))
    return {cluster: name, passed: checks.every(({passed}) => passed), checks}
  } finally {
    if (!options.keep) await kube.delete({apiVersion: 'v1', kind: 'Namespace', name: namespace})
  }
}

type CheckTools = Pick<Tools, 'report' | 'signal' | 'now'>
type Check = (bench: Bench, progress: (text: string) => void, tools: CheckTools) => Promise<string>

const checksOf = (withCheckpoint: boolean): readonly (readonly [string, Check])[] => [
  ['Pod to pod across nodes', podToPod],
  ['Service', serviceWorks],
  ['DNS', dnsWorks],
  ...(withCheckpoint
    ? ([['Checkpoint and restore with memory on another node', criuRoundTrip]] as const)
    : []),
]

async function runCheck(title: string, check: Check, bench: Bench, tools: CheckTools): Promise<SmokeCheck> {
  const startedMs = tools.now()
  const task = 'smoke-test'
  tools.report({type: 'task-started', task, title})
  try {
    const detail = await check(bench, (text) => tools.report({type: 'task-progress', task, text}), tools)
    const durationMs = tools.now() - startedMs
    tools.report({type: 'task-done', task, durationMs, text: detail})
    return {name: title, passed: true, detail, durationMs}
  } catch (error) {
    if (tools.signal.aborted || error instanceof AbortError) throw error
    const message = errorMessage(error)
    const durationMs = tools.now() - startedMs
    tools.report({type: 'task-failed', task, durationMs, message})
    return {name: title, passed: false, detail: message, durationMs}
  }
}

/** Namespaces of smoke tests that were killed. */
async function sweep(kube: KubeClient, mine: string): Promise<void> {
  const left = await kube.list({apiVersion: 'v1', kind: 'Namespace', labelSelector: `${LABEL}=true`})
  for (const namespace of left) {
    if (namespace.metadata.name !== mine)
      await kube.delete({apiVersion: 'v1', kind: 'Namespace', name: namespace.metadata.name})
  }
}

const nodeSpecSchema = z.looseObject({
  unschedulable: z.boolean().optional(),
  taints: z.array(z.looseObject({effect: z.string()})).optional(),
})

async function usableNodes(kube: KubeClient): Promise<readonly [string, string]> {
  const nodes = await kube.list({apiVersion: 'v1', kind: 'Node'})
  const open = nodes.filter((node) => {
    const {unschedulable = false, taints = []} = nodeSpecSchema.parse(node['spec'] ?? {})
    return !unschedulable && !taints.some(({effect}) => effect !== 'PreferNoSchedule')
  })
  // The pods tolerate taints, so that a cluster of control planes, or with one worker, is tested across nodes too.
  const names = [...open, ...nodes.filter((node) => !open.includes(node))].map((node) => node.metadata.name)
  const [first, second = first] = names
  if (first === undefined || second === undefined)
    throw new KubernetesError('NOT_READY', 'the cluster has no nodes')
  return [first, second]
}

const podToPod: Check = async (bench) => {
  const [first, second] = bench.nodes
  const address = await startServer(bench, {name: 'server', node: first})
  await runClient(bench, 'client-pod', second, ['get', `http://${hostOf(address)}:${PORT}/`])
  return first === second ? `on ${first}, the only node` : `${second} reached ${address} on ${first}`
}

const hostOf = (address: string): string => (address.includes(':') ? `[${address}]` : address)

const serviceWorks: Check = async (bench) => {
  const service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {name: 'server', namespace: bench.namespace},
    spec: {selector: {app: 'server'}, ports: [{port: 80, targetPort: PORT, protocol: 'TCP'}]},
  }
  await bench.kube.apply([service], bench.signal)
  const live = await bench.kube.get({
    apiVersion: 'v1',
    kind: 'Service',
    namespace: bench.namespace,
    name: 'server',
  })
  const {clusterIP} = z.looseObject({clusterIP: z.string()}).parse(live?.['spec'])
  await reach(bench, 'client-service', `http://${hostOf(clusterIP)}/`)
  return `${bench.nodes[1]} reached the service at ${clusterIP}`
}

const dnsWorks: Check = async (bench) => {
  const name = `server.${bench.namespace}.svc.${bench.session.context.spec.network.dnsDomain}`
  await reach(bench, 'client-dns', `http://${name}/`)
  return `${name} resolved and reached`
}

const criuRoundTrip: Check = (bench, progress, tools) => roundTrip(bench, tools, progress)
