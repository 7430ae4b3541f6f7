import {isDeepStrictEqual} from 'node:util'
import {checkpointSchema, migrationSchema, type Checkpoint, type Migration} from '../../api/resources.ts'
import {objectName} from '../../api/object-names.ts'
import {podSchema, type Pod} from '../../kubernetes/pod.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import {recordEvent} from '../../operator/events.ts'
import {timeText} from '../../base/time.ts'
import {writeStatus} from '../../operator/writes.ts'
import type {Requeue} from '../../operator/reconciler.ts'
import {refTo, type ReconcileContext} from './reconcile-context.ts'

type Status = NonNullable<Migration['status']>
type Phase = NonNullable<Status['phase']>
/** Fields to write; null takes one away. */
type Fields = {readonly [K in keyof Status]?: Status[K] | null | undefined}

/** A Migration as it was read, and what to work with. */
export interface MigrationAt {
  readonly object: KubeObject
  readonly migration: Migration
  readonly context: ReconcileContext
}

export const migrationOf = (object: KubeObject, context: ReconcileContext): MigrationAt => ({
  object,
  migration: migrationSchema.parse(object),
  context,
})

/** Of the Checkpoint that it makes. */
export const checkpointNameOf = ({metadata, status}: Migration): string =>
  status?.checkpointName ?? objectName(['move', metadata.name])

/** As it will be once these fields are written. */
export const withStatus = (at: MigrationAt, fields: Status): MigrationAt => ({
  ...at,
  migration: {...at.migration, status: {...at.migration.status, ...fields}},
})

/** Its checkpoint as the server has it now. */
export async function checkpointOf({migration, context}: MigrationAt): Promise<Checkpoint | undefined> {
  const {status, metadata} = migration
  if (status?.checkpointName === undefined) return undefined
  const found = await context.kube.get(refTo('Checkpoint', status.checkpointName, metadata.namespace))
  return found === undefined ? undefined : checkpointSchema.parse(found)
}

/** The same, unless it is being deleted: then its agent may resume the source. */
export async function keptCheckpointOf(at: MigrationAt): Promise<Checkpoint | undefined> {
  const found = await checkpointOf(at)
  return found?.metadata.deletionTimestamp === undefined ? found : undefined
}

/** What was said of a pod on the target that is no more. */
const NOT_RUNNING: Fields = {runningTime: null, downtimeMilliseconds: null, transferredBytes: null}

/** Enters a phase; what it does begins only when that is written. */
export async function step(at: MigrationAt, phase: Phase, fields: Fields, message: string): Promise<Requeue> {
  const {object, context} = at
  const forgotten = phase === 'RollingBack' ? NOT_RUNNING : {}
  await writeStatus(
    object,
    {phase, phaseStartTime: timeText(context.now()), message, ...forgotten, ...fields},
    context,
  )
  context.log('info', 'a migration entered a phase', {migration: object.metadata.name, phase, message})
  return undefined
}

/** Writes what is new within a phase. */
export async function updateStatus({object, migration, context}: MigrationAt, fields: Fields): Promise<void> {
  const {status = {}} = migration
  const before: Readonly<Record<string, unknown>> = status
  if (Object.entries(fields).every(([key, value]) => isDeepStrictEqual(before[key], value))) return
  await writeStatus(object, fields, context)
}

/** Ends it, with the reason that was noted before where none is given. */
export async function finish(
  at: MigrationAt,
  phase: 'Succeeded' | 'RolledBack' | 'Failed',
  reason: string | null,
  message: string,
  fields: Fields = {},
): Promise<Requeue> {
  const {object, context} = at
  const nowMs = context.now()
  const completionTime = new Date(nowMs).toISOString()
  await step(at, phase, {reason, completionTime, ...fields}, message)
  const {downtimeMilliseconds, transferredBytes} = fields
  context.metrics.migrationEnded({
    result: phase,
    way: measuredWay(at.migration),
    downtimeMs: downtimeMilliseconds ?? undefined,
    transferredBytes: transferredBytes ?? undefined,
  })
  await recordEvent(object, phase === 'Succeeded' ? 'Normal' : 'Warning', phase, message, context)
  return undefined
}

/** Moves with pre-copy and with post-copy are measured by themselves: they take longer, and their downtime is shorter. */
function measuredWay({spec, status: {way = 'Store', preCopy} = {}}: Migration): string {
  if (spec.memoryPolicy === 'Lazy') return 'Lazy'
  return way === 'Direct' && (preCopy?.rounds ?? 0) > 0 ? 'PreCopy' : way
}

/** Milliseconds since the phase began. */
export const phaseMs = ({migration, context}: MigrationAt): number =>
  context.now() - (Date.parse(migration.status?.phaseStartTime ?? '') || context.now())

/** As the server has it now: what is deleted must not be judged by what was heard some time ago. */
export async function podNamed(name: string, {migration, context}: MigrationAt): Promise<Pod | undefined> {
  if (name === '') return undefined
  const found = await context.kube.get(refTo('Pod', name, migration.metadata.namespace))
  return found === undefined ? undefined : podSchema.parse(found)
}
