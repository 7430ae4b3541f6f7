import {z} from 'zod'
import {SYSTEM_NAMESPACE} from '../../api/names.ts'
import type {ClusterStep} from '../engine/types.ts'
import {TimeoutError} from '../../base/errors.ts'
import {KubernetesError} from '../../kubernetes/errors.ts'
import type {KubeObject, KubeReader} from '../../kubernetes/types.ts'
import {waitFor} from '../../base/waiting.ts'
import {unapprovedKubelets} from '../../platform/addons/checkpoint/serving.ts'
import type {ClouderPhase, ClusterTools, PhaseContext} from './context.ts'
import {
  failingContainers,
  lastLogLines,
  podsOutsideNetwork,
  systemPods,
  type PodProblem,
} from './ready/system-pods.ts'

const TIMEOUT_MS = 300_000

const nodeStatusSchema = z.looseObject({
  conditions: z
    .array(z.looseObject({type: z.string(), status: z.string(), reason: z.string().optional()}))
    .optional(),
})
const deploymentStatusSchema = z.looseObject({
  availableReplicas: z.int().optional(),
  replicas: z.int().optional(),
  updatedReplicas: z.int().optional(),
  observedGeneration: z.int().optional(),
})
const daemonSetStatusSchema = z.looseObject({
  desiredNumberScheduled: z.int().optional(),
  numberAvailable: z.int().optional(),
  updatedNumberScheduled: z.int().optional(),
  observedGeneration: z.int().optional(),
})

/** The gate at the end: /readyz, every node Ready, the network and DNS available, no pod of the system failing. */
export const readyPhase: ClouderPhase = {
  id: 'ready',
  title: 'Waiting until everything is ready',

  async plan(context) {
    const kube = await context.kube()
    if (kube === undefined) return [waitStep(context, 'there is no API server yet')]
    const {outside, problems} = await readiness(context, kube)
    if (problems.length === 0) return []
    return [...outside.map(replaceStep), waitStep(context, problems.join(', '))]
  },

  async diagnose(context) {
    const kube = await context.kube()
    if (kube === undefined) return ''
    const logs = (await readiness(context, kube)).failing.map((problem) => lastLogLines(kube, problem))
    return (await Promise.all(logs)).filter((text) => text !== '').join('\n')
  },
}

function waitStep(context: PhaseContext, reason: string): ClusterStep<ClusterTools> {
  return {
    summary: 'wait for the nodes and the system pods',
    reason,
    run: async (tools, stepContext) => {
      const api = await tools.kube()
      await waitFor({
        what: 'the cluster to be ready',
        check: async () => {
          const {problems} = await readiness(context, api)
          return problems.length === 0 ? {value: true, seen: 'ready'} : {seen: problems.join(', ')}
        },
        timeoutMs: TIMEOUT_MS,
        intervalMs: 300,
        signal: stepContext.signal,
        onSeen: (seen) => stepContext.progress(seen),
      }).catch((error: unknown) => {
        if (!(error instanceof TimeoutError)) throw error
        throw new KubernetesError('NOT_READY', error.message, {cause: error})
      })
    },
  }
}

/** A pod of the system keeps the address that it was made with: its Deployment makes another one. */
const replaceStep = ({pod, problem}: PodProblem): ClusterStep<ClusterTools> => ({
  summary: `delete pod ${pod.namespace ?? ''}/${pod.name}, so that it is created again with an address of the pod network`,
  reason: problem,
  run: async (tools) => (await tools.kube()).delete(pod),
})

export interface Readiness {
  /** Everything that is not ready yet, in words; empty when all is. */
  readonly problems: readonly string[]
  /** Containers of the system that do not start or keep ending; in `problems` too. */
  readonly failing: readonly PodProblem[]
  /** Pods of the system with addresses outside the pod network; in `problems` too. */
  readonly outside: readonly PodProblem[]
}

/** What is not ready yet. */
export async function readiness(
  context: Pick<PhaseContext, 'hosts' | 'spec'>,
  kube: KubeReader,
): Promise<Readiness> {
  const {cni, podCidr} = context.spec.network
  const networked = cni !== 'none'
  const [answer, nodes, workloads, pods] = await Promise.all([
    kube.fetch('/readyz'),
    kube.list({apiVersion: 'v1', kind: 'Node'}),
    networked ? unavailableWorkloads(kube, context.spec.checkpoint.enabled) : Promise.resolve([]),
    systemPods(kube),
  ])
  const failing = await failingContainers(kube, pods)
  // Which addresses pods get is the business of whoever brings the network.
  const outside = networked ? podsOutsideNetwork(pods, nodes, podCidr) : []
  const byName = new Map(nodes.map((node) => [node.metadata.name, node]))
  const open = context.hosts.flatMap(({machine}) => {
    const node = byName.get(machine.name)
    if (node === undefined) return [`node ${machine.name} is absent`]
    if (!networked) return []
    const problem = nodeProblem(node) ?? nodePressure(node)
    return problem === undefined ? [] : [problem]
  })
  const serving = networked && context.spec.checkpoint.enabled ? await unapprovedKubelets(kube) : []
  const problems = [
    ...(answer.status === 200 ? [] : [`/readyz returns ${answer.status}`]),
    ...open,
    ...workloads,
    ...serving.map(({problem}) => problem),
    ...[...failing, ...outside].map(({problem}) => problem),
  ]
  return {problems, failing, outside}
}

/** Why a node is not Ready; undefined when it is. */
export function nodeProblem(node: KubeObject): string | undefined {
  const {conditions = []} = nodeStatusSchema.parse(node['status'] ?? {})
  const condition = conditions.find(({type}) => type === 'Ready')
  if (condition?.status === 'True') return undefined
  return `node ${node.metadata.name} is not Ready (${condition?.reason ?? 'no condition yet'})`
}

/** Why a node that is Ready takes no pods; undefined when it does. */
export function nodePressure(node: KubeObject): string | undefined {
  const {conditions = []} = nodeStatusSchema.parse(node['status'] ?? {})
  const pressure = conditions.find(({type, status}) => type.endsWith('Pressure') && status === 'True')
  return pressure === undefined ? undefined : `node ${node.metadata.name} accepts no pods: ${pressure.type}`
}

async function unavailableWorkloads(kube: KubeReader, withCheckpoint: boolean): Promise<string[]> {
  const lacking = await Promise.all([
    lackingDaemon(kube, 'flannel', 'kube-flannel', 'kube-flannel-ds'),
    lackingDaemon(kube, 'kube-proxy', 'kube-system', 'kube-proxy'),
    lackingDeployment(kube, 'CoreDNS', 'kube-system', 'coredns'),
    ...(withCheckpoint
      ? [
          lackingDaemon(kube, 'the node agent', SYSTEM_NAMESPACE, 'clouder-node-agent'),
          lackingDeployment(kube, 'the checkpoint controller', SYSTEM_NAMESPACE, 'clouder-controller'),
        ]
      : []),
  ])
  return lacking.flat()
}

async function lackingDaemon(
  kube: KubeReader,
  title: string,
  namespace: string,
  name: string,
): Promise<readonly string[]> {
  const object = await kube.get({apiVersion: 'apps/v1', kind: 'DaemonSet', namespace, name})
  const {
    desiredNumberScheduled: wanted = 0,
    numberAvailable: there = 0,
    updatedNumberScheduled: updated = wanted,
    observedGeneration,
  } = daemonSetStatusSchema.parse(object?.['status'] ?? {})
  if (!isSeen(object, observedGeneration) || updated < wanted) return [`${title} is being replaced`]
  return wanted > 0 && there >= wanted ? [] : [`${title} is available on ${there} of ${wanted} nodes`]
}

/** Whether a status tells of the object as it was last written; one that does not say is believed. */
const isSeen = (object: KubeObject | undefined, observedGeneration: number | undefined): boolean =>
  observedGeneration === undefined || observedGeneration === object?.metadata['generation']

async function lackingDeployment(
  kube: KubeReader,
  title: string,
  namespace: string,
  name: string,
): Promise<readonly string[]> {
  const object = await kube.get({apiVersion: 'apps/v1', kind: 'Deployment', namespace, name})
  const {
    availableReplicas = 0,
    replicas = 0,
    updatedReplicas = replicas,
    observedGeneration,
  } = deploymentStatusSchema.parse(object?.['status'] ?? {})
  if (!isSeen(object, observedGeneration) || updatedReplicas < replicas) return [`${title} is being replaced`]
  return availableReplicas < 1 ? [`${title} has no available pod`] : []
}
