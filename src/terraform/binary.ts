import {existsSync} from 'node:fs'
import {rm} from 'node:fs/promises'
import {join} from 'node:path'
import {z} from 'zod'
import type {TerraformDiagnostic} from '../base/errors.ts'
import {failureOf, StateLockedError, unreleasedLock} from './failures.ts'
import {awaitLeftover, isLockOf, type DeadRun, type Identify} from './leftover.ts'
import {parseMessage} from './messages.ts'
import {parsePlan} from './plan-json.ts'
import {withPluginCache, type PluginCache} from './plugin-cache.ts'
import {idsOf} from './state-json.ts'
import {runChanging, runReading, type TerraformEnd} from './process.ts'
import type {Outputs, PlanRun, ResourceChange, Terraform, TerraformPlan, TerraformRun} from './types.ts'
import {forgetLock, isOwnLock, rememberLock, unsavedState} from './unsaved.ts'

export interface BinaryOptions {
  readonly program: Terraform['program']
  /** Folder with `cdk.tf.json`; what runs write lies beside it. */
  readonly dir: string
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly identify: Identify
  readonly hostname: string
  /** Told when a run that was killed left something here. */
  readonly onNote: (text: string) => void
  /** Takes lines for the run log alone. */
  readonly log: (line: string) => void
  /** Default: Terraform is left to what the environment says. */
  readonly pluginCache?: PluginCache | undefined
}

interface ChangeOptions {
  /** Exit code that is no failure beside 0. */
  readonly alsoGood?: number
  /** Variables over those of the environment. */
  readonly variables?: BinaryOptions['environment']
}

/** How a run ended, and what it told on the way. */
interface Told extends TerraformEnd {
  readonly planned: readonly (ResourceChange | 'other')[]
  readonly read: TerraformPlan['read']
  /** Of the last message about them. */
  readonly outputs: Outputs | 'untold' | undefined
}

const outputsSchema = z.record(z.string(), z.looseObject({value: z.unknown().optional()}))
/** Changes, no difference and trouble: `plan -detailed-exitcode`. */
const nothingToDo = 0
const somethingToDo = 2

/** Terraform, or OpenTofu, of this machine, in one folder. */
export function terraformBinary(options: BinaryOptions): Terraform {
  return new TerraformBinary(options)
}

class TerraformBinary implements Terraform {
  readonly program: Terraform['program']
  readonly #options: BinaryOptions
  /** What was found here first: an init, which takes no lock, must not cover up the run before it. */
  #dead: DeadRun | undefined

  constructor(options: BinaryOptions) {
    this.program = options.program
    this.#options = options
  }

  async init(run: TerraformRun): Promise<void> {
    const {dir, pluginCache} = this.#options
    await withPluginCache(pluginCache, {dir, program: this.program}, async (variables) => {
      await this.#change('init', ['init', '-input=false', '-no-color'], run, {variables})
    })
    await this.#saveUnsaved(run)
  }

  async plan({destroy, refreshOnly, lock, targets = [], ...run}: PlanRun): Promise<TerraformPlan> {
    const file = join(this.#options.dir, 'plan.tfplan')
    const args = [
      ...['plan', '-json', '-input=false', '-detailed-exitcode', `-out=${file}`],
      ...(destroy === true ? ['-destroy'] : []),
      ...(refreshOnly === true ? ['-refresh-only'] : []),
      ...(lock === false ? ['-lock=false'] : []),
      ...targets.map(targetOption),
    ]
    const {exitCode, planned, read} = await this.#change('plan', args, run, {alsoGood: somethingToDo})
    const isEmpty = exitCode === nothingToDo
    const onlyMakes = planned.length > 0 && planned.every((change) => change !== 'other')
    if (!isEmpty && !onlyMakes) return {...(await this.show(file, run)), read}
    // `show` loads the provider's schemas once more, which takes seconds, and of what is only made it tells no more.
    return {
      changes: planned.filter((change) => change !== 'other'),
      drift: [],
      hasChanges: !isEmpty,
      outputs: async (later) => (isEmpty ? {} : (await this.show(file, later)).outputs(later)),
      priorOutputs: {},
      read,
      file,
    }
  }

  async show(planFile: string, run: TerraformRun): Promise<TerraformPlan> {
    const {stdout} = await this.#read('show', ['show', '-json', planFile], run)
    const {outputs, ...plan} = parsePlan(stdout)
    return {...plan, outputs: () => Promise.resolve(outputs), read: {}, file: planFile}
  }

  async apply(planFile: string, run: TerraformRun): Promise<Outputs | undefined> {
    return this.#applied('apply', ['apply', '-json', '-input=false', planFile], run)
  }

  async refresh({targets = [], ...run}: Parameters<Terraform['refresh']>[0]): Promise<Outputs | undefined> {
    const args = ['apply', '-refresh-only', '-auto-approve', '-json', '-input=false']
    return this.#applied('refresh', [...args, ...targets.map(targetOption)], run)
  }

  async output(run: TerraformRun): Promise<Outputs | undefined> {
    const {stdout} = await this.#read('output', ['output', '-json', '-no-color'], run)
    const outputs = outputsSchema.parse(JSON.parse(stdout))
    return someOf(Object.fromEntries(Object.entries(outputs).map(([name, {value}]) => [name, value])))
  }

  /** What it tells of outputs at its end spares the next call. */
  async #applied(
    operation: string,
    args: readonly string[],
    run: TerraformRun,
  ): Promise<Outputs | undefined> {
    const {outputs = {}} = await this.#change(operation, args, run)
    return outputs === 'untold' ? this.output(run) : someOf(outputs)
  }

  async stateList(run: TerraformRun): Promise<readonly string[]> {
    const {exitCode, stdout, stderr} = await this.#run(['state', 'list', '-no-color'], run)
    // That there is no state yet is told as an error.
    if (exitCode !== 0 && /No state file was found/.test(stderr)) return []
    this.#refuse('state list', {exitCode, stdout, stderr}, [])
    return stdout.split('\n').filter((line) => line !== '' && !line.startsWith('data.'))
  }

  async forget(addresses: readonly string[], run: TerraformRun): Promise<readonly string[]> {
    if (addresses.length === 0) return []
    const {stdout} = await this.#read('show', ['show', '-json', '-no-color'], run)
    await this.#change('state rm', ['state', 'rm', '-no-color', ...addresses], run)
    return idsOf(stdout, addresses)
  }

  /** Without the state that an earlier run could not save, all that it made would be made once more. */
  async #saveUnsaved(run: TerraformRun): Promise<void> {
    const file = unsavedState(this.#options.dir)
    if (!existsSync(file)) return
    await this.#change('state push', ['state', 'push', '-no-color', file], run)
    await rm(file)
    this.#options.onNote('saved the state that an earlier run could not save')
  }

  async #read(operation: string, args: readonly string[], run: TerraformRun): Promise<TerraformEnd> {
    const end = await this.#run(args, run)
    this.#refuse(operation, end, [])
    return end
  }

  #run(args: readonly string[], {signal}: TerraformRun): Promise<TerraformEnd> {
    const {dir, environment, log} = this.#options
    log(`terraform: ${args.join(' ')}`)
    return runReading({program: this.program.path, args, dir, environment, signal})
  }

  /** Waits for what a killed run left, runs, and once takes off a lock that such a run provably left. */
  async #change(
    operation: string,
    args: readonly string[],
    run: TerraformRun,
    how: ChangeOptions = {},
  ): Promise<Told> {
    const {dir, identify, onNote} = this.#options
    this.#dead = (await awaitLeftover(dir, identify, {signal: run.signal, onNote})) ?? this.#dead
    try {
      return await this.#changeOnce(operation, args, run, how)
    } catch (error) {
      if (!(error instanceof StateLockedError) || !(await this.#unlock(error, run))) throw error
      return await this.#changeOnce(operation, args, run, how)
    }
  }

  async #changeOnce(
    operation: string,
    args: readonly string[],
    {signal, onProgress}: TerraformRun,
    {alsoGood = 0, variables = {}}: ChangeOptions,
  ): Promise<Told> {
    const {dir, environment, identify, log} = this.#options
    const errors: TerraformDiagnostic[] = []
    const planned: (ResourceChange | 'other')[] = []
    const read: Record<string, string> = {}
    let outputs: Told['outputs']
    log(`terraform: ${args.join(' ')}`)
    const call = {program: this.program.path, args, dir, environment: {...environment, ...variables}, signal}
    const end = await runChanging(call, identify, (line) => {
      log(`terraform: ${line}`)
      const told = parseMessage(line)
      if (told.progress !== undefined) onProgress?.(told.progress)
      if (told.error !== undefined) errors.push(told.error)
      if (told.planned !== undefined) planned.push(told.planned)
      if (told.read !== undefined) read[told.read.address] = told.read.id
      outputs = told.outputs ?? outputs
    })
    const lock = unreleasedLock(errors)
    if (lock !== undefined) await rememberLock(dir, lock.id)
    if (end.exitCode !== alsoGood) this.#refuse(operation, end, errors)
    return {...end, planned, read, outputs}
  }

  async #unlock({lock}: StateLockedError, {signal}: TerraformRun): Promise<boolean> {
    const {dir, hostname, onNote} = this.#options
    const isKilled = this.#dead !== undefined && isLockOf(lock, this.#dead, hostname)
    if (!isKilled && !(await isOwnLock(dir, lock.id))) return false
    const {exitCode} = await this.#run(['force-unlock', '-force', lock.id], {signal})
    if (exitCode !== 0) return false
    await forgetLock(dir)
    const who = isKilled ? 'was killed here' : 'could not release it'
    onNote(`releasing the lock ${lock.id} on the state, left by a run that ${who}`)
    return true
  }

  #refuse(operation: string, end: TerraformEnd, diagnostics: readonly TerraformDiagnostic[]): void {
    const {exitCode, stderr} = end
    if (exitCode === 0) return
    for (const line of stderr.split('\n')) if (line.trim() !== '') this.#options.log(`terraform: ${line}`)
    const {name: program} = this.program
    throw failureOf({program, operation, dir: this.#options.dir, exitCode, diagnostics, stderr})
  }
}

const targetOption = (address: string) => `-target=${address}`

function someOf(outputs: Outputs): Outputs | undefined {
  return Object.keys(outputs).length === 0 ? undefined : outputs
}
