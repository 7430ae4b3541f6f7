import {expect} from 'vitest'
import {API_VERSION} from '../../src/api/names.ts'
import {restartsOf} from '../../src/kubernetes/pod.ts'
import type {KubeClient} from '../../src/kubernetes/types.ts'
import {agentsOf, asked, attacked, ended, posted, refusal, victim} from './attack-scene.ts'
import type {Chapter} from './e2e-scenario.ts'

/** 2^53 + 1, which JavaScript cannot hold: sent as it is. */
const HUGE = '9007199254740993'

const restarts = async (kube: KubeClient): Promise<readonly [string, string, number][]> =>
  [...(await agentsOf(kube))].map(([node, pod]) => [node, pod.metadata.uid, restartsOf(pod)])

export function attackDefinitions(chapter: Chapter): void {
  chapter('an object that the programs could not read is not let in, and stops nobody', async (cluster) => {
    await attacked(cluster, async ({root, editorOf}) => {
      const editor = await editorOf('team')
      const before = await restarts(root)
      expect(before).toHaveLength(cluster.machines.length)

      const hook = {container: 'main', command: ['true'], timeoutSeconds: 601}
      const checkpoint = {podRef: {name: 'on-worker-1'}, hooks: {preCheckpoint: hook}}
      expect(await refusal(editor.create(asked('Checkpoint', 'team', 'poison', checkpoint)))).toMatch(
        /timeoutSeconds.*less than or equal to 600/,
      )
      const runtime = asked('Runtime', 'team', 'poison', {image: 'none', ports: [70_000]})
      expect(await refusal(editor.create(runtime))).toMatch(/ports.*less than or equal to 65535/)
      const late: readonly ['Migration' | 'Restore', object][] = [
        ['Migration', {podName: 'on-worker-1'}],
        ['Restore', {checkpointName: 'none'}],
      ]
      for (const [kind, spec] of late) {
        const text = JSON.stringify(
          asked(kind, 'team', 'poison', {...spec, ttlSecondsAfterFinished: 0}),
        ).replace('"ttlSecondsAfterFinished":0', `"ttlSecondsAfterFinished":${HUGE}`)
        const path = `/apis/${API_VERSION}/namespaces/team/${kind.toLowerCase()}s`
        expect(await refusal(posted(editor, path, text))).toMatch(
          /ttlSecondsAfterFinished.*less than or equal to 2147483647/,
        )
      }

      const neighbour = await editorOf('neighbour')
      const pod = victim('neighbour', 'web', 'worker-1')
      await neighbour.create(pod)
      await ended(neighbour, pod, 'Running')
      const after = asked('Checkpoint', 'neighbour', 'after', {podRef: {name: 'web'}})
      await neighbour.create(after)
      expect(await ended(neighbour, after, 'Ready', 'Failed')).toMatchObject({phase: 'Ready'})
      expect(await restarts(root)).toEqual(before)
    })
  })
}
