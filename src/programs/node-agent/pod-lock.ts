import {z} from 'zod'
import {API_VERSION} from '../../api/names.ts'
import type {Named} from './checkpoint-object.ts'
import type {AgentTools} from './tools.ts'
import {resumePod} from './thaw.ts'

/** What it takes to let a pod go on. */
export type ResumeTools = Pick<
  AgentTools,
  'podLocks' | 'kube' | 'cgroups' | 'pageServers' | 'shims' | 'log' | 'signal'
>

/**
 * Does what stops a pod, or lets it go on, after what was begun before with the same pod. Of two dumps at once the one
 * would let go of what stands still for the other, and what the pod did from then on would be lost unseen.
 */
export const withPodLock = <T>(
  podUid: string,
  {podLocks, signal}: Pick<AgentTools, 'podLocks' | 'signal'>,
  work: () => Promise<T>,
): Promise<T> => podLocks.during(podUid, signal, work)

/** Lets a pod go on for whose sake `checkpoint` stopped it, unless it stands still for another one. */
export async function resumeUnlessHeld(
  podUid: string,
  checkpoint: Pick<Named, 'uid' | 'namespace'>,
  tools: ResumeTools,
): Promise<void> {
  await withPodLock(podUid, tools, async () => {
    if ((await holderOf(podUid, checkpoint, tools)) === undefined) await resumePod(podUid, tools)
  })
}

/** Not by the schema of a Checkpoint: what holds a pod holds it, whatever else it says. */
const holderSchema = z.looseObject({
  metadata: z.looseObject({name: z.string(), uid: z.string()}),
  status: z.looseObject({frozen: z.literal(true), podUID: z.string()}),
})

/** Another Checkpoint that the pod stands still for. */
export async function holderOf(
  podUid: string,
  {uid, namespace}: Pick<Named, 'uid' | 'namespace'>,
  {kube}: Pick<AgentTools, 'kube'>,
): Promise<{readonly name: string} | undefined> {
  const all = await kube.list({apiVersion: API_VERSION, kind: 'Checkpoint', namespace})
  const holder = all
    .map((object) => holderSchema.safeParse(object).data)
    .find((other) => other?.metadata.uid !== uid && other?.status.podUID === podUid)
  return holder?.metadata
}
