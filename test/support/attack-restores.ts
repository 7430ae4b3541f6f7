import {expect} from 'vitest'
import {answering, asked, attacked, ended, scripted, secured, selfOf, told, victim} from './attack-scene.ts'
import type {Chapter} from './e2e-scenario.ts'

const refused = asked('Restore', 'strict', 'refused', {checkpoint: 'ck', podName: 'again'})

const HOLDS_A_FILE = `
  const held = require('fs').openSync('/scratch/held', 'w+')
  ${answering()}`

export function attackRestores(chapter: Chapter): void {
  chapter('a restore is under Pod Security, and says so at once', async (cluster) => {
    await attacked(cluster, async ({root, editorOf}) => {
      const editor = await editorOf('strict')
      const pod = victim('strict', 'loose', 'worker-1')
      await editor.create(pod)
      await ended(editor, pod, 'Running')
      const checkpoint = asked('Checkpoint', 'strict', 'ck', {pod: {name: 'loose'}})
      await editor.create(checkpoint)
      expect(await ended(editor, checkpoint, 'Ready', 'Failed')).toMatchObject({phase: 'Ready'})
      await secured(root, 'strict', 'restricted', pod)
      await editor.create(refused)
      const status = await told(editor, refused, /violates PodSecurity "restricted/)
      expect(status).toMatchObject({phase: 'Preparing'})
    })
  })

  chapter('a pod that holds a file of an emptyDir open is not moved, and runs on', async (cluster) => {
    await attacked(cluster, async ({root, editorOf}) => {
      const editor = await editorOf('team')
      const container = {volumeMounts: [{name: 'scratch', mountPath: '/scratch'}]}
      const spec = {volumes: [{name: 'scratch', emptyDir: {}}]}
      const pod = scripted('team', 'holds', 'worker-1', HOLDS_A_FILE, {container, spec})
      await editor.create(pod)
      await ended(editor, pod, 'Running')
      const before = await selfOf(root, 'team', 'holds')
      const move = asked('Migration', 'team', 'holds', {pod: 'holds', node: 'worker-2'})
      await editor.create(move)
      expect(await ended(editor, move, 'Succeeded', 'RolledBack', 'Failed')).toMatchObject({
        phase: 'Failed',
        reason: 'RESTORE_IMPOSSIBLE',
      })
      expect(await selfOf(root, 'team', 'holds')).toBe(before)
    })
  })
}

/** As late as can be: what refuses a pod is given a minute to change its mind. */
export function attackRefusedRestore(chapter: Chapter): void {
  chapter('the restore that Pod Security refused is over, and made no pod', async (cluster) => {
    await attacked(cluster, async ({root}) => {
      const end = await ended(root, refused, 'Restored', 'Failed')
      expect(end).toMatchObject({phase: 'Failed', reason: 'API_REJECTED'})
      expect(end.message).toContain('violates PodSecurity "restricted')
      const pod = {apiVersion: 'v1', kind: 'Pod', namespace: 'strict', name: 'again'}
      expect(await root.get(pod)).toBeUndefined()
    })
  })
}
