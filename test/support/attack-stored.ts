import {expect} from 'vitest'
import {z} from 'zod'
import {
  ARCHIVE_DIR,
  DUMP_DIR,
  KUBELET_CHECKPOINT_DIR,
  MEMORY_DIR,
  NODE_STORE_DIR,
  RESTORE_DIR,
} from '../../src/api/names.ts'
import type {KubeClient} from '../../src/kubernetes/types.ts'
import {answerOf, answering, asked, attacked, ended, scripted, selfOf} from './attack-scene.ts'
import type {E2eCluster} from './e2e-cluster.ts'
import type {Chapter} from './e2e-scenario.ts'

const MIB = 2 ** 20
/** A pod that is frozen while gigabytes of zeros are written stands still for minutes; one on a busy machine, for seconds. */
const STANDSTILL_MS = 10_000
const manifestSchema = z.looseObject({layers: z.array(z.looseObject({digest: z.string()}))})

/** A file that is nothing but a hole, what it takes of the disk, and how long the process ever stood still. */
const holding = (bytes: number): string => `
  const fs = require('fs')
  fs.writeFileSync('/big', '')
  fs.truncateSync('/big', ${bytes})
  let last = Date.now(), stoodMs = 0
  setInterval(() => { stoodMs = Math.max(stoodMs, Date.now() - last); last = Date.now() }, 50)
  ${answering("{stoodMs, diskBytes: fs.statSync('/big').blocks * 512, bytes: fs.statSync('/big').size}")}`
const holeSchema = z.object({
  token: z.string(),
  stoodMs: z.number(),
  diskBytes: z.number(),
  bytes: z.number(),
})
const holeOf = async (kube: KubeClient, name: string) =>
  holeSchema.parse(JSON.parse(await answerOf(kube, 'team', name)))

const sparse = (name: string, bytes: number) => {
  const resources = {limits: {'ephemeral-storage': '64Mi', memory: '256Mi'}}
  return scripted('team', name, 'worker-1', holding(bytes), {container: {resources}})
}

/** What lies where memory does in clear; of a pod that was restored only marks are left. */
const inClear = (cluster: E2eCluster, node: string): Promise<string> =>
  cluster.read(
    node,
    `for dir in ${DUMP_DIR} ${ARCHIVE_DIR} ${KUBELET_CHECKPOINT_DIR}; do if [ -d $dir ]; then find $dir -mindepth 1; fi; done
    find ${RESTORE_DIR} ${MEMORY_DIR} -type f ! -name '*.requested' ! -name '*.restored' ! -name '*.volume'`,
  )

export function attackStored(chapter: Chapter): void {
  chapter('a piece that was changed on the disk of a node restores nothing anywhere', async (cluster) => {
    await attacked(cluster, async ({root, editorOf}) => {
      const editor = await editorOf('team')
      const before = await selfOf(root, 'team', 'on-worker-1')
      const checkpoint = asked('Checkpoint', 'team', 'pieced', {podRef: {name: 'on-worker-1'}})
      await editor.create(checkpoint)
      const {digest, ...status} = await ended(editor, checkpoint, 'Ready', 'Failed')
      expect(status).toMatchObject({phase: 'Ready'})
      const manifest = await cluster.read('worker-1', `cat ${NODE_STORE_DIR}/manifests/${hexOf(digest)}/*`)
      const [piece] = manifestSchema.parse(JSON.parse(manifest)).layers
      const path = `${NODE_STORE_DIR}/blobs/sha256/${hexOf(piece?.digest)}`
      await cluster.read(
        'worker-1',
        `test -s ${path} && printf 'changed!' | dd of=${path} bs=1 seek=40 conv=notrunc status=none`,
      )
      const ends = ['worker-1', 'worker-2'].map(async (node) => {
        const restore = asked('Restore', 'team', `pieced-${node}`, {
          checkpointName: 'pieced',
          podName: `pieced-${node}`,
          nodeName: node,
        })
        await editor.create(restore)
        return ended(editor, restore, 'Restored', 'Failed')
      })
      for (const end of await Promise.all(ends))
        expect(end).toMatchObject({phase: 'Failed', reason: 'BLOB_TAMPERED'})
      expect(await selfOf(root, 'team', 'on-worker-1')).toBe(before)
    })
  })

  chapter('holes stay holes, and large ones are refused before a pod stands still', async (cluster) => {
    await attacked(cluster, async ({root, editorOf}) => {
      const editor = await editorOf('team')
      const pods = [
        {name: 'hole-3g', bytes: 3 * 1024 * MIB, end: {phase: 'Failed', reason: 'TOO_LARGE'}},
        {name: 'hole-512m', bytes: 512 * MIB, end: {phase: 'Failed', reason: 'TOO_LARGE'}},
        {name: 'hole-128m', bytes: 128 * MIB, end: {phase: 'Ready'}},
      ]
      for (const {name, bytes} of pods) await editor.create(sparse(name, bytes))
      for (const {name, end} of pods) {
        const self = await selfOf(root, 'team', name)
        const checkpoint = asked('Checkpoint', 'team', name, {podRef: {name}})
        await editor.create(checkpoint)
        expect(await ended(editor, checkpoint, 'Ready', 'Failed')).toMatchObject(end)
        expect(await selfOf(root, 'team', name)).toBe(self)
        const {stoodMs, diskBytes} = await holeOf(root, name)
        expect(diskBytes).toBeLessThan(MIB)
        if (end.phase === 'Failed') expect(stoodMs).toBeLessThan(STANDSTILL_MS)
      }

      const restore = asked('Restore', 'team', 'hole', {
        checkpointName: 'hole-128m',
        podName: 'hole',
        nodeName: 'worker-2',
      })
      await editor.create(restore)
      expect(await ended(editor, restore, 'Restored', 'Failed')).toMatchObject({phase: 'Restored'})
      const [source, copy] = [await holeOf(root, 'hole-128m'), await holeOf(root, 'hole')]
      expect(copy).toMatchObject({token: source.token, bytes: 128 * MIB})
      expect(copy.diskBytes).toBeLessThan(MIB)
      expect(await Promise.all(['worker-1', 'worker-2'].map((node) => inClear(cluster, node)))).toEqual([
        '',
        '',
      ])
    })
  })
}

const hexOf = (digest = ''): string => digest.replace('sha256:', '')
