import {z} from 'zod'
import {isAtLeast} from '../../base/versions.ts'
import {canServePages, isSupported, type CopyFeatures} from '../../checkpoint/copy-features.ts'
import {diagnose, type Cause} from '../../checkpoint/archive/diagnose.ts'
import {BACKEND_LABELS, NODE_FEATURES_ANNOTATION, SYSTEM_NAMESPACE} from '../../api/names.ts'
import {findPodCheckpoints} from '../../checkpoint/native.ts'
import {nodeSchema, podSchema, type Node, type Pod} from '../../kubernetes/pod.ts'
import {backends, type Backend} from '../../api/resources.ts'
import type {HostReader} from '../../bootstrap/hosts/host.ts'
import type {KubeReader} from '../../kubernetes/types.ts'
import type {PodTarget} from './objects.ts'
import {needNode, runningPod} from './objects.ts'
import type {CheckpointNodes} from './cluster.ts'
import type {CheckpointFinding} from './finding.ts'
import {listCheckpoints} from './checkpoint.ts'
import {lazyTargets, type LazyTargets} from './move-plan.ts'
import {podFindings} from './pod-look.ts'
import {probeRoundTrip} from './probe.ts'
import type {Tools} from '../session/types.ts'

export interface DoctorNode extends Partial<CopyFeatures> {
  readonly node: string
  readonly backends: readonly Backend[]
  readonly kernel: string | undefined
  readonly criu: string | undefined
  readonly runtime: string | undefined
  /** How it dumps containers; undefined: not known. */
  readonly dump: string | undefined
}

export interface CheckpointDoctorResult {
  readonly healthy: boolean
  readonly nodes: readonly DoctorNode[]
  readonly findings: readonly CheckpointFinding[]
  /** API version in which Kubernetes serves its own PodCheckpoint, which clouder does not use; absent: in none. */
  readonly podCheckpoint?: string
  /** Where the pod can be moved with post-copy; absent: no pod was asked about. */
  readonly postCopy?: LazyTargets
  /** What the live round trip said; absent: not tried. */
  readonly probe?: string
}

export interface DoctorOptions {
  /** Absent: every node. */
  readonly node?: string
  readonly pod?: PodTarget
  /** Whether to checkpoint and restore a process of our own. */
  readonly probe: boolean
}

/** Whether checkpoint and restore work on the nodes, or for a pod, with the reasons why not. */
export async function examineCheckpoints(
  opened: CheckpointNodes,
  options: DoctorOptions,
  tools: Pick<Tools, 'now' | 'report' | 'signal'>,
): Promise<CheckpointDoctorResult> {
  const {kube, session} = opened
  if (options.node !== undefined) await needNode(kube, options.node)
  const pod = options.pod === undefined ? undefined : await runningPod(kube, options.pod)
  const only = options.node ?? pod?.spec.nodeName
  const all = (await kube.list({apiVersion: 'v1', kind: 'Node'})).map((node) => nodeSchema.parse(node))
  const nodes = all.filter(({metadata}) => only === undefined || metadata.name === only)
  const agents = await agentNodes(kube)
  const looked = []
  for (const node of nodes) {
    const host = session.hosts.find(({name}) => name === node.metadata.name)
    looked.push(await examineNode(node, agents, host, session.context.renderer, tools.signal))
  }
  const findings = [
    ...looked.flatMap(({findings: found}) => found),
    ...(pod === undefined ? [] : podFindings(pod)),
    ...(pod === undefined ? [] : await lastFailure(kube, pod)),
  ]
  const podCheckpoint = await findPodCheckpoints(kube, tools.signal)
  const told = {
    nodes: looked.map(({node}) => node),
    ...(podCheckpoint === undefined ? {} : {podCheckpoint}),
    ...(pod === undefined ? {} : {postCopy: lazyTargets(pod, all)}),
  }
  const isBlocked = findings.some(({weight}) => weight === 'blocks')
  if (!options.probe || pod !== undefined || isBlocked) return {healthy: !isBlocked, findings, ...told}
  const outcome = await probeRoundTrip(opened, probedNodes(nodes), tools)
  return 'problem' in outcome
    ? {healthy: false, findings: [...findings, outcome], ...told}
    : {healthy: true, findings, ...told, probe: outcome.said}
}

/** From the first to the second node that takes pods, or on the one that was asked about. */
function probedNodes(nodes: readonly Node[]): readonly [string, string] {
  const open = nodes.filter(({spec}) => spec.unschedulable !== true)
  const workers = open.filter(
    ({spec}) => !(spec.taints ?? []).some(({effect}) => effect !== 'PreferNoSchedule'),
  )
  const [first, second] = [...workers, ...open.filter((node) => !workers.includes(node)), ...nodes]
  const from = first?.metadata.name ?? ''
  return [from, second?.metadata.name ?? from]
}

async function agentNodes(kube: KubeReader): Promise<ReadonlySet<string>> {
  const pods = await kube.list({
    apiVersion: 'v1',
    kind: 'Pod',
    namespace: SYSTEM_NAMESPACE,
    labelSelector: 'app.kubernetes.io/name=clouder-node-agent',
  })
  const running = pods
    .map((pod) => podSchema.parse(pod))
    .filter(({status}) =>
      (status.conditions ?? []).some(({type, status: is}) => type === 'Ready' && is === 'True'),
    )
  return new Set(running.flatMap(({spec}) => spec.nodeName ?? []))
}

const toldSchema = z.looseObject({
  kernel: z.string().optional(),
  criu: z.string().optional(),
  runtime: z.string().optional(),
  precopy: z.boolean().optional(),
  postcopy: z.boolean().optional(),
  dump: z.string().optional(),
})

function nodeFeaturesOf({metadata}: Node): z.output<typeof toldSchema> {
  const text = metadata.annotations[NODE_FEATURES_ANNOTATION]
  if (text === undefined) return {}
  try {
    return toldSchema.parse(JSON.parse(text))
  } catch {
    return {}
  }
}

async function examineNode(
  node: Node,
  agents: ReadonlySet<string>,
  host: HostReader | undefined,
  renderer: Tools['renderer'],
  signal: AbortSignal,
): Promise<{node: DoctorNode; findings: readonly CheckpointFinding[]}> {
  const {name} = node.metadata
  const found = backends.filter((backend) => node.metadata.labels[BACKEND_LABELS[backend]] === 'true')
  const {kernel, criu, runtime, dump, ...told} = nodeFeaturesOf(node)
  const seen = host === undefined ? undefined : await examineCriu(host, renderer, signal)
  const {precopy = seen?.precopy, postcopy = seen?.postcopy} = told
  const blocks = (check: string, problem: string, fix: string): CheckpointFinding => ({
    where: name,
    check,
    weight: 'blocks',
    problem,
    fix,
  })
  const findings = [
    ...(agents.has(name)
      ? []
      : [
          blocks(
            'Agent',
            'the node agent is not ready on this node',
            `clouder kubectl -- logs --namespace ${SYSTEM_NAMESPACE} --selector app.kubernetes.io/name=clouder-node-agent`,
          ),
        ]),
    ...(agents.has(name) && found.length === 0
      ? [
          blocks(
            'Backend',
            'its runtime supports none of the restore backends: Handler (containerd 2.x), checkpoint images (containerd 2.1 to 2.3, opt-in), PodCheckpoint (a future Kubernetes)',
            'set up the handler: clouder kubeadm init CLUSTER',
          ),
        ]
      : []),
    ...(seen?.problems ?? []).map(({check, problem}) =>
      blocks(check, problem, 'install the CRIU of the bundle: clouder kubeadm init CLUSTER'),
    ),
  ]
  return {
    node: {
      ...{node: name, backends: found, kernel: kernel ?? host?.facts.kernel, criu, runtime, dump},
      ...(precopy === undefined ? {} : {precopy}),
      ...(postcopy === undefined ? {} : {postcopy}),
    },
    findings,
  }
}

interface CriuSeen extends Partial<CopyFeatures> {
  readonly problems: readonly {readonly check: string; readonly problem: string}[]
}

const [DIRTY_PAGES, FILLED_PAGES] = ['mem_dirty_track', 'uffd-noncoop'] as const

/** What CRIU itself says on the node. */
async function examineCriu(
  host: HostReader,
  renderer: Tools['renderer'],
  signal: AbortSignal,
): Promise<CriuSeen> {
  const features = [DIRTY_PAGES, FILLED_PAGES]
  const text = renderer.render('criu/probe.sh', {paths: [], folders: [], memoryUnit: '', features})
  const {stdout} = await host.queryScript({name: 'criu/probe.sh', text}, {signal})
  const said = new Map(
    stdout.split('\n').map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  )
  const problems = criuProblems(host, said.get('version'), said.get('check'))
  const [dirty, filled] = [said.get(`feature-${DIRTY_PAGES}`), said.get(`feature-${FILLED_PAGES}`)]
  const limits = {pipeMaxBytes: Number(said.get('pipe') ?? 0), boundingSet: said.get('bounding') ?? '0'}
  return {
    problems,
    ...(dirty === undefined ? {} : {precopy: isSupported(DIRTY_PAGES, dirty)}),
    ...(filled === undefined ? {} : {postcopy: isSupported(FILLED_PAGES, filled) && canServePages(limits)}),
  }
}

function criuProblems(
  host: HostReader,
  version: string | undefined,
  check: string | undefined,
): CriuSeen['problems'] {
  if (version === undefined || version === '')
    return [{check: 'CRIU', problem: 'CRIU is not installed or does not start'}]
  if (check !== 'ok')
    return [{check: 'CRIU', problem: `criu check of CRIU ${version} fails: ${check ?? 'no output'}`}]
  const isOld = !isAtLeast(version, '4.2')
  const isNewKernel = isAtLeast(host.facts.kernel, '6.16')
  return isOld && isNewKernel
    ? [
        {
          check: 'CRIU',
          problem: `CRIU ${version} cannot dump TCP sockets on kernel ${host.facts.kernel}; CRIU 4.2 can`,
        },
      ]
    : []
}

/** What the last checkpoint of the pod failed of, in CRIU's words. */
async function lastFailure(kube: KubeReader, pod: Pod): Promise<readonly CheckpointFinding[]> {
  const {namespace, name, uid} = pod.metadata
  const all = await listCheckpoints(kube, namespace)
  const last = all.findLast(({spec, status}) => spec.podRef?.name === name && status?.podUID === uid)
  const {phase, reason, message = ''} = last?.status ?? {}
  if (phase !== 'Failed') return []
  const finding = (problem: string, fix: string): CheckpointFinding => ({
    where: `${namespace}/${name}`,
    check: `Last checkpoint ${last?.metadata.name ?? ''}`,
    weight: 'blocks',
    problem,
    fix,
  })
  // The agent puts CRIU's lines one behind the other.
  const causes = diagnose(message.replaceAll('; ', '\n'))
  return causes.length === 0
    ? [finding(`${reason ?? 'it failed'}: ${message}`, 'fix the reported cause, then checkpoint again')]
    : causes.map((cause) => finding(causeText(cause), cause.fix))
}

function causeText({process, file, what}: Cause): string {
  const {command} = process ?? {}
  const who =
    process === undefined ? '' : `process ${process.pid}${command === undefined ? '' : ` (${command})`}: `
  const which =
    file === undefined ? '' : ` (file descriptor ${file.fd}${file.path === undefined ? '' : ` ${file.path}`})`
  return `${who}${what}${which}`
}
