import {isDeepStrictEqual} from 'node:util'
import {checkpointSchema, migrationSchema, type Checkpoint, type Migration} from '../../api/resources.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import {tellEvent} from '../../operator/events.ts'
import {timeText} from '../../base/time.ts'
import {refTo, writeStatus, type Again, type World} from './reconcile-context.ts'

type Status = NonNullable<Migration['status']>
type Phase = NonNullable<Status['phase']>
/** Fields to write; null takes one away. */
type Fields = {readonly [K in keyof Status]?: Status[K] | null | undefined}

/** A Migration as it was read, and what to work with. */
export interface MigrationAt {
  readonly object: KubeObject
  readonly migration: Migration
  readonly world: World
}

export const migrationOf = (object: KubeObject, world: World): MigrationAt => ({
  object,
  migration: migrationSchema.parse(object),
  world,
})

/** Its checkpoint as the server has it now. */
export async function checkpointOf({migration, world}: MigrationAt): Promise<Checkpoint | undefined> {
  const {status, metadata} = migration
  if (status?.checkpoint === undefined) return undefined
  const found = await world.kube.get(refTo('Checkpoint', status.checkpoint, metadata.namespace))
  return found === undefined ? undefined : checkpointSchema.parse(found)
}

/** Enters a phase; what it does begins only when that is written. */
export async function step(at: MigrationAt, phase: Phase, fields: Fields, message: string): Promise<Again> {
  const {object, world} = at
  await writeStatus(object, {phase, since: timeText(world.now()), message, ...fields}, world)
  world.log('info', 'a migration went on', {migration: object.metadata.name, phase, told: message})
  return undefined
}

/** Writes what is new within a phase. */
export async function tell({object, migration, world}: MigrationAt, fields: Fields): Promise<void> {
  const {status = {}} = migration
  const before: Readonly<Record<string, unknown>> = status
  if (Object.entries(fields).every(([key, value]) => isDeepStrictEqual(before[key], value))) return
  await writeStatus(object, fields, world)
}

/** Ends it, with the reason that was noted before where none is given. */
export async function finish(
  at: MigrationAt,
  phase: 'Succeeded' | 'RolledBack' | 'Failed',
  reason: string | null,
  message: string,
  fields: Fields = {},
): Promise<Again> {
  const {object, world} = at
  const nowMs = world.now()
  await step(at, phase, {reason, finishedAt: timeText(nowMs), ...fields}, message)
  world.metrics.migrationEnded(phase, fields.downtimeMs ?? undefined)
  await tellEvent(object, phase === 'Succeeded' ? 'Normal' : 'Warning', phase, message, world)
  return undefined
}

/** Milliseconds since the phase began. */
export const phaseMs = ({migration, world}: MigrationAt): number =>
  world.now() - (Date.parse(migration.status?.since ?? '') || world.now())
