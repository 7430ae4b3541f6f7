import {existsSync} from 'node:fs'
import {rm} from 'node:fs/promises'
import {join} from 'node:path'
import {z} from 'zod'
import type {TerraformDiagnostic} from '../errors.ts'
import {failureOf, StateLockedError, unreleasedLock} from './failures.ts'
import {awaitLeftover, isLockOf, type DeadRun, type Identify} from './leftover.ts'
import {parseMessage} from './messages.ts'
import {parsePlan} from './plan-json.ts'
import {withPluginCache, type PluginCache} from './plugin-cache.ts'
import {idsOf} from './state-json.ts'
import {runChanging, runReading, type TerraformEnd} from './process.ts'
import type {PlanRun, Terraform, TerraformPlan, TerraformRun} from './types.ts'
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
      ...targets.map((address) => `-target=${address}`),
    ]
    const {exitCode} = await this.#change('plan', args, run, {alsoGood: somethingToDo})
    if (exitCode === nothingToDo)
      return {changes: [], drift: [], hasChanges: false, outputs: {}, priorOutputs: {}, file}
    return this.show(file, run)
  }

  async show(planFile: string, run: TerraformRun): Promise<TerraformPlan> {
    const {stdout} = await this.#read('show', ['show', '-json', planFile], run)
    return {...parsePlan(stdout), file: planFile}
  }

  async apply(planFile: string, run: TerraformRun): Promise<void> {
    await this.#change('apply', ['apply', '-json', '-input=false', planFile], run)
  }

  async refresh(run: TerraformRun): Promise<void> {
    const args = ['apply', '-refresh-only', '-auto-approve', '-json', '-input=false']
    await this.#change('refresh', args, run)
  }

  async output(run: TerraformRun): Promise<Readonly<Record<string, unknown>> | undefined> {
    const {stdout} = await this.#read('output', ['output', '-json', '-no-color'], run)
    const outputs = outputsSchema.parse(JSON.parse(stdout))
    const names = Object.keys(outputs)
    return names.length === 0
      ? undefined
      : Object.fromEntries(Object.entries(outputs).map(([name, {value}]) => [name, value]))
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
    this.#options.onNote('the state that an earlier run could not save is saved now')
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
  ): Promise<TerraformEnd> {
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
  ): Promise<TerraformEnd> {
    const {dir, environment, identify, log} = this.#options
    const errors: TerraformDiagnostic[] = []
    log(`terraform: ${args.join(' ')}`)
    const call = {program: this.program.path, args, dir, environment: {...environment, ...variables}, signal}
    const end = await runChanging(call, identify, (line) => {
      log(`terraform: ${line}`)
      const {progress, error} = parseMessage(line)
      if (progress !== undefined) onProgress?.(progress)
      if (error !== undefined) errors.push(error)
    })
    const lock = unreleasedLock(errors)
    if (lock !== undefined) await rememberLock(dir, lock.id)
    if (end.exitCode !== alsoGood) this.#refuse(operation, end, errors)
    return end
  }

  async #unlock({lock}: StateLockedError, {signal}: TerraformRun): Promise<boolean> {
    const {dir, hostname, onNote} = this.#options
    const isKilled = this.#dead !== undefined && isLockOf(lock, this.#dead, hostname)
    if (!isKilled && !(await isOwnLock(dir, lock.id))) return false
    const {exitCode} = await this.#run(['force-unlock', '-force', lock.id], {signal})
    if (exitCode !== 0) return false
    await forgetLock(dir)
    const who = isKilled ? 'was killed here' : 'could not give it back'
    onNote(`the lock ${lock.id} on the state was left by a run that ${who}, and is taken off`)
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
