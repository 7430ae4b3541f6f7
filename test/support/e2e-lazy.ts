import {randomBytes} from 'node:crypto'
import {expect} from 'vitest'
import {NODE_FEATURES_ANNOTATION} from '../../src/api/names.ts'
import {containerName} from '../../src/infrastructure/providers/local-decision.ts'
import {
  expectDone,
  expectRefused,
  expectSame,
  identityOf,
  kubectl,
  NAMESPACE,
  waitForValue,
} from './e2e-checkpoints.ts'
import type {E2eCluster} from './e2e-cluster.ts'
import {copiesAtOnce, runningCopies, watchCopies} from './e2e-copies.ts'
import {podOf, startMover, type Mover} from './e2e-movers.ts'
import type {Chapter} from './e2e-scenario.ts'

/** No other pod of a cluster has as many MiB. */
const MOVER: Mover = {name: 'lazy', kind: 'ReplicaSet', mebibytes: [200]}
const ARGUMENT = '200'

/** Whether the machine lets memory of processes be filled in: clouder refuses the move where it does not. */
async function canBeLazy(cluster: E2eCluster): Promise<boolean> {
  const escaped = NODE_FEATURES_ANNOTATION.replaceAll('.', '\\.')
  const text = await kubectl(cluster, `get nodes -o 'jsonpath={.items[*].metadata.annotations.${escaped}}'`)
  return text.includes('"postcopy":true')
}

const otherThan = (node: string): string => (node === 'worker-1' ? 'worker-2' : 'worker-1')

/** Lets nothing through from a node to another as soon as CRIU's daemon runs there; gives what undoes that. */
async function cutWhenFilling(
  cluster: E2eCluster,
  {source, target}: {readonly source: string; readonly target: string},
): Promise<() => Promise<void>> {
  const found = await cluster.engine.findContainer(containerName(cluster.name, source))
  const rule = `INPUT -s ${Object.values(found?.addresses ?? {})[0] ?? ''} -j DROP`
  const armed = `/run/lazy-${randomBytes(4).toString('hex')}`
  const look = `while [ -e ${armed} ]; do if pgrep -f 'lazy-pages --images-dir' >/dev/null; then iptables -w -I ${rule}; rm ${armed}; fi; sleep 0.005; done`
  await cluster.read(target, `touch ${armed}; setsid sh -c "${look}" </dev/null >/dev/null 2>&1 &`)
  return async () => {
    await cluster.read(target, `rm -f ${armed}; iptables -w -D ${rule}`)
  }
}

/** Moves with `--lazy`: one that all memory arrives of, and one that is interrupted. */
export function moveLazily(chapter: Chapter): void {
  chapter('a pod runs on another node before its memory does, which all arrives', async (cluster) => {
    await startMover(cluster, MOVER, 'worker-1')
    const {name, node} = await podOf(cluster, MOVER)
    const words = `checkpoint migrate ${NAMESPACE}/${name} --to ${otherThan(node)} --lazy --yes`
    if (!(await canBeLazy(cluster))) {
      await expectRefused(cluster, words, {code: 'RESTORE_UNSUPPORTED', why: /node feature postcopy/})
      return
    }
    const before = await identityOf(cluster, name)
    const watch = await watchCopies(cluster)
    await expectDone(cluster, words)
    const spans = await watch.ended()
    const moved = await podOf(cluster, MOVER)
    expect(moved.node).toBe(otherThan(node))
    // Of all its memory.
    expectSame(await identityOf(cluster, moved.name), before)
    expect(copiesAtOnce(spans.filter(({argument}) => argument === ARGUMENT))).toEqual([])
    const status = `get ckptmove -n ${NAMESPACE} -o 'jsonpath={.items[?(@.spec.podName=="${name}")].status.transfer.pages.state}'`
    expect(await kubectl(cluster, status)).toBe('Complete')
  })

  chapter('a move that is cut off before all memory has arrived leaves no copy behind', async (cluster) => {
    const {name, node} = await podOf(cluster, MOVER)
    if (await canBeLazy(cluster)) {
      const before = await identityOf(cluster, name)
      const watch = await watchCopies(cluster)
      const target = otherThan(node)
      const restore = await cutWhenFilling(cluster, {source: node, target})
      try {
        await expectRefused(cluster, `checkpoint migrate ${NAMESPACE}/${name} --to ${target} --lazy --yes`, {
          code: 'MEMORY_LOST',
          why: /it ran on worker-\d before all of its memory had arrived/,
        })
      } finally {
        await restore()
      }
      const spans = await watch.ended()
      expect(copiesAtOnce(spans.filter(({argument}) => argument === ARGUMENT))).toEqual([])
      const made = await podOf(cluster, MOVER)
      expect((await identityOf(cluster, made.name)).token).not.toBe(before.token)
      expect(await runningCopies(cluster, ARGUMENT)).toHaveLength(1)
      await waitForValue(cluster, 'ckpt', '.items[*].spec.transfer.lazy', (seen) => seen === '')
    }
    await kubectl(cluster, `delete replicaset,service ${MOVER.name} -n ${NAMESPACE}`)
  })
}
