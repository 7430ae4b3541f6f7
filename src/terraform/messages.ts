import {z} from 'zod'
import type {TerraformDiagnostic} from '../errors.ts'
import type {TerraformProgress} from './types.ts'

/** One line of Terraform's machine-readable UI: developer.hashicorp.com/terraform/internals/machine-readable-ui. */
const messageSchema = z.looseObject({
  type: z.string(),
  hook: z
    .looseObject({
      resource: z.looseObject({addr: z.string()}),
      action: z.string().default('refresh'),
      elapsed_seconds: z.number().default(0),
    })
    .optional(),
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
  const {type, hook, diagnostic} = message.data
  if (type === 'diagnostic' && diagnostic?.severity === 'error') {
    const {address, summary, detail} = diagnostic
    return {error: {summary, detail, ...(address === undefined ? {} : {address})}}
  }
  const state = states[type]
  if (state === undefined || hook === undefined) return {}
  return {
    progress: {
      address: hook.resource.addr,
      action: hook.action,
      state,
      elapsedSeconds: hook.elapsed_seconds,
    },
  }
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
