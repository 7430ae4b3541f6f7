import {expect, test} from 'vitest'
import {
  directScene,
  holds,
  isOver,
  MEMORY,
  move,
  OF_REPLICA_SET,
  phaseOf,
  sceneWithPod,
} from '../../../support/migration-scene.ts'

/** On nodes whose agents report that a pod runs before their kubelets do. */
function reportingScene(...given: Parameters<typeof directScene>) {
  const scene = directScene(...given)
  for (const node of ['a', 'b']) scene.nodes.relistMs.set(node, 1000)
  return scene
}

/** The same, but what is restored on `b` ends before its kubelet has seen it. */
function dyingScene(...given: Parameters<typeof directScene>) {
  const scene = reportingScene(...given)
  scene.nodes.dying.add('b')
  return scene
}

/** Whose first target refuses the pod: before it is frozen, or after. */
function refusingScene(...given: Parameters<typeof directScene>) {
  const scene = directScene(...given)
  for (const node of ['c', 'd']) scene.nodes.addNode(node, {directMoves: true})
  scene.nodes.full.add('b')
  scene.nodes.unfit.set('c', 'another image')
  return scene
}

/** Moved before its memory is. */
function lazyScene(...given: Parameters<typeof directScene>) {
  const scene = directScene(...given)
  for (const node of ['a', 'b']) scene.nodes.addNode(node, {directMoves: true, postcopy: true})
  return scene
}

test.for([
  ['that succeeds', {}, undefined, sceneWithPod],
  ['that rolls back', {}, 'PRIVILEGES_WIDER: no', sceneWithPod],
  ['of a ReplicaSet', OF_REPLICA_SET, undefined, sceneWithPod],
  ['of a ReplicaSet that rolls back', OF_REPLICA_SET, 'PRIVILEGES_WIDER: no', sceneWithPod],
  ['without a store that succeeds', {}, undefined, directScene],
  ['without a store that rolls back', {}, 'PRIVILEGES_WIDER: no', directScene],
  ['without a store of a ReplicaSet', OF_REPLICA_SET, undefined, directScene],
  ['without a store of a ReplicaSet that rolls back', OF_REPLICA_SET, 'PRIVILEGES_WIDER: no', directScene],
  ['whose first targets refuse', {}, undefined, refusingScene],
  ['of a ReplicaSet whose first targets refuse', OF_REPLICA_SET, undefined, refusingScene],
  ['whose pod is reported early', {}, undefined, reportingScene],
  ['of a ReplicaSet whose pod is reported early', OF_REPLICA_SET, undefined, reportingScene],
  ['whose pod ends after it was reported', {}, undefined, dyingScene],
  ['of a ReplicaSet whose pod ends after it was reported', OF_REPLICA_SET, undefined, dyingScene],
] as const)(
  'a controller that dies after any change of a move %s loses no pod, and the next one ends it',
  async ([, more, refusal, sceneOf]) => {
    const whole = sceneOf({}, more)
    if (refusal !== undefined) whole.nodes.refusals.set('b', refusal)
    move(whole)
    await whole.play({until: isOver(whole)})
    const [expected, changes] = [phaseOf(whole), whole.changes()]
    await whole.end()
    expect(changes).toBeGreaterThan(5)
    for (let killAfter = 1; killAfter <= changes; killAfter++) {
      const scene = sceneOf({killAfter}, more)
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

test.for([
  ['arrives', undefined, 'Succeeded', 1],
  ['cannot be fetched', 'NotStarted', 'RolledBack', 1],
  // Not even the source runs on, which is older than what others saw of the pod.
  ['is lost', 'Lost', 'Failed', 0],
] as const)(
  'a controller that dies after any change of a move whose memory comes afterwards and %s never has two of the pod run',
  async ([, pages, expected, left]) => {
    const sceneOf = (options: Parameters<typeof directScene>[0] = {}) => {
      const scene = lazyScene(options, OF_REPLICA_SET)
      if (pages !== undefined) scene.nodes.pages.set('b', pages)
      move(scene, {memoryPolicy: 'Lazy'})
      return scene
    }
    const whole = sceneOf()
    await whole.play({until: isOver(whole)})
    const changes = whole.changes()
    await whole.end()
    expect(changes).toBeGreaterThan(5)
    for (let killAfter = 1; killAfter <= changes; killAfter++) {
      const scene = sceneOf({killAfter})
      const each = (): void => {
        expect(scene.nodes.runningWith(MEMORY).length).toBeLessThan(2)
        if (pages !== 'Lost') holds(scene)()
      }
      await scene.play({until: isOver(scene), each})
      await scene.play({forMs: 60_000, each})
      expect([killAfter, phaseOf(scene)]).toEqual([killAfter, expected])
      expect(scene.nodes.runningWith(MEMORY)).toHaveLength(left)
      expect(scene.pods()).toHaveLength(left)
      expect(scene.nodes.isHeld(MEMORY)).toBe(left === 1)
      const {reason, message} = scene.status('Migration', 'move') as Record<string, string>
      if (pages === 'Lost') {
        expect(reason).toBe('MEMORY_LOST')
        expect(message).toContain('the connection broke')
      }
      await scene.end()
    }
  },
)
