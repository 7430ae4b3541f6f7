import {z} from 'zod'
import type {Outputs, ResourceChange, TerraformPlan} from './types.ts'

const actionSchema = z.enum(['create', 'read', 'update', 'delete', 'no-op', 'forget'])

const changeSchema = z.looseObject({
  actions: z.array(actionSchema),
  before: z.unknown().optional(),
  after: z.unknown().optional(),
  after_unknown: z.unknown().optional(),
  replace_paths: z.array(z.array(z.union([z.string(), z.number()]))).default([]),
})

const resourceSchema = z.looseObject({
  address: z.string(),
  type: z.string(),
  mode: z.string().default('managed'),
  change: changeSchema,
  action_reason: z.string().optional(),
})

const stateSchema = z.looseObject({
  values: z
    .looseObject({outputs: z.record(z.string(), z.looseObject({value: z.unknown().optional()})).default({})})
    .default({outputs: {}}),
})

/** `terraform show -json PLAN`: developer.hashicorp.com/terraform/internals/json-format. */
const planSchema = z.looseObject({
  resource_changes: z.array(resourceSchema).default([]),
  resource_drift: z.array(resourceSchema).default([]),
  output_changes: z
    .record(
      z.string(),
      z.looseObject({
        actions: z.array(z.string()).default([]),
        before: z.unknown().optional(),
        after: z.unknown().optional(),
      }),
    )
    .default({}),
  prior_state: stateSchema.default({values: {outputs: {}}}),
})

/** What a saved plan says. */
export function parsePlan(
  text: string,
): Omit<TerraformPlan, 'file' | 'outputs' | 'read'> & {outputs: Outputs} {
  const plan = planSchema.parse(JSON.parse(text))
  const changes = (found: typeof plan.resource_changes) =>
    found
      .filter(({mode, change}) => mode === 'managed' && change.actions.some((action) => action !== 'no-op'))
      .map(changeOf)
  const [made, drift] = [changes(plan.resource_changes), changes(plan.resource_drift)]
  const outputs = Object.values(plan.output_changes)
  const hasOutputs = outputs.some(({actions}) => actions.some((action) => action !== 'no-op'))
  return {
    changes: made,
    drift,
    hasChanges: made.length > 0 || drift.length > 0 || hasOutputs,
    outputs: Object.fromEntries(Object.entries(plan.output_changes).map(([name, {after}]) => [name, after])),
    priorOutputs: priorOutputsOf(plan),
  }
}

/**
 * Outputs that a plan works out stand in its prior state as they will be, and say themselves what they were. With
 * targets some are not worked out: those are in the prior state as they are.
 */
function priorOutputsOf({
  prior_state: state,
  output_changes: changes,
}: z.output<typeof planSchema>): Readonly<Record<string, unknown>> {
  const untouched = Object.entries(state.values.outputs).flatMap(([name, {value}]) =>
    changes[name] === undefined ? [[name, value] as const] : [],
  )
  const known = Object.entries(changes).flatMap(([name, {before}]) =>
    before == null ? [] : [[name, before] as const],
  )
  return Object.fromEntries([...untouched, ...known])
}

function changeOf({address, type, change, action_reason}: z.output<typeof resourceSchema>): ResourceChange {
  const reason = reasonOf(action_reason, change.replace_paths)
  const isWhole = change.before == null || change.after == null
  return {
    address,
    type,
    actions: change.actions,
    ...(reason === undefined ? {} : {reason}),
    ...(isWhole ? {} : {attributes: differing(change)}),
  }
}

/** `replace_because_tainted` as words; what cannot be changed in place is named. */
function reasonOf(
  reason: string | undefined,
  replacePaths: readonly (readonly (string | number)[])[],
): string | undefined {
  if (reason === undefined) return undefined
  const names = [...new Set(replacePaths.map(([first]) => String(first)))].sort()
  if (reason === 'replace_because_cannot_update' && names.length > 0)
    return `cannot be changed in place: ${names.join(', ')}`
  return reason.replace(/^(replace|delete|read)_because_/, '').replaceAll('_', ' ')
}

function differing({
  before,
  after,
  after_unknown: unknown,
}: z.output<typeof changeSchema>): readonly string[] {
  const [old, next, open] = [fieldsOf(before), fieldsOf(after), fieldsOf(unknown)]
  const names = new Set([...Object.keys(old), ...Object.keys(next), ...Object.keys(open)])
  return [...names]
    .filter((name) => hasUnknown(open[name]) || canonical(old[name]) !== canonical(next[name]))
    .sort()
}

const fieldsOf = (value: unknown): Readonly<Record<string, unknown>> =>
  z.record(z.string(), z.unknown()).safeParse(value).data ?? {}

/** Unknown is marked by `true` somewhere inside; lists and objects without it are all known. */
function hasUnknown(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return value === true
  return Object.values(value).some(hasUnknown)
}

/** Absent and null are the same to Terraform, as is the order of keys. */
function canonical(value: unknown): string {
  return JSON.stringify(value ?? null, (_, item: unknown) =>
    typeof item === 'object' && item !== null && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
      : item,
  )
}
