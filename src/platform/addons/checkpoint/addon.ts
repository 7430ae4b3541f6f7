import {z} from 'zod'
import {cloudOf} from '../../../spec/cloud-machines.ts'
import type {ClusterSpec} from '../../../spec/cluster-spec.ts'
import {HOST_PORTS} from '../../../spec/syntax.ts'
import {defineAddon} from '../addon.ts'
import {checkpointDefinitions} from './definitions.ts'
import {checkpointObjects, type CheckpointAddonOptions} from './objects.ts'
import {unapprovedKubelets} from './serving.ts'

/** Checkpoints, restores and moves are objects of the cluster, and the programs that carry them out run. */
export const checkpointAddon = defineAddon({
  id: 'checkpoint',
  title: 'Checkpoint and restore',
  version: '0.1.0',
  description: 'checkpoints of pods, their restore and their moves between nodes, as objects of the cluster',
  profile: 'minimal',
  stage: 'bootstrap',
  needs: ['runtime-class'],
  provides: [],
  images: ['clouder'],
  parameters: () => z.strictObject({}),
  unavailable: ({checkpoint}) => (checkpoint.enabled ? undefined : 'spec.checkpoint.enabled is false'),
  objects: (_, {spec, image}) => {
    const {reference, digest} = image('clouder')
    const options = {
      image: reference,
      imageDigest: digest,
      store: spec.checkpoint.store,
      volumeLimitGibibytes: spec.checkpoint.volumeLimitGibibytes,
      ...hostNetworkOf(spec),
    }
    return [...checkpointDefinitions(), ...checkpointObjects(options)]
  },
  // Whether a store answers is no matter of what was installed; of one on nodes only their agents know.
  isAwaited: ({kind}) => kind !== 'CheckpointStore',
  ready: (kube) => unapprovedKubelets(kube),
})

/** Where pods cannot reach the cloud's metadata, whoever needs the node's credentials is in the node's network. */
function hostNetworkOf(spec: ClusterSpec): Pick<CheckpointAddonOptions, 'hostNetwork'> {
  if (cloudOf(spec) === undefined) return {}
  const {agent, controller} = HOST_PORTS
  return {
    hostNetwork: {agentPort: agent, controllerPort: controller, controlPlanes: spec.controlPlane.count ?? 1},
  }
}
