import type {ChildProcess} from 'node:child_process'
import {randomBytes} from 'node:crypto'
import {readFile} from 'node:fs/promises'
import {expect} from 'vitest'
import {parse} from 'yaml'
import {z} from 'zod'
import {API_VERSION} from '../../src/api/names.ts'
import {openKube} from '../../src/kubernetes/client.ts'
import type {KubeObject, KubeClient} from '../../src/kubernetes/types.ts'
import {containerName} from '../../src/infrastructure/providers/local-decision.ts'
import {waitFor} from '../../src/base/waiting.ts'
import {expectSame, identityOf, killPods, kubectl, NAMESPACE, run, type Identity} from './e2e-checkpoints.ts'
import type {E2eCluster} from './e2e-cluster.ts'
import {runningCopies} from './e2e-copies.ts'
import type {NodeStore} from './e2e-store.ts'

const SETTLE_MS = 8 * 60_000
const CLEAN_MS = 120_000
const READY_MS = 180_000
const {signal} = new AbortController()

/** What is killed, or taken away; `network`: that between the two nodes, which both reach the API server. */
export const victims = [
  ...([
    'cli',
    'kubelet',
    'containerd',
    'agent',
    'controller',
    'node',
    'store',
    'network',
    'control plane',
  ] as const),
] as const
export type Victim = (typeof victims)[number]

/**
 * When: as soon as CRIU is at work on the node, which no object tells, or an object is in that phase. Phases of a
 * Checkpoint, a Migration and a Restore.
 */
export type Stage =
  | {readonly criuOn: 'source' | 'target'}
  | {
      readonly kind: 'Checkpoint' | 'Migration' | 'Restore'
      readonly phase: string
      /** A field that its status has by then. */
      readonly has?: string
    }

export interface Place {
  readonly cluster: E2eCluster
  readonly kube: KubeClient
  readonly store: NodeStore
}

/** The API server without the way through a node: it is watched. */
export async function openCluster(cluster: E2eCluster): Promise<KubeClient> {
  const kubeconfig = await readFile(cluster.paths.kubeconfig, 'utf8')
  const {clusters} = z
    .looseObject({clusters: z.tuple([z.looseObject({cluster: z.looseObject({server: z.url()})})])})
    .parse(parse(kubeconfig))
  return openKube({kubeconfig, port: Number(new URL(clusters[0].cluster.server).port), signal})
}

const statusSchema = z.looseObject({
  status: z.looseObject({phase: z.string().default('Pending')}).default({phase: 'Pending'}),
})

const phaseOf = (object: KubeObject): string => statusSchema.parse(object).status.phase

const hasField = (object: KubeObject, field: string | undefined): boolean =>
  field === undefined || statusSchema.parse(object).status[field] !== undefined

const ENDED = ['Ready', 'Failed', 'Restored', 'Succeeded', 'RolledBack']

/** Resolves when an object that is not over yet, or was made since, is in a phase; `over`: it will not be any more. */
async function reached(
  {kube}: Place,
  {kind, phase, has}: Exclude<Stage, {readonly criuOn: unknown}>,
  over: AbortSignal,
): Promise<boolean> {
  const known = new Set(
    (await kube.list({apiVersion: API_VERSION, kind, namespace: NAMESPACE})).map(
      ({metadata}) => metadata.uid,
    ),
  )
  const seen = new AbortController()
  let found = false
  await kube
    .watch(
      {apiVersion: API_VERSION, kind, namespace: NAMESPACE},
      ({object}) => {
        if (known.has(object.metadata.uid) || phaseOf(object) !== phase || !hasField(object, has)) return
        found = true
        seen.abort()
      },
      AbortSignal.any([over, seen.signal]),
    )
    .catch((error: unknown) => {
      if (!over.aborted && !found) throw error
    })
  return found
}

/** Programs of a node, as bash finds their processes. */
const PIDS: Readonly<Record<'kubelet' | 'containerd' | 'agent', string>> = {
  kubelet: 'pgrep -x kubelet',
  containerd: 'pgrep -x containerd',
  agent: "pgrep -f '/[c]luster.js node-agent$'",
}
/** Finds the processes of the agent of a node, which is asked there. */
export const AGENT_PIDS = PIDS.agent
const CRIU = "pgrep -f '[l]ibexec/criu.* swrk'"
const CRIU_TIMEOUT_S = 90

export interface Blow {
  readonly victim: Victim
  /** The node that it is on, where it is on one. */
  readonly node: string
  /** The node where CRIU is at work, where that is the stage; default: the same. */
  readonly criuNode?: string
  /** From the moment of the stage on. */
  readonly afterMs: number
  readonly cli: () => ChildProcess | undefined
}

const isOnNode = (victim: Victim): victim is keyof typeof PIDS => victim in PIDS

/** Kills one, or takes it away; gives how it comes back, where that is not by itself. */
async function strike(place: Place, {victim, node, cli}: Blow): Promise<() => Promise<void>> {
  const {cluster, store} = place
  if (isOnNode(victim)) await cluster.read(node, `kill -KILL $(${PIDS[victim]})`)
  else if (victim === 'cli') cli()?.kill('SIGKILL')
  else if (victim === 'controller') await killPods(cluster, 'clouder-controller')
  else if (victim === 'store') {
    await store.stop()
    return () => store.start()
  } else if (victim === 'network') {
    return cutNetwork(cluster)
  } else if (victim === 'control plane') {
    await cutOff(cluster, CONTROL_PLANE)
    return () => startControlPlane(place)
  } else {
    await cutOff(cluster, node)
    return () => startNode(place, node)
  }
  return () => Promise.resolve()
}

/**
 * Ends a node as a power cut would. In version 1 of cgroups nothing ends a process that stands still, and so no container
 * that holds one: whoever could stop one is ended first, and a SIGKILL that waits for those that stand still is their end
 * as soon as they may go on.
 */
export async function cutOff(cluster: E2eCluster, node: string): Promise<void> {
  const script = `pkill -KILL -f '/[c]luster.js node-agent$'
    pkill -KILL -x 'kubelet|containerd|containerd-shim|runc'
    pkill -KILL -f '[l]ibexec/criu'
    still() { find /sys/fs/cgroup/freezer -path '*kubepods*' -name freezer.state -exec grep -L THAWED {} + 2>/dev/null; }
    for i in $(seq 50); do
      files=$(still); [ -n "$files" ] || break
      for file in $files; do for pid in $(cat \${file%/*}/cgroup.procs); do kill -KILL $pid; done; done
      for file in $files; do echo THAWED >$file; done
      sleep 0.02
    done
    true`
  await cluster.read(node, script)
  await cluster.engine.stopContainer(containerName(cluster.name, node), 0)
}

const WORKERS = ['worker-1', 'worker-2'] as const
const CONTROL_PLANE = 'cp-1'

/** Lets nothing through between the two workers, not even what belongs to open connections; gives what undoes that. */
export async function cutNetwork(cluster: E2eCluster): Promise<() => Promise<void>> {
  const addressOf = async (node: string): Promise<string> => {
    const found = await cluster.engine.findContainer(containerName(cluster.name, node))
    return Object.values(found?.addresses ?? {})[0] ?? ''
  }
  const [one, other] = await Promise.all(WORKERS.map(addressOf))
  const rules = (what: '-I' | '-D') =>
    Promise.all(
      [other, one].map((from, index) =>
        cluster.read(WORKERS[index] ?? '', `iptables -w ${what} INPUT -s ${from ?? ''} -j DROP`),
      ),
    )
  await rules('-I')
  return async () => {
    await rules('-D')
  }
}

/** Waits until every worker has its agent again; one that was killed so often that its kubelet waits minutes is made anew. */
export async function agentsBack({cluster}: Pick<Place, 'cluster'>): Promise<void> {
  const agents = '-n clouder-system -l app.kubernetes.io/name=clouder-node-agent'
  await waitFor({
    what: 'the node agents to be back',
    check: async () => {
      const state = await kubectl(
        cluster,
        `get pods ${agents} -o 'jsonpath={range .items[*]}{.metadata.name} {..ready} {..state.waiting.reason}{"\\n"}{end}'`,
      )
      const lines = state.trim().split('\n')
      const waiting = lines
        .filter((line) => line.endsWith('CrashLoopBackOff'))
        .map((line) => line.split(' ')[0])
      if (waiting.length > 0)
        await kubectl(cluster, `delete pod ${waiting.join(' ')} -n clouder-system --wait=false`)
      const ready = lines.filter((line) => line.split(' ')[1] === 'true').length
      return ready === cluster.machines.length ? {value: true, seen: 'all'} : {seen: state}
    },
    timeoutMs: READY_MS,
    intervalMs: 1000,
    signal,
  })
}

/** A node that was cut off comes back. */
export async function startNode({cluster}: Pick<Place, 'cluster'>, node: string): Promise<void> {
  await cluster.engine.startContainer(containerName(cluster.name, node))
  await waitFor({
    what: `node ${node} to be back`,
    check: async () => {
      const words = `get node ${node} -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'`
      const ready = await kubectl(cluster, words)
      const up = await cluster.read(node, `${PIDS.agent} || true`)
      return ready === 'True' && up !== ''
        ? {value: true, seen: 'back'}
        : {seen: `Ready ${ready}, agent ${up}`}
    },
    timeoutMs: READY_MS,
    intervalMs: 1000,
    signal,
  })
}

/** A control plane that was cut off comes back: its API server, and what runs on it. */
async function startControlPlane(place: Pick<Place, 'cluster'>): Promise<void> {
  const {cluster} = place
  await cluster.engine.startContainer(containerName(cluster.name, CONTROL_PLANE))
  await waitFor({
    what: 'the API server to be back',
    check: async () => {
      const seen = await kubectl(cluster, 'get --raw /readyz').catch(String)
      return seen === 'ok' ? {value: true, seen} : {seen}
    },
    timeoutMs: READY_MS,
    intervalMs: 1000,
    signal,
  })
  await startNode(place, CONTROL_PLANE)
}

/** Waits for the stage, and strikes there; undefined: the stage did not come while `deed` was at work. */
export async function strikeAt(
  place: Place,
  stage: Stage,
  blow: Blow,
  deed: () => Promise<unknown>,
): Promise<(() => Promise<void>) | undefined> {
  const over = new AbortController()
  const atCriu = 'criuOn' in stage
  const atStage = atCriu ? criuAtWork(place, blow, over.signal) : reached(place, stage, over.signal)
  const end = (): void => over.abort()
  deed().then(end, end)
  if (!(await atStage)) return undefined
  // What is on the node was killed there.
  if (atCriu && isOnNode(blow.victim)) return () => Promise.resolve()
  return later(blow.afterMs, () => strike(place, blow))
}

/**
 * Waits until CRIU is at work on a node. The way there takes longer than a dump, so what is on the node is killed by the
 * shell that waits there.
 */
async function criuAtWork(
  {cluster}: Place,
  {victim, node: struck, criuNode: node = struck, afterMs}: Blow,
  over: AbortSignal,
): Promise<boolean> {
  const armed = `/run/strike-${randomBytes(4).toString('hex')}`
  const kill = isOnNode(victim) ? `sleep ${afterMs / 1000}; kill -KILL $(${PIDS[victim]})` : 'true'
  const script = `touch ${armed}
    for i in $(seq ${CRIU_TIMEOUT_S * 50}); do
      [ -e ${armed} ] || exit 3
      if ${CRIU} >/dev/null; then ${kill}; rm ${armed}; exit 0; fi
      sleep 0.02
    done
    exit 3`
  const disarm = (): void => void cluster.read(node, `rm -f ${armed}`).catch(() => undefined)
  over.addEventListener('abort', disarm)
  try {
    const limit = AbortSignal.timeout(CRIU_TIMEOUT_S * 2000)
    const {exitCode, stderr} = await cluster.engine.exec(
      containerName(cluster.name, node),
      ['bash', '-c', script],
      limit,
    )
    if (exitCode !== 0 && exitCode !== 3) throw new Error(`${node}: ${stderr}`)
    return exitCode === 0
  } finally {
    over.removeEventListener('abort', disarm)
  }
}

async function later<T>(afterMs: number, work: () => Promise<T>): Promise<T> {
  await new Promise((resolve) => setTimeout(resolve, afterMs))
  return work()
}

/** Waits until nothing of a namespace is at work any more. */
export async function settled({kube}: Pick<Place, 'kube'>): Promise<void> {
  await waitFor({
    what: 'everything to come to its end',
    check: async () => {
      const kinds = ['Checkpoint', 'Migration', 'Restore']
      const all = await Promise.all(
        kinds.map((kind) => kube.list({apiVersion: API_VERSION, kind, namespace: NAMESPACE})),
      )
      const open = all.flat().filter((object) => !ENDED.includes(phaseOf(object)))
      const words = open.map(
        (object) => `${object.kind} ${object.metadata.name} ${JSON.stringify(object['status'])}`,
      )
      return open.length === 0 ? {value: true, seen: 'all'} : {seen: words.join(', ').slice(0, 2000)}
    },
    timeoutMs: SETTLE_MS,
    intervalMs: 500,
    signal,
  })
}

const LEFTOVERS = [
  // Frozen, in either version of cgroups.
  "find /sys/fs/cgroup -path '*kubepods*' '(' -name freezer.self_freezing -o -name cgroup.freeze ')' -exec grep -l 1 {} + 2>/dev/null",
  'ctr --namespace k8s.io tasks list | grep PAUS',
  'find /var/lib/clouder/archives /var/lib/clouder/memory /var/lib/kubelet/checkpoints -type f',
  // Unpacked memory; beside it stand notes of which containers were restored, until their pod is gone.
  "find /var/lib/clouder/restore -mindepth 2 '(' -type d -o -name '*.json*' ')'",
  "find /tmp /var/lib/clouder/dumps /var/lib/containerd/io.containerd.grpc.v1.cri -maxdepth 3 -name 'ctrd-checkpoint*'",
  CRIU,
].join('\n')

/** Exactly one process of the program with that argument runs, wherever it is. */
export async function expectOne({cluster}: Pick<Place, 'cluster'>, argument: string): Promise<void> {
  expect(await runningCopies(cluster, argument)).toHaveLength(1)
}

/** No node has a frozen pod, an archive, an unpacked checkpoint or a dump that nobody waits for. */
export async function expectClean({cluster}: Pick<Place, 'cluster'>): Promise<void> {
  for (const machine of cluster.machines.filter((name) => name !== 'cp-1')) {
    await waitFor({
      what: `${machine} to be clean`,
      check: async () => {
        const found = (await cluster.read(machine, `{ ${LEFTOVERS}\n} || true`).catch(String)).trim()
        return found === '' ? {value: true, seen: 'clean'} : {seen: found}
      },
      timeoutMs: CLEAN_MS,
      intervalMs: 1000,
      signal,
    })
  }
}

/** The pod as it is now: gone, in the memory it had, or begun anew. */
export async function stateOf(
  place: Pick<Place, 'cluster'>,
  pod: string,
  before: Identity,
): Promise<'gone' | 'same' | 'anew'> {
  const path = 'jsonpath={.metadata.name} {.metadata.deletionTimestamp}'
  const [found = '', leavesAt = ''] = (
    await kubectl(place.cluster, `get pod ${pod} -n ${NAMESPACE} --ignore-not-found -o '${path}'`)
  ).split(' ')
  if (leavesAt !== '')
    await kubectl(place.cluster, `wait pod/${pod} -n ${NAMESPACE} --for=delete --timeout=120s`)
  if (found === '' || leavesAt !== '') return 'gone'
  const now = await identityOf(place.cluster, pod)
  if (now.token !== before.token) return 'anew'
  expectSame(now, before)
  return 'same'
}

/** The same process, further on. */
const checkpointSchema = z.looseObject({
  metadata: z.looseObject({name: z.string(), creationTimestamp: z.string()}),
  spec: z.looseObject({podRef: z.looseObject({name: z.string()})}),
})

/**
 * The law: the pod goes on with its memory, or a checkpoint that is verified has it and it goes on from there. Gives how
 * it was kept.
 */
export async function expectKept(place: Place, pod: string, before: Identity): Promise<'runs' | 'restored'> {
  const {cluster, kube} = place
  if ((await stateOf(place, pod, before)) === 'same') return 'runs'
  const all = await kube.list({apiVersion: API_VERSION, kind: 'Checkpoint', namespace: NAMESPACE})
  const names = all
    .filter((object) => phaseOf(object) === 'Ready')
    .map((object) => checkpointSchema.parse(object))
    .filter(({spec}) => spec.podRef.name === pod)
    .toSorted((a, b) => b.metadata.creationTimestamp.localeCompare(a.metadata.creationTimestamp))
    .map(({metadata}) => metadata.name)
  for (const name of names) {
    await kubectl(cluster, `delete pod ${pod} -n ${NAMESPACE} --ignore-not-found`)
    const verified = await run(cluster, `checkpoint verify ${NAMESPACE}/${name}`)
    expect(verified.exitCode, verified.stdout).toBe(0)
    const restored = await run(cluster, `checkpoint restore ${NAMESPACE}/${name}`)
    expect(restored.exitCode, restored.stdout).toBe(0)
    if ((await stateOf(place, pod, before)) === 'same') return 'restored'
  }
  throw new Error(
    `pod ${pod} is lost: it does not run with its memory, nor is it in ${names.join(', ') || 'any checkpoint'}`,
  )
}
