import {randomBytes} from 'node:crypto'
import {expect} from 'vitest'
import {NODE_FEATURES_ANNOTATION} from '../../src/api/names.ts'
import {containerName} from '../../src/infrastructure/providers/local-decision.ts'
import {
  expectDone,
  expectRefused,
  expectSame,
  identityOf,
  killPods,
  kubectl,
  NAMESPACE,
  waitForValue,
} from './e2e-checkpoints.ts'
import type {E2eCluster} from './e2e-cluster.ts'
import {copiesAtOnce, runningCopies, watchCopies} from './e2e-copies.ts'
import {agentsBack, cutNetwork, expectClean, AGENT_PIDS} from './e2e-faults.ts'
import {podOf, startMover, type Mover} from './e2e-movers.ts'
import type {Chapter} from './e2e-scenario.ts'

/** No other pods of a cluster have as many MiB. */
const SMALL: Mover = {name: 'lazy', kind: 'ReplicaSet', mebibytes: [400]}
const LARGE: Mover = {name: 'lazy-large', kind: 'ReplicaSet', mebibytes: [1024]}
const FILL_TIMEOUT_S = 90
/** Longer than a connection may be silent. */
const CUT_MS = 40_000
const KILL_AGENT = `kill -KILL $(${AGENT_PIDS})`
const KILL_PAGE_SERVER = "kill -KILL $(pgrep -f '[l]ibexec/criu.* swrk')"

const victims = ['page server', 'source agent', 'target agent', 'controller', 'network'] as const
type Victim = (typeof victims)[number]

/** Whether the machine lets memory of processes be filled in: clouder refuses the move where it does not. */
async function canBeLazy(cluster: E2eCluster): Promise<boolean> {
  const escaped = NODE_FEATURES_ANNOTATION.replaceAll('.', '\\.')
  const text = await kubectl(cluster, `get nodes -o 'jsonpath={.items[*].metadata.annotations.${escaped}}'`)
  return text.includes('"postcopy":true')
}

const NOT_LAZY = 'the kernel of this machine lets nobody fill in the memory of processes (userfaultfd)'

const otherThan = (node: string): string => (node === 'worker-1' ? 'worker-2' : 'worker-1')
const argumentOf = ({mebibytes}: Mover): string => String(mebibytes[0])

/**
 * Stops the agent of a node as soon as a process runs there whose memory is brought through it: the rest of the memory is
 * still to come, however fast the network is. (CRIU's daemon gives up when it is stopped itself.) Resolves
 * then, and gives what lets the agent go on; rejects when no memory was brought.
 */
async function stopFilling(cluster: E2eCluster, node: string): Promise<() => Promise<void>> {
  const script = `agent=$(${AGENT_PIDS})
    for i in $(seq ${FILL_TIMEOUT_S * 100}); do
      for pid in $(pgrep -f '[l]azy-pages --images-dir'); do
        ls -l /proc/$pid/fd 2>/dev/null | grep -q userfaultfd || continue
        pgrep -f '[ ]restore --lazy-pages' >/dev/null && continue
        kill -STOP $agent && echo $agent
        exit
      done
      sleep 0.01
    done
    echo 'no memory was brought' >&2; exit 3`
  const limit = AbortSignal.timeout(FILL_TIMEOUT_S * 2000)
  const container = containerName(cluster.name, node)
  const stopped = await cluster.engine.exec(container, ['bash', '-c', script], limit)
  if (stopped.exitCode !== 0) throw new Error(`${node}: ${stopped.stderr}`)
  const agent = stopped.stdout.trim().replaceAll('\n', ' ')
  return async () => {
    // One that was killed since needs nothing.
    await cluster.read(node, `kill -CONT ${agent} 2>/dev/null || true`)
  }
}

/** Asks a mover for the digest of its memory, on and on; gives all answers. */
async function askForMemory(cluster: E2eCluster, {name}: Mover): Promise<() => Promise<readonly string[]>> {
  const file = `/run/asked-${randomBytes(4).toString('hex')}`
  const ask = `kubectl --kubeconfig /etc/kubernetes/admin.conf get --raw /api/v1/namespaces/${NAMESPACE}/services/${name}:8080/proxy/memory`
  const loop = `while [ -e ${file} ]; do ${ask} >>${file} 2>/dev/null; sleep 0.2; done`
  await cluster.read('cp-1', `touch ${file}; setsid bash -c '${loop}' </dev/null >/dev/null 2>&1 &`)
  return async () => {
    const text = await cluster.read('cp-1', `cat ${file}; rm ${file}`)
    return [...text.matchAll(/sha256=([0-9a-f]{64})/g)].map(([, digest = '']) => digest)
  }
}

const neverFilled = (words: string): never => {
  throw new Error(`${words} ended before memory was brought`)
}

/** Kills one, or takes it away; gives what comes after it. */
async function strike(
  cluster: E2eCluster,
  victim: Victim,
  {source, target}: {readonly source: string; readonly target: string},
): Promise<() => Promise<void>> {
  if (victim === 'page server') await cluster.read(source, KILL_PAGE_SERVER)
  else if (victim === 'source agent') await cluster.read(source, KILL_AGENT)
  else if (victim === 'target agent') await cluster.read(target, KILL_AGENT)
  else if (victim === 'controller') await killPods(cluster, 'clouder-controller')
  else {
    const restore = await cutNetwork(cluster)
    return async () => {
      await new Promise((resolve) => setTimeout(resolve, CUT_MS))
      await restore()
    }
  }
  return () => Promise.resolve()
}

/**
 * A move that loses one of what it needs while memory is still to come. The law: never two copies that run, no answer
 * from memory that is not there, and at the end one pod, with its memory or begun again with MEMORY_LOST.
 */
async function interrupt(cluster: E2eCluster, mover: Mover, victim: Victim): Promise<void> {
  const argument = argumentOf(mover)
  const {name, node: source} = await podOf(cluster, mover)
  const target = otherThan(source)
  const before = await identityOf(cluster, name)
  const watch = await watchCopies(cluster)
  const answers = await askForMemory(cluster, mover)
  const words = `checkpoint migrate ${NAMESPACE}/${name} --to ${target} --lazy --yes`
  const isLoss = victim !== 'controller'
  const why = /it ran on worker-\d before all of its memory had arrived/
  const moving = isLoss
    ? expectRefused(cluster, words, {code: 'MEMORY_LOST', why})
    : expectDone(cluster, words)
  // Its end is awaited below; one that ends early says more than that no memory was brought.
  moving.catch(() => undefined)
  const fill = await Promise.race([stopFilling(cluster, target), moving.then(() => neverFilled(words))])
  const after = await strike(cluster, victim, {source, target})
  await fill()
  await after()
  await moving
  await agentsBack({cluster})
  const last = await podOf(cluster, mover)
  const now = await identityOf(cluster, last.name)
  if (isLoss) expect(now.token).not.toBe(before.token)
  else {
    expectSame(now, before)
    expect(last.node).toBe(target)
  }
  const seen = new Set(await answers())
  expect([...seen].filter((digest) => digest !== before.sha256 && digest !== now.sha256)).toEqual([])
  const spans = await watch.ended()
  expect(copiesAtOnce(spans.filter((span) => span.argument === argument))).toEqual([])
  expect(await runningCopies(cluster, argument)).toHaveLength(1)
  await waitForValue(cluster, 'ckpt', '.items[*].spec.transfer.lazy', (found) => found === '')
  await expectClean({cluster})
}

const remove = (cluster: E2eCluster, {name}: Mover): Promise<string> =>
  kubectl(cluster, `delete replicaset,service ${name} -n ${NAMESPACE}`)

/** Moves with `--lazy`: one that all memory arrives of, and one that is interrupted. */
export function moveLazily(chapter: Chapter): void {
  chapter('a pod runs on another node before its memory does, which all arrives', async (cluster) => {
    await startMover(cluster, SMALL, 'worker-1')
    const {name, node} = await podOf(cluster, SMALL)
    const words = `checkpoint migrate ${NAMESPACE}/${name} --to ${otherThan(node)} --lazy --yes`
    if (!(await canBeLazy(cluster))) {
      await expectRefused(cluster, words, {code: 'RESTORE_UNSUPPORTED', why: /node feature postcopy/})
      return
    }
    const before = await identityOf(cluster, name)
    const watch = await watchCopies(cluster)
    await expectDone(cluster, words)
    const spans = await watch.ended()
    const moved = await podOf(cluster, SMALL)
    expect(moved.node).toBe(otherThan(node))
    // Of all its memory.
    expectSame(await identityOf(cluster, moved.name), before)
    expect(copiesAtOnce(spans.filter(({argument}) => argument === argumentOf(SMALL)))).toEqual([])
    const status = `get ckptmove -n ${NAMESPACE} -o 'jsonpath={.items[?(@.spec.podName=="${name}")].status.transfer.pages.state}'`
    expect(await kubectl(cluster, status)).toBe('Complete')
  })

  chapter(
    'a source agent that is killed before all memory has arrived leaves no copy behind',
    async (cluster, context) => {
      const isPossible = await canBeLazy(cluster)
      if (isPossible) await interrupt(cluster, SMALL, 'source agent')
      await remove(cluster, SMALL)
      if (!isPossible) context.skip(NOT_LAZY)
    },
  )
}

/** A pod of 1 GiB that loses, one after the other, all that it needs while its memory is still to come. */
export function interruptLazily(chapter: Chapter): void {
  for (const victim of victims)
    chapter(`the ${victim} is lost before all memory of a pod has arrived`, async (cluster, context) => {
      if (!(await canBeLazy(cluster))) context.skip(NOT_LAZY)
      await startMover(cluster, LARGE, 'worker-1')
      await interrupt(cluster, LARGE, victim)
      if (victim === victims.at(-1)) await remove(cluster, LARGE)
    })
}
