import {expect} from 'vitest'
import {asked, attacked, ended, scripted, secured, selfOf, answering, victim} from './attack-scene.ts'
import type {Chapter} from './e2e-scenario.ts'

const CAP_SYS_RESOURCE = 24n

/** What the profile `restricted` of Pod Security demands. */
const RESTRICTED = {
  runAsUser: 1000,
  runAsNonRoot: true,
  allowPrivilegeEscalation: false,
  capabilities: {drop: ['ALL']},
  seccompProfile: {type: 'RuntimeDefault'},
}
const PODS = {plain: {runAsUser: 1000, runAsNonRoot: true}, restricted: RESTRICTED}

/**
 * Only who has CAP_SYS_RESOURCE may read the limits of another user's process, and CRIU must: on nodes that have it the
 * pods move, on nodes that lack it they are refused and run on.
 */
export function moveWhoIsNotRoot(chapter: Chapter): void {
  chapter('a pod that is not root moves, or is refused where its node may not dump it', async (cluster) => {
    const bounding = (await cluster.read('worker-1', "sed -n 's/^CapBnd:\\s*//p' /proc/1/status")).trim()
    const isAble = ((BigInt(`0x${bounding}`) >> CAP_SYS_RESOURCE) & 1n) === 1n
    await attacked(cluster, async ({root, editorOf}) => {
      const editor = await editorOf('confined')
      await secured(root, 'confined', 'restricted', victim('confined', 'loose', 'worker-1'))
      for (const [name, securityContext] of Object.entries(PODS)) {
        const namespace = name === 'restricted' ? 'confined' : 'team'
        const owner = namespace === 'team' ? await editorOf('team') : editor
        const pod = scripted(namespace, name, 'worker-1', answering(), {container: {securityContext}})
        await owner.create(pod)
        await ended(owner, pod, 'Running')
        const before = await selfOf(root, namespace, name)
        const move = asked('Migration', namespace, name, {podName: name, nodeName: 'worker-2'})
        await owner.create(move)
        const status = await ended(owner, move, 'Succeeded', 'RolledBack', 'Failed')
        const after = await selfOf(root, namespace, name)
        if (isAble) {
          expect(status, name).toMatchObject({phase: 'Succeeded'})
          // Another pod, and the same memory.
          expect(after.split(' ')[2], name).toBe(before.split(' ')[2])
          expect(after.split(' ')[0], name).not.toBe(before.split(' ')[0])
        } else {
          expect(status.phase, name).toBe('Failed')
          expect(status.message, name).toContain('does not run as root, and this node lacks CAP_SYS_RESOURCE')
          expect(after, name).toBe(before)
        }
      }
    })
  })
}
