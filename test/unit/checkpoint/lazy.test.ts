import {expect, test} from 'vitest'
import {reasonNotToBeLazy, type LazyMove} from '../../../src/checkpoint/lazy.ts'
import {parsePod} from '../../../src/kubernetes/pod.ts'

const REPLICA_SET = {apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-77', uid: 'r', controller: true}

test.for<[string | undefined, LazyMove, object, readonly object[]]>([
  [undefined, {}, {}, [REPLICA_SET]],
  [undefined, {backend: 'Handler', keep: false, preCopy: false}, {}, [REPLICA_SET]],
  ['backend CreateImage', {backend: 'CreateImage'}, {}, [REPLICA_SET]],
  ['no memory to keep', {keep: true}, {}, [REPLICA_SET]],
  ['preCopy', {preCopy: true}, {}, [REPLICA_SET]],
  ['not a pod of a ReplicaSet', {}, {}, []],
  ['not a pod of a ReplicaSet', {}, {}, [{...REPLICA_SET, kind: 'StatefulSet'}]],
  ['not a pod of a ReplicaSet', {}, {}, [{...REPLICA_SET, controller: false}]],
  ['more than one container', {}, {containers: [{name: 'a'}, {name: 'b'}]}, [REPLICA_SET]],
  ['hostNetwork', {}, {hostNetwork: true}, [REPLICA_SET]],
])('why a pod cannot run before its memory is there: %s', ([why, move, spec, ownerReferences]) => {
  const pod = parsePod({
    ...{apiVersion: 'v1', kind: 'Pod', metadata: {name: 'web', namespace: 'team', uid: 'u', ownerReferences}},
    spec: {containers: [{name: 'main'}], ...spec},
  })
  const reason = reasonNotToBeLazy(pod, move)
  if (why === undefined) expect(reason).toBeUndefined()
  else expect(reason).toContain(why)
})
