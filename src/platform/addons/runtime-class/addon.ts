import {z} from 'zod'
import {RESTORE_RUNTIME} from '../../../api/names.ts'
import type {KubeObject} from '../../../kubernetes/types.ts'
import {defineAddon} from '../addon.ts'

/** The class of pods that resume from a checkpoint. */
export const restoreRuntimeClass: KubeObject = {
  apiVersion: 'node.k8s.io/v1',
  kind: 'RuntimeClass',
  metadata: {name: RESTORE_RUNTIME, labels: {'clouder.dev/addon': 'runtime-class'}},
  handler: RESTORE_RUNTIME,
}

/** Pods can ask for the restoring runtime by its class. */
export const runtimeClassAddon = defineAddon({
  id: 'runtime-class',
  title: 'RuntimeClass for restores',
  version: '1',
  description: 'the RuntimeClass of pods that resume from a checkpoint',
  profile: 'minimal',
  stage: 'bootstrap',
  needs: [],
  provides: [],
  images: [],
  parameters: () => z.strictObject({}),
  unavailable: ({checkpoint}) => (checkpoint.enabled ? undefined : 'spec.checkpoint.enabled is false'),
  objects: () => [restoreRuntimeClass],
})
