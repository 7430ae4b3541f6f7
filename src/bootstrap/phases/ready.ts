import type {ClusterStep} from '../engine/types.ts'
import {TimeoutError} from '../../base/errors.ts'
import {KubernetesError} from '../../kubernetes/errors.ts'
import {describeRef} from '../../kubernetes/refs.ts'
import type {KubeObject, KubeReader} from '../../kubernetes/types.ts'
import {waitFor} from '../../base/waiting.ts'
import {explainNotReady} from '../../platform/release/explain.ts'
import {notReady} from '../../platform/release/readiness.ts'
import type {NotReady} from '../../platform/release/types.ts'
import {addonReleases, type InstalledAddon} from './addon-releases.ts'
import type {ClouderPhase, ClusterTools, PhaseContext} from './context.ts'
import {nodePressure, nodeProblem} from './node-conditions.ts'
import {
  failingContainers,
  lastLogLines,
  podsOutsideNetwork,
  systemPods,
  type PodProblem,
} from './ready/system-pods.ts'

const TIMEOUT_MS = 300_000

/** What kubeadm installs, and nothing else waits for. */
const OF_KUBEADM: readonly KubeObject[] = [
  {apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: {namespace: 'kube-system', name: 'kube-proxy'}},
  {apiVersion: 'apps/v1', kind: 'Deployment', metadata: {namespace: 'kube-system', name: 'coredns'}},
]

/** The gate at the end: /readyz, every node Ready, DNS and every addon ready, no pod of the system failing. */
export const readyPhase: ClouderPhase = {
  id: 'ready',
  title: 'Waiting until everything is ready',

  async plan(context) {
    const kube = await context.kube()
    if (kube === undefined) return [waitStep(context, 'there is no API server yet')]
    const {outside, problems} = await readiness(context, kube, await addonReleases(context))
    if (problems.length === 0) return []
    return [...outside.map(replaceStep), waitStep(context, brief(problems))]
  },

  async diagnose(context) {
    const kube = await context.kube()
    if (kube === undefined) return ''
    const {failing, unready} = await readiness(context, kube, await addonReleases(context))
    const [explained, ...logs] = await Promise.all([
      unready.length === 0 ? '' : explainNotReady(kube, unready),
      ...failing.map((problem) => lastLogLines(kube, problem)),
    ])
    return [explained, ...logs].filter((text) => text !== '').join('\n')
  },
}

function waitStep(context: PhaseContext, reason: string): ClusterStep<ClusterTools> {
  return {
    summary: 'wait for the nodes, the system pods and the addons',
    reason,
    run: async (tools, stepContext) => {
      const api = await tools.kube()
      const addons = await addonReleases(context)
      let open: readonly string[] = []
      await waitFor({
        what: 'the cluster to be ready',
        check: async () => {
          const {problems} = await readiness(context, api, addons)
          open = problems
          return problems.length === 0 ? {value: true, seen: 'ready'} : {seen: problems.join(', ')}
        },
        timeoutMs: TIMEOUT_MS,
        intervalMs: 300,
        signal: stepContext.signal,
        onSeen: () => stepContext.progress(brief(open)),
      }).catch((error: unknown) => {
        if (!(error instanceof TimeoutError)) throw error
        throw new KubernetesError('NOT_READY', error.message, {cause: error})
      })
    },
  }
}

const SHOWN_PROBLEMS = 3
const SHOWN_LENGTH = 120

/** While nodes join, everything has a problem: what fits into a line or two. */
function brief(problems: readonly string[]): string {
  const shown = problems
    .slice(0, SHOWN_PROBLEMS)
    .map((problem) => (problem.length > SHOWN_LENGTH ? `${problem.slice(0, SHOWN_LENGTH - 1)}…` : problem))
  const rest = problems.length - shown.length
  return rest > 0 ? `${shown.join(', ')} and ${rest} more` : shown.join(', ')
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
  /** Objects of kubeadm and of addons; in `problems` too. */
  readonly unready: readonly NotReady[]
}

/** `DaemonSet kube-flannel/kube-flannel-ds: available on 1 of 3 nodes`. */
export const describeNotReady = ({ref, problem}: NotReady): string => `${describeRef(ref)}: ${problem}`

/** What is not ready yet. `addons`: those that are waited for. */
export async function readiness(
  {spec, hosts}: Pick<PhaseContext, 'hosts' | 'spec'>,
  kube: KubeReader,
  addons: readonly InstalledAddon[],
): Promise<Readiness> {
  // Without a pod network of ours nothing is waited for: it comes when the user installs one.
  const isNetworked = spec.network.cni !== 'none'
  const waited = isNetworked ? addons : []
  const objects = isNetworked ? [...OF_KUBEADM, ...waited.flatMap((addon) => addon.objects)] : []
  const [answer, nodes, unreadyObjects, unreadyAddons, pods] = await Promise.all([
    kube.fetch('/readyz'),
    kube.list({apiVersion: 'v1', kind: 'Node'}),
    objects.length === 0 ? [] : notReady(kube, objects),
    Promise.all(waited.map((addon) => addon.ownNotReady(kube))),
    systemPods(
      kube,
      addons.flatMap((addon) => addon.objects),
    ),
  ])
  const failing = await failingContainers(kube, pods)
  // Which addresses pods get is the business of whoever brings the network.
  const outside = isNetworked ? podsOutsideNetwork(pods, nodes, spec.network.podCidr) : []
  const unready = [...unreadyObjects, ...unreadyAddons.flat()]
  const byName = new Map(nodes.map((node) => [node.metadata.name, node]))
  const open = hosts.flatMap(({machine}) => {
    const node = byName.get(machine.name)
    if (node === undefined) return [`node ${machine.name} is absent`]
    if (!isNetworked) return []
    const problem = nodeProblem(node) ?? nodePressure(node)
    return problem === undefined ? [] : [problem]
  })
  const problems = [
    ...(answer.status === 200 ? [] : [`/readyz returns ${answer.status}`]),
    ...open,
    ...unready.map(describeNotReady),
    ...[...failing, ...outside].map(({problem}) => problem),
  ]
  return {problems: [...new Set(problems)], failing, outside, unready}
}
