import {z} from 'zod'
import type {CheckpointStatus} from '../../api/resources.ts'
import type {AgentContext} from './agent-context.ts'
import {API_VERSION} from '../../api/names.ts'
import {isSourceOfMove} from '../../checkpoint/moves.ts'
import {parseCheckpoint} from './checkpoint-object.ts'
import {removeFormer} from './former-archives.ts'
import {resumeUnlessHeld} from './pod-lock.ts'
import {parsePod, podRef, type Pod} from '../../kubernetes/pod.ts'
import {removeUnusedImages} from './reconcilers.ts'
import {isStopped} from './thaw.ts'

/** Once everything is known: what belongs to pods and Checkpoints that are gone is removed. May be done twice. */
export async function removeLeftovers(context: AgentContext, startedAtMs: number): Promise<void> {
  const {objects, preparations, tools} = context
  const {archives, formerArchives, dumps, log, node} = tools
  await dumps.clean()
  const pods = objects.list('Pod').map(parsePod)
  for (const checkpoint of objects.list('Checkpoint').map(parseCheckpoint))
    if (checkpoint.status?.nodeName === node)
      await removeFormer(formerArchives, checkpoint, pods, startedAtMs)
  // Listed before it is asked who they belong to: one that is begun meanwhile belongs to a Checkpoint that is known.
  const stored = await archives.list()
  const known = [...objects.list('Checkpoint'), ...objects.unreadable('Checkpoint')]
  const uids = new Set(known.map(({metadata}) => metadata.uid))
  for (const uid of stored.filter((one) => !uids.has(one))) {
    log('info', 'deleting the archive of a checkpoint that no longer exists', {uid})
    await archives.remove(uid)
  }
  for (const uid of await tools.incoming.list()) if (!uids.has(uid)) await tools.pulls.remove(uid)
  const prepared = await preparations.list()
  const there = new Set(
    [...objects.list('Pod'), ...objects.unreadable('Pod')].map(({metadata}) => metadata.uid),
  )
  for (const uid of prepared) if (!there.has(uid)) await preparations.remove(uid)
  for (const pod of pods) await resumeUnheld(pod, context)
  await removeUnusedImages(context)
}

const podUidSchema = z.looseObject({podUID: z.string()})

/** A pod that stands still for no Checkpoint goes on, unless a move has begun to start it elsewhere. */
async function resumeUnheld({metadata}: Pod, {objects, tools}: AgentContext): Promise<void> {
  const {uid, namespace, name} = metadata
  const holders = [
    ...objects
      .list('Checkpoint')
      .map(parseCheckpoint)
      .flatMap(({status}) => (mayHold(status) ? [status?.podUID] : [])),
    ...objects
      .unreadable('Checkpoint')
      .map((object) => podUidSchema.safeParse(object['status']).data?.podUID),
  ]
  if (holders.includes(uid) || !(await isStopped(uid, tools))) return
  const moves = await tools.kube.list({apiVersion: API_VERSION, kind: 'Migration', namespace})
  if (isSourceOfMove(uid, moves)) return
  if ((await tools.kube.get(podRef(namespace, name)))?.metadata.uid !== uid) return
  tools.log('warn', 'thawing a pod that was frozen for no checkpoint', {pod: name, namespace})
  // Unless one has begun to hold it by now.
  await resumeUnlessHeld(uid, {uid: '', namespace}, tools)
}

const mayHold = (status: CheckpointStatus | undefined): boolean =>
  status?.frozen === true || status?.phase === 'Dumping' || status?.phase === 'Storing'
