import {expect, test} from 'vitest'
import {holds, isOver, MEMORY, move, phaseOf, sceneWithPod} from '../../../support/migration-scene.ts'

const REPLICA = {
  metadata: {
    labels: {'pod-template-hash': '77'},
    ownerReferences: [
      {apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-77', uid: 'owner', controller: true},
    ],
  },
}

test.for([
  ['that succeeds', {}, undefined],
  ['that rolls back', {}, 'PRIVILEGES_WIDER: no'],
  ['of a ReplicaSet', REPLICA, undefined],
  ['of a ReplicaSet that rolls back', REPLICA, 'PRIVILEGES_WIDER: no'],
] as const)(
  'a controller that dies after any change of a move %s loses no pod, and the next one ends it',
  async ([, more, refusal]) => {
    const whole = sceneWithPod({}, more)
    if (refusal !== undefined) whole.nodes.refusals.set('b', refusal)
    move(whole)
    await whole.play({until: isOver(whole)})
    const [expected, changes] = [phaseOf(whole), whole.changes()]
    await whole.end()
    expect(changes).toBeGreaterThan(5)
    for (let killAfter = 1; killAfter <= changes; killAfter++) {
      const scene = sceneWithPod({killAfter}, more)
      if (refusal !== undefined) scene.nodes.refusals.set('b', refusal)
      move(scene)
      await scene.play({until: isOver(scene), each: holds(scene)})
      await scene.play({forMs: 60_000, each: holds(scene)})
      expect([killAfter, phaseOf(scene)]).toEqual([killAfter, expected])
      expect(scene.nodes.runningWith(MEMORY)).toHaveLength(1)
      expect(scene.pods()).toHaveLength(1)
      await scene.end()
    }
  },
)
