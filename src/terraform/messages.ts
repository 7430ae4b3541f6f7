import {z} from 'zod'
import type {TerraformDiagnostic} from '../base/errors.ts'
import type {Outputs, ResourceChange, TerraformProgress} from './types.ts'

/** One line of Terraform's machine-readable UI: developer.hashicorp.com/terraform/internals/machine-readable-ui. */
const messageSchema = z.looseObject({
  type: z.string(),
  hook: z
    .looseObject({
      resource: z.looseObject({addr: z.string()}),
      action: z.string().default('refresh'),
      id_value: z.string().optional(),
      elapsed_seconds: z.number().default(0),
    })
    .optional(),
  change: z
    .looseObject({
      resource: z.looseObject({addr: z.string(), resource_type: z.string().default('')}),
      action: z.string(),
    })
    .optional(),
  outputs: z.record(z.string(), z.looseObject({value: z.unknown().optional()})).optional(),
  diagnostic: z
    .looseObject({
      severity: z.string(),
      summary: z.string(),
      detail: z.string().default(''),
      address: z.string().optional(),
    })
    .optional(),
})

export interface UiMessage {
  readonly progress?: TerraformProgress
  /** An error; warnings are left out. */
  readonly error?: TerraformDiagnostic
  /** A data source that was read, and the id of what it found. */
  readonly read?: {readonly address: string; readonly id: string}
  /** Something that would only be made; `other`: a change that has more to tell than this line does. */
  readonly planned?: ResourceChange | 'other'
  /** Outputs, unwrapped; `untold`: there are some without their values, as in a plan. */
  readonly outputs?: Outputs | 'untold'
}

const states: Readonly<Record<string, TerraformProgress['state']>> = {
  apply_start: 'started',
  apply_progress: 'still',
  apply_complete: 'done',
  apply_errored: 'failed',
  refresh_start: 'started',
  refresh_complete: 'done',
}

/** What a line tells; nothing where it is no message, or one that nobody needs. */
export function parseMessage(line: string): UiMessage {
  const message = messageSchema.safeParse(parseJson(line))
  if (!message.success) return {}
  const {type, hook, diagnostic, change, outputs} = message.data
  if (type === 'diagnostic' && diagnostic?.severity === 'error') {
    const {address, summary, detail} = diagnostic
    return {error: {summary, detail, ...(address === undefined ? {} : {address})}}
  }
  if (type === 'resource_drift') return {planned: 'other'}
  if (type === 'planned_change' && change !== undefined) return plannedOf(change)
  if (type === 'outputs' && outputs !== undefined) return {outputs: valuesOf(outputs)}
  const state = states[type]
  if (state === undefined || hook === undefined) return {}
  const {
    resource: {addr: address},
    action,
    elapsed_seconds: elapsedSeconds,
    id_value: id,
  } = hook
  const isRead = state === 'done' && address.startsWith('data.') && id !== undefined
  return {
    progress: {address, action, state, elapsedSeconds},
    ...(isRead ? {read: {address, id}} : {}),
  }
}

function plannedOf({resource, action}: NonNullable<z.output<typeof messageSchema>['change']>): UiMessage {
  // What is only read is no change.
  if (action === 'noop' || action === 'read') return {}
  if (action !== 'create') return {planned: 'other'}
  return {planned: {address: resource.addr, type: resource.resource_type, actions: ['create']}}
}

function valuesOf(outputs: Readonly<Record<string, {readonly value?: unknown}>>): Outputs | 'untold' {
  const told = Object.entries(outputs)
  return told.every(([, output]) => 'value' in output)
    ? Object.fromEntries(told.map(([name, {value}]) => [name, value]))
    : 'untold'
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch (error) {
    // What a provider or a wrapper script prints beside the messages.
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}
