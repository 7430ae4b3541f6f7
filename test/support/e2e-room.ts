import {randomBytes} from 'node:crypto'
import {expect} from 'vitest'
import {MEMORY_DIR, RESTORE_DIR} from '../../src/api/names.ts'
import {containerName} from '../../src/infrastructure/providers/local-decision.ts'
import {
  expectDone,
  expectRefused,
  expectSame,
  identityOf,
  kubectl,
  NAMESPACE,
  nodeOf,
  startTraveller,
} from './e2e-checkpoints.ts'
import type {E2eCluster} from './e2e-cluster.ts'
import type {Chapter} from './e2e-scenario.ts'

const MIB = 2 ** 20
/** Of the pod, and of a memory place that has room for its dump, if nobody else writes there. */
const [POD_MIB, PLACE_MIB] = [256, 400]

/** Takes all that is free of a tmpfs as soon as memory of a dump is written below a folder of it. */
const FILL = `
import os, sys, time
place, armed, filler = sys.argv[1:4]
def begun():
    return any(name.startswith('pages-') and os.path.getsize(os.path.join(folder, name)) > 0
        for folder, _, names in os.walk(place) for name in names)
while os.path.exists(armed):
    try:
        if begun():
            # The dump takes some of it at the same time.
            with open(filler, 'wb') as file:
                size, step = 0, 16 << 20
                while step >= 4096:
                    try:
                        os.posix_fallocate(file.fileno(), size, step)
                        size += step
                    except OSError:
                        step //= 2
            os.remove(armed)
    except FileNotFoundError:
        pass
    time.sleep(0.002)
`

/** A node whose memory place another writer fills as soon as a dump is written to it. */
interface Filler {
  /** Gives the room back; whether it was ever taken. */
  readonly ended: () => Promise<boolean>
}

async function fillMemory(cluster: E2eCluster, node: string): Promise<Filler> {
  const id = randomBytes(4).toString('hex')
  const [armed, program] = [`/run/fill-${id}`, `/var/tmp/fill-${id}.py`]
  const filler = `${MEMORY_DIR}/fill-${id}`
  await cluster.engine.putFile(containerName(cluster.name, node), {path: program, content: FILL, mode: 0o600})
  const start = `setsid python3 ${program} ${MEMORY_DIR} ${armed} ${filler} < /dev/null > ${program}.log 2>&1 &`
  await cluster.read(node, `touch ${armed}; ${start}`)
  return {
    ended: async () => {
      const script = `if [ -e ${armed} ]; then echo armed; fi; cat ${program}.log >&2; rm -f ${armed} ${filler} ${program} ${program}.log`
      return (await cluster.read(node, script)).trim() !== 'armed'
    },
  }
}

/** Sets the size of the memory place of a node; gives what sets it back. */
async function shrinkMemory(
  cluster: E2eCluster,
  node: string,
  mebibytes: number,
): Promise<() => Promise<void>> {
  const bytes = (await cluster.read(node, `df -B1 --output=size ${MEMORY_DIR} | tail -1`)).trim()
  const resize = (size: string) => cluster.read(node, `mount -o remount,size=${size} ${MEMORY_DIR}`)
  await resize(`${mebibytes}M`)
  return async () => {
    await resize(bytes)
  }
}

/** What the agent of a node has logged since, a line each. */
async function agentLog(cluster: E2eCluster, node: string, since: string): Promise<string> {
  const words = `get pods -n clouder-system -l app.kubernetes.io/name=clouder-node-agent --field-selector spec.nodeName=${node} -o name`
  const pod = (await kubectl(cluster, words)).trim()
  return kubectl(cluster, `logs -n clouder-system ${pod} --since-time=${since}`)
}

const timeOf = async (cluster: E2eCluster): Promise<string> =>
  (await cluster.read('cp-1', 'date -u +%FT%TZ')).trim()

/** Memory places that are too small, or full, and targets that have no room: nothing fails that could have gone on. */
export function moveWithoutRoom(chapter: Chapter): void {
  chapter(
    'a memory place that fills up during a dump or a transfer sends it to the disk',
    async (cluster) => {
      await startTraveller(cluster, 'bulky', {node: 'worker-1', mebibytes: POD_MIB})
      const before = await identityOf(cluster, 'bulky')
      for (const {full, from, to, logged} of [
        {full: 'worker-1', from: 'worker-1', to: 'worker-2', logged: /"place":"disk"/},
        {full: 'worker-1', from: 'worker-2', to: 'worker-1', logged: /receiving a dump again, to the disk/},
      ]) {
        const restore = await shrinkMemory(cluster, full, PLACE_MIB)
        try {
          const filler = await fillMemory(cluster, full)
          const since = await timeOf(cluster)
          await expectDone(cluster, `checkpoint migrate ${NAMESPACE}/bulky --to ${to}`)
          expect(await filler.ended(), `${full} was filled up while it was written to`).toBe(true)
          expect(await agentLog(cluster, full, since)).toMatch(logged)
          expect(await nodeOf(cluster, 'bulky'), from).toBe(to)
          expectSame(await identityOf(cluster, 'bulky'), before)
        } finally {
          await restore()
        }
      }
    },
  )

  chapter('a memory place that is too small is not used', async (cluster) => {
    const before = await identityOf(cluster, 'bulky')
    const restores = [
      await shrinkMemory(cluster, 'worker-1', POD_MIB / 2),
      await shrinkMemory(cluster, 'worker-2', POD_MIB / 2),
    ]
    try {
      const since = await timeOf(cluster)
      await expectDone(cluster, `checkpoint migrate ${NAMESPACE}/bulky --to worker-2`)
      expect(await agentLog(cluster, 'worker-1', since)).toMatch(/"place":"disk"/)
      expectSame(await identityOf(cluster, 'bulky'), before)
    } finally {
      for (const restore of restores) await restore()
    }
  })

  chapter('a target without room is refused with the numbers before the pod is frozen', async (cluster) => {
    await kubectl(cluster, `delete pod bulky -n ${NAMESPACE} --ignore-not-found`)
    await startTraveller(cluster, 'bulky', {node: 'worker-2', mebibytes: POD_MIB})
    const before = await identityOf(cluster, 'bulky')
    const restore = await shrinkMemory(cluster, 'worker-1', POD_MIB / 2)
    // The disk of the node is the machine's: a small one lies over what is unpacked, for as long as this takes. Of it the
    // agent leaves 256 MiB to the node.
    await cluster.read('worker-1', `mount -t tmpfs -o mode=0700,size=${POD_MIB + 128}M none ${RESTORE_DIR}`)
    try {
      const freezes = (): Promise<string> =>
        kubectl(
          cluster,
          `get ckptmove -n ${NAMESPACE} -o 'jsonpath={range .items[*]}{.status.phase} {.status.freezeTime}{"\\n"}{end}' --sort-by=.metadata.creationTimestamp`,
        )
      await expectRefused(cluster, `checkpoint migrate ${NAMESPACE}/bulky --to worker-1`, {
        code: 'TOO_LARGE',
        why: /worker-1 has \d+ MiB free for the memory of the pod, which needs about \d+ MiB/,
      })
      expect((await freezes()).trim().split('\n').at(-1)?.trim()).toBe('Failed')
      expect(await nodeOf(cluster, 'bulky')).toBe('worker-2')
      expectSame(await identityOf(cluster, 'bulky'), before)
    } finally {
      await cluster.read('worker-1', `umount ${RESTORE_DIR}`)
      await restore()
    }
    await kubectl(cluster, `delete pod bulky -n ${NAMESPACE}`)
  })
}

const LARGE_MIB = 4096
/** The process, its dump on either node, and what the machine needs besides. */
const NEEDED_MIB = 4 * LARGE_MIB

/** For machines that have the memory: two nodes on one have the process and its dump twice. */
export function moveFourGibibytes(chapter: Chapter): void {
  chapter('4 GiB of memory move from node to node', async (cluster, context) => {
    const available = await cluster.read(
      'worker-1',
      "sed -n 's/^MemAvailable: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo",
    )
    const mebibytes = Math.floor((Number(available) * 1024) / MIB)
    if (mebibytes < NEEDED_MIB) context.skip(`needs ${NEEDED_MIB} MiB of memory, ${mebibytes} are available`)
    await startTraveller(cluster, 'huge', {node: 'worker-1', mebibytes: LARGE_MIB})
    const before = await identityOf(cluster, 'huge')
    const startedMs = performance.now()
    await expectDone(cluster, `checkpoint migrate ${NAMESPACE}/huge --to worker-2`)
    const totalMs = Math.round(performance.now() - startedMs)
    expectSame(await identityOf(cluster, 'huge'), before)
    const status = await kubectl(
      cluster,
      `get ckptmove -n ${NAMESPACE} -o 'jsonpath={range .items[?(@.spec.podName=="huge")]}{.status.way} {.status.downtimeMilliseconds} {.status.transferredBytes}{end}'`,
    )
    const [way, downtimeMs, bytes] = status.trim().split(' ')
    expect(way).toBe('Direct')
    process.stderr.write(
      `4 GiB: ${totalMs} ms in all, downtime ${downtimeMs} ms, ${bytes} bytes transferred\n`,
    )
    await kubectl(cluster, `delete pod huge -n ${NAMESPACE}`)
  })
}
