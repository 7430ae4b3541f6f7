import type {Step} from '../engine/types.ts'
import {describeRef, refOf} from '../../kubernetes/refs.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import type {ClusterTools, PhaseContext} from './context.ts'

/** The step that makes cluster objects as wanted: none when a dry run on the server finds no difference. */
export async function planObjects(
  context: PhaseContext,
  objects: readonly KubeObject[],
): Promise<readonly Step<ClusterTools>[]> {
  const kube = await context.kube()
  const differing = kube === undefined ? objects.map(refOf) : await kube.diff(objects)
  if (differing.length === 0) return []
  const names = differing.map(describeRef)
  const wanted = objects.filter((object) => names.includes(describeRef(refOf(object))))
  return [
    {
      summary: `apply ${names.join(', ')}`,
      reason:
        kube === undefined ? 'there is no API server yet' : 'absent or different from the desired state',
      run: async (tools, {signal}) => (await tools.kube()).apply(wanted, signal),
    },
  ]
}
