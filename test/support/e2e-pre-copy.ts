import {randomBytes} from 'node:crypto'
import {readdir, readlink, rm, symlink} from 'node:fs/promises'
import {join} from 'node:path'
import {expect} from 'vitest'
import {z} from 'zod'
import {tracksWrites} from '../../src/checkpoint/copy-features.ts'
import {containerdCommands} from '../../src/programs/node-agent/host-command.ts'
import {hostRunc} from '../../src/programs/node-agent/runc.ts'
import {expectSame, identityOf, kubectl, NAMESPACE, nodeOf, run, startTraveller} from './e2e-checkpoints.ts'
import type {E2eCluster} from './e2e-cluster.ts'
import {resultOf} from './e2e-results.ts'
import type {Chapter} from './e2e-scenario.ts'

const {signal} = new AbortController()

const moved = z.looseObject({
  migration: z.looseObject({
    status: z.looseObject({
      way: z.string(),
      preCopy: z.looseObject({rounds: z.number(), copiedBytes: z.number(), message: z.string().optional()}),
    }),
  }),
})

/** What there is of pre-copy on nodes whatever their kernel can. */
export function preCopyOfNodes(chapter: Chapter): void {
  chapter(
    'a pod is moved with --pre-copy whatever the kernel can, and the result says so',
    async (cluster) => {
      const tracks = tracksWrites(await cluster.read('worker-1', 'cat /proc/self/smaps'))
      await startTraveller(cluster, 'rounds', {node: 'worker-1', mebibytes: 100})
      const before = await identityOf(cluster, 'rounds')
      const ended = await run(cluster, `checkpoint migrate ${NAMESPACE}/rounds --to worker-2 --pre-copy`)
      const {way, preCopy} = resultOf(ended, moved).migration.status
      expect(way).toBe('Direct')
      if (tracks) expect(preCopy.rounds).toBeGreaterThan(0)
      else
        expect(preCopy).toEqual({
          ...{rounds: 0, copiedBytes: 0},
          message: 'the kernel of the node does not track writes',
        })
      expectSame(await identityOf(cluster, 'rounds'), before)
      expect(await nodeOf(cluster, 'rounds')).toBe('worker-2')
    },
  )

  chapter(
    'runc and CRIU of a node dump a pod as a command that an agent has containerd start',
    async (cluster) => {
      const before = await identityOf(cluster, 'rounds')
      await using node = await nodeFolder(cluster, 'worker-2')
      const {folder, socket, statusFile} = node
      const program = '/opt/clouder/clouder-files'
      const commands = containerdCommands(socket, {program, root: join(folder, 'root'), statusFile})
      const mounts = () =>
        cluster.read('worker-2', 'cut -d" " -f5 /proc/1/mountinfo | grep -v clouder/command | sort')
      const mountsBefore = await mounts()
      // It is one of the node: in its namespaces, with all that it may.
      const outputFile = join(folder, 'said')
      const own =
        'hostname; for n in mnt net pid uts ipc; do readlink /proc/self/ns/$n; done; grep ^Cap[EPB] /proc/self/status'
      const ofNode = own.replaceAll('/proc/self', '/proc/1')
      expect(await commands.run(['sh', '-c', own], {outputFile}, signal)).toBe(0)
      expect(await cluster.read('worker-2', `cat ${outputFile}`)).toBe(await cluster.read('worker-2', ofNode))
      expect(await commands.run(['sh', '-c', 'exit 7'], {}, signal)).toBe(7)

      const id = (
        await kubectl(
          cluster,
          `get pod rounds -n ${NAMESPACE} -o jsonpath={.status.containerStatuses[0].containerID}`,
        )
      ).replace('containerd://', '')
      const runc = hostRunc(commands)
      const [images, work] = [join(folder, 'images'), join(folder, 'work')]
      await cluster.read('worker-2', `mkdir -p ${images}/pre-1 ${work}`)
      const round = await runc.prepare('pre-dump', id, {images: join(images, 'pre-1'), work}, signal)
      const refused = await round.run(signal).then(
        () => undefined,
        (error: unknown) => error,
      )
      if (tracksWrites(await cluster.read('worker-2', 'cat /proc/self/smaps')))
        expect(refused).toBeUndefined()
      else
        expect(refused).toMatchObject({
          code: 'CHECKPOINT_FAILED',
          message: expect.stringContaining('criu is missing features: [MemTrack]') as string,
        })
      const dump = await runc.prepare('dump', id, {images, work}, signal)
      await dump.run(signal)
      const pages = await cluster.read('worker-2', `stat -c %s ${images}/pages-1.img`)
      expect(Number(pages)).toBeGreaterThan(100 * 1024 ** 2)
      expectSame(await identityOf(cluster, 'rounds'), before)

      expect(
        await cluster.read('worker-2', 'ctr -n clouder containers list -q; ctr -n clouder tasks list -q'),
      ).toBe('')
      expect(await mounts()).toBe(mountsBefore)
      await kubectl(cluster, `delete pod rounds -n ${NAMESPACE}`)
    },
  )
}

interface NodeFolder extends AsyncDisposable {
  /** A folder of the node, by the same path here. */
  readonly folder: string
  /** Of the node's containerd, as it is reached from here. */
  readonly socket: string
  /** Of the first process of the node. */
  readonly statusFile: string
}

/** What an agent has of its node, for a test that runs beside the node: they have one kernel. */
async function nodeFolder(cluster: E2eCluster, machine: string): Promise<NodeFolder> {
  const init = await initOf(cluster, machine)
  const root = `/proc/${init}/root`
  const folder = `/var/tmp/clouder-test-${randomBytes(6).toString('hex')}`
  await cluster.read(machine, `mkdir ${folder}`)
  await symlink(join(root, folder), folder)
  return {
    folder,
    socket: join(root, 'run/containerd/containerd.sock'),
    statusFile: `/proc/${init}/status`,
    async [Symbol.asyncDispose]() {
      await rm(folder)
      await cluster.read(machine, `rm -r ${folder}`)
    },
  }
}

/** The first process of a node, by its number on this machine. */
async function initOf(cluster: E2eCluster, machine: string): Promise<number> {
  const namespace = (await cluster.read(machine, 'readlink /proc/1/ns/pid')).trim()
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  for (const pid of pids.sort((a, b) => a - b))
    // Most have ended, or are of others.
    if ((await readlink(`/proc/${pid}/ns/pid`).catch(() => '')) === namespace) return pid
  throw new Error(`the first process of ${machine} was not found`)
}
