import {RESTORE_RUNTIME} from '../../api/names.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import type {ClouderPhase} from './context.ts'
import {planObjects} from './objects.ts'

/** The class of pods that go on from a checkpoint. */
export const restoreRuntimeClass: KubeObject = {
  apiVersion: 'node.k8s.io/v1',
  kind: 'RuntimeClass',
  metadata: {name: RESTORE_RUNTIME, labels: {'clouder.dev/addon': 'checkpoint'}},
  handler: RESTORE_RUNTIME,
}

/** Pods can ask for the restoring runtime by its class. */
export const runtimeClassPhase: ClouderPhase = {
  id: 'runtime-class',
  title: 'Installing the RuntimeClass for restores',

  async plan(context) {
    return context.spec.checkpoint.enabled ? planObjects(context, [restoreRuntimeClass]) : []
  },
}
