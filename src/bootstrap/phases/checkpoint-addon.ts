import {checkpointDefinitions} from '../../platform/addons/checkpoint/definitions.ts'
import {checkpointObjects, type CheckpointAddonOptions} from '../../platform/addons/checkpoint/objects.ts'
import {API_VERSION} from '../../api/names.ts'
import type {Bundle, ImageItem} from '../../bundle/types.ts'
import type {Step} from '../engine/types.ts'
import {TimeoutError} from '../../base/errors.ts'
import {KubernetesError} from '../../kubernetes/errors.ts'
import {BundleError} from '../../bundle/errors.ts'
import {describeRef, refOf} from '../../kubernetes/refs.ts'
import type {KubeObject, KubeReader} from '../../kubernetes/types.ts'
import {cloudOf} from '../../spec/cloud-machines.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import {HOST_PORTS} from '../../spec/syntax.ts'
import {waitFor} from '../../base/waiting.ts'
import {z} from 'zod'
import type {ClouderPhase, ClusterTools, PhaseContext} from './context.ts'

const resourcesSchema = z.looseObject({resources: z.array(z.looseObject({name: z.string()}))})
const SERVED_TIMEOUT_MS = 60_000

/** Checkpoints, restores and moves are objects of the cluster, and the programs that carry them out run. */
export const checkpointAddonPhase: ClouderPhase = {
  id: 'checkpoint',
  title: 'Installing checkpoint and restore',

  async plan(context) {
    const {checkpoint} = context.spec
    if (!checkpoint.enabled) return []
    const {reference: image, manifestDigest: imageDigest} = programImage(context)
    const definitions = checkpointDefinitions()
    const objects = checkpointObjects({
      image,
      imageDigest,
      store: checkpoint.store,
      volumeLimitGibibytes: checkpoint.volumeLimitGibibytes,
      ...hostNetworkOf(context.spec),
    })
    const kube = await context.kube()
    const differing = kube === undefined ? undefined : await kube.diff([...definitions, ...objects])
    const names = new Set((differing ?? [...definitions, ...objects].map(refOf)).map(describeRef))
    const wanted = (all: readonly KubeObject[]) =>
      all.filter((object) => names.has(describeRef(refOf(object))))
    return stepsFor(wanted(definitions), wanted(objects), kube === undefined)
  },
}

/** Where pods cannot reach the cloud's metadata, whoever needs the node's credentials is in the node's network. */
function hostNetworkOf(spec: ClusterSpec): Pick<CheckpointAddonOptions, 'hostNetwork'> {
  if (cloudOf(spec) === undefined) return {}
  const {agent, controller} = HOST_PORTS
  return {
    hostNetwork: {agentPort: agent, controllerPort: controller, controlPlanes: spec.controlPlane.count ?? 1},
  }
}

function programImage(context: PhaseContext): ImageItem {
  const arch = context.hosts[0]?.facts.arch ?? 'amd64'
  const image = imageOf(context.bundles(arch))
  if (image === undefined) {
    throw new BundleError('BUNDLE_NOT_CLOSED', 'the bundle has no image of the checkpoint programs', {
      suggestions: ['clouder bundle build', 'set spec.checkpoint.enabled to false'],
    })
  }
  return image
}

const imageOf = ({lock}: Bundle): ImageItem | undefined => lock.images.find(({name}) => name === 'clouder')

function stepsFor(
  definitions: readonly KubeObject[],
  objects: readonly KubeObject[],
  isNew: boolean,
): readonly Step<ClusterTools>[] {
  const reason = isNew ? 'there is no API server yet' : 'absent or different from the desired state'
  const apply: Step<ClusterTools> = {
    summary: `apply ${objects.map((object) => describeRef(refOf(object))).join(', ')}`,
    reason,
    run: async (tools, {signal}) => (await tools.kube()).apply(objects, signal),
  }
  const define: Step<ClusterTools> = {
    summary: `define ${definitions.map(({metadata}) => metadata.name).join(', ')}`,
    reason,
    run: async (tools, {signal}) => {
      const kube = await tools.kube()
      await kube.apply(definitions, signal)
      await waitServed(kube, definitions, signal)
    },
  }
  return [...(definitions.length === 0 ? [] : [define]), ...(objects.length === 0 ? [] : [apply])]
}

/** A kind is served a moment after its definition was accepted. */
async function waitServed(
  kube: KubeReader,
  definitions: readonly KubeObject[],
  signal: AbortSignal,
): Promise<void> {
  await waitFor({
    what: 'the API server to serve the checkpoint resources',
    check: async () => {
      const {status, body} = await kube.fetch(`/apis/${API_VERSION}`)
      const served = status === 200 ? resourcesSchema.parse(JSON.parse(body)).resources : []
      const names = new Set(served.map(({name}) => name))
      const plurals = definitions.map(({metadata}) => metadata.name.split('.')[0] ?? '')
      const open = plurals.filter((plural) => !names.has(plural))
      return open.length === 0 ? {value: true, seen: 'served'} : {seen: `not yet: ${open.join(', ')}`}
    },
    timeoutMs: SERVED_TIMEOUT_MS,
    intervalMs: 200,
    signal,
  }).catch((error: unknown) => {
    if (!(error instanceof TimeoutError)) throw error
    throw new KubernetesError('NOT_READY', error.message, {cause: error})
  })
}
