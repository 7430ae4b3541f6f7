import {existsSync} from 'node:fs'
import {access, readFile, writeFile} from 'node:fs/promises'
import {join, resolve} from 'node:path'
import {z} from 'zod'
import {TerraformError} from '../../src/terraform/errors.ts'
import type {
  Outputs,
  ResourceChange,
  Terraform,
  TerraformPlan,
  TerraformRun,
} from '../../src/terraform/types.ts'

const resourcesSchema = z.record(z.string(), z.record(z.string(), z.unknown()))
const outputsSchema = z.record(z.string(), z.unknown())
const configSchema = z.looseObject({
  terraform: z.object({backend: z.object({local: z.object({path: z.string()})})}),
  resource: z.record(z.string(), resourcesSchema).default({}),
  output: z.record(z.string(), z.object({value: z.unknown()})).default({}),
})
const stateSchema = z.object({
  serial: z.int(),
  /** Arguments by address. */
  resources: resourcesSchema,
  tainted: z.array(z.string()),
  outputs: outputsSchema,
})
type State = z.output<typeof stateSchema>
const savedPlanSchema = z.object({
  serial: z.int(),
  changes: z.array(z.object({address: z.string(), actions: z.array(z.string())})),
  wanted: resourcesSchema,
  outputs: outputsSchema,
})
type SavedPlan = z.output<typeof savedPlanSchema>

export interface FakeTerraform extends Terraform {
  /** Operations in order: `init`, `plan`, `apply`. */
  readonly calls: readonly string[]
  /** Somebody changes arguments of a resource behind Terraform's back; a refresh-only plan tells. */
  drift(address: string, attributes: readonly string[]): void
}

/**
 * Terraform for stacks whose resources are plain arguments; passes `terraformContract`. Its state lies in the folder, so
 * that another run finds it. `id` of a resource is its address; a change of `triggers_replace` makes it anew; a
 * provisioner that tests for a file fails while that is there.
 */
export function fakeTerraform(dir: string): FakeTerraform {
  const calls: string[] = []
  const drifted = new Map<string, readonly string[]>()
  const begin = async (call: string, {signal}: TerraformRun): Promise<void> => {
    signal.throwIfAborted()
    calls.push(call)
    if (call !== 'init') await access(join(dir, '.terraform-fake'))
  }
  const load = async (): Promise<State> => {
    const {statePath} = await readConfig(dir)
    return existsSync(statePath)
      ? stateSchema.parse(JSON.parse(await readFile(statePath, 'utf8')))
      : {serial: 0, resources: {}, tainted: [], outputs: {}}
  }
  const save = async (state: State) => writeFile((await readConfig(dir)).statePath, JSON.stringify(state))

  return {
    program: {name: 'terraform', path: '/fake/terraform', version: '1.11.4'},
    calls,
    drift: (address, attributes) => void drifted.set(address, attributes),
    init: async (run) => {
      await begin('init', run)
      await readConfig(dir)
      await writeFile(join(dir, '.terraform-fake'), '')
    },
    plan: async ({destroy = false, refreshOnly = false, targets = [], ...run}) => {
      await begin('plan', run)
      const [config, state] = [await readConfig(dir), await load()]
      const saved = planOf(destroy ? {resources: {}, outputs: {}} : targeted(config, state, targets), state)
      const file = join(dir, 'plan.tfplan')
      await writeFile(file, JSON.stringify(saved))
      const drift = [...drifted].map(([address, attributes]) => changed(address, ['update'], {attributes}))
      const priorOutputs = state.outputs
      if (refreshOnly)
        return {
          changes: [],
          drift,
          hasChanges: drift.length > 0,
          outputs: later({}),
          priorOutputs,
          read: {},
          file,
        }
      const plan = told(saved, state, file)
      const onlyMakes = plan.changes.length > 0 && plan.changes.every(({actions}) => actions[0] === 'create')
      return onlyMakes ? {...plan, priorOutputs: {}} : plan
    },
    show: async (file, run) => {
      await begin('show', run)
      return told(savedPlanSchema.parse(JSON.parse(await readFile(file, 'utf8'))), await load(), file)
    },
    apply: async (file, run) => {
      await begin('apply', run)
      const saved = savedPlanSchema.parse(JSON.parse(await readFile(file, 'utf8')))
      const state = await load()
      if (saved.serial !== state.serial)
        throw new TerraformError('PLAN_STALE', 'the saved plan is older than the state')
      await applyPlan(saved, state, run, save)
      return someOf(state.outputs)
    },
    refresh: async ({targets = [], ...run}) => {
      await begin('refresh', run)
      for (const address of targets.length === 0 ? [...drifted.keys()] : targets) drifted.delete(address)
      return someOf((await load()).outputs)
    },
    output: async (run) => {
      await begin('output', run)
      return someOf((await load()).outputs)
    },
    stateList: async (run) => {
      await begin('state list', run)
      return Object.keys((await load()).resources)
    },
    forget: async (addresses, run) => {
      await begin('state rm', run)
      const state = await load()
      for (const address of addresses) Reflect.deleteProperty(state.resources, address)
      state.serial += 1
      await save(state)
      return addresses
    },
  }
}

interface Wanted {
  readonly resources: z.output<typeof resourcesSchema>
  readonly outputs: z.output<typeof outputsSchema>
}

async function readConfig(dir: string): Promise<Wanted & {readonly statePath: string}> {
  const {resource, output, terraform} = configSchema.parse(
    JSON.parse(await readFile(join(dir, 'cdk.tf.json'), 'utf8')),
  )
  const resources = Object.entries(resource).flatMap(([type, byName]) =>
    Object.entries(byName).map(([name, args]): [string, Record<string, unknown>] => [
      `${type}.${name}`,
      args,
    ]),
  )
  const outputs = Object.entries(output).map(([name, {value}]): [string, unknown] => [name, value])
  return {
    resources: Object.fromEntries(resources),
    outputs: Object.fromEntries(outputs),
    statePath: resolve(dir, terraform.backend.local.path),
  }
}

const later = (outputs: Outputs) => () => Promise.resolve(outputs)

const someOf = (outputs: Outputs) => (Object.keys(outputs).length === 0 ? undefined : outputs)

const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b)

/** What is wanted where only some addresses are planned: the rest as it is, outputs too. */
function targeted(wanted: Wanted, state: State, targets: readonly string[]): Wanted {
  if (targets.length === 0) return wanted
  const chosen = targets.flatMap((address) => {
    const args = wanted.resources[address]
    return args === undefined ? [] : [[address, args] as const]
  })
  const others = Object.entries(state.resources).filter(([address]) => !targets.includes(address))
  return {resources: Object.fromEntries([...others, ...chosen]), outputs: state.outputs}
}

function planOf(wanted: Wanted, state: State): SavedPlan {
  const made = Object.entries(wanted.resources).flatMap(([address, args]) => {
    const old = state.resources[address]
    if (old === undefined) return [{address, actions: ['create']}]
    const isAnew = !same(old['triggers_replace'], args['triggers_replace']) || state.tainted.includes(address)
    if (isAnew) return [{address, actions: ['delete', 'create']}]
    return same(old, args) ? [] : [{address, actions: ['update']}]
  })
  const gone = Object.keys(state.resources).filter((address) => wanted.resources[address] === undefined)
  return {
    serial: state.serial,
    changes: [...made, ...gone.map((address) => ({address, actions: ['delete']}))],
    wanted: wanted.resources,
    outputs: wanted.outputs,
  }
}

function changed(
  address: string,
  actions: ResourceChange['actions'],
  more: Partial<ResourceChange> = {},
): ResourceChange {
  return {address, type: address.split('.')[0] ?? '', actions, ...more}
}

function told(saved: SavedPlan, state: State, file: string): TerraformPlan {
  const changes = saved.changes.map(({address, actions}) => {
    if (actions.length === 2)
      return changed(address, ['delete', 'create'], {
        reason: state.tainted.includes(address) ? 'tainted' : 'cannot be changed in place: triggers_replace',
      })
    if (actions[0] === 'delete') return changed(address, ['delete'], {reason: 'no resource config'})
    if (actions[0] === 'create') return changed(address, ['create'])
    const [old, next] = [state.resources[address] ?? {}, saved.wanted[address] ?? {}]
    const attributes = Object.keys({...old, ...next}).filter((name) => !same(old[name], next[name]))
    return changed(address, ['update'], {attributes})
  })
  const hasChanges = changes.length > 0 || !same(resolved(saved.outputs, true), state.outputs)
  const outputs = later(hasChanges ? resolved(saved.outputs, false) : {})
  return {
    changes,
    drift: [],
    hasChanges,
    outputs,
    priorOutputs: hasChanges ? state.outputs : {},
    read: {},
    file,
  }
}

/** `${type.name.id}` becomes the address; what is not known yet is left out, as in a plan. */
function resolved(outputs: Wanted['outputs'], isKnown: boolean): Wanted['outputs'] {
  const text = JSON.stringify(outputs, (_, value: unknown) => {
    if (typeof value !== 'string' || !value.includes('${')) return value
    return isKnown ? value.replaceAll(/\$\{([\w.-]+)\.id\}/g, '$1') : undefined
  })
  return outputsSchema.parse(JSON.parse(text))
}

async function applyPlan(
  saved: SavedPlan,
  state: State,
  {onProgress}: TerraformRun,
  save: (state: State) => Promise<void>,
): Promise<void> {
  state.serial += 1
  const failed: string[] = []
  // What fails stops what depends on it, and nothing depends here.
  for (const {address, actions} of saved.changes) {
    const action = actions.at(-1) ?? ''
    const tell = (progress: 'started' | 'done' | 'failed') =>
      onProgress?.({address, action, state: progress, elapsedSeconds: 0})
    tell('started')
    const args = saved.wanted[address]
    state.tainted = state.tainted.filter((each) => each !== address)
    if (args === undefined) Reflect.deleteProperty(state.resources, address)
    else state.resources[address] = args
    const obstacle = /test ! -e '([^']+)'/.exec(JSON.stringify(args?.['provisioner'] ?? ''))?.[1]
    if (obstacle !== undefined && existsSync(obstacle)) {
      state.tainted.push(address)
      await save(state)
      tell('failed')
      failed.push(address)
      continue
    }
    tell('done')
    await save(state)
  }
  if (failed.length > 0) {
    const summary = 'local-exec provisioner error'
    throw new TerraformError(
      'TERRAFORM_FAILED',
      `terraform apply failed on ${failed.join(', ')}: ${summary}`,
      {diagnostics: failed.map((address) => ({address, summary, detail: ''}))},
    )
  }
  state.outputs = resolved(saved.outputs, true)
  await save(state)
}
