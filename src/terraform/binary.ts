import {join} from 'node:path'
import {z} from 'zod'
import type {TerraformDiagnostic} from '../errors.ts'
import {failureOf, StateLockedError} from './failures.ts'
import {awaitLeftover, isLockOf, type DeadRun, type Identify} from './leftover.ts'
import {parseMessage} from './messages.ts'
import {parsePlan} from './plan-json.ts'
import {withPluginCache, type PluginCache} from './plugin-cache.ts'
import {idsOf} from './state-json.ts'
import {runChanging, runReading, type TerraformEnd} from './process.ts'
import type {PlanRun, Terraform, TerraformPlan, TerraformRun} from './types.ts'

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

  constructor(options: BinaryOptions) {
    this.program = options.program
    this.#options = options
  }

  async init(run: TerraformRun): Promise<void> {
    const {dir, pluginCache} = this.#options
    await withPluginCache(pluginCache, {dir, program: this.program}, async (variables) => {
      await this.#change('init', ['init', '-input=false', '-no-color'], run, {variables})
    })
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
    const dead = await awaitLeftover(dir, identify, {signal: run.signal, onNote})
    try {
      return await this.#changeOnce(operation, args, run, how)
    } catch (error) {
      if (!(error instanceof StateLockedError) || !(await this.#unlock(error, dead, run))) throw error
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
    if (end.exitCode !== alsoGood) this.#refuse(operation, end, errors)
    return end
  }

  async #unlock(
    {lock}: StateLockedError,
    dead: DeadRun | undefined,
    {signal}: TerraformRun,
  ): Promise<boolean> {
    const {hostname, onNote} = this.#options
    if (dead === undefined || !isLockOf(lock, dead, hostname)) return false
    const {exitCode} = await this.#run(['force-unlock', '-force', lock.id], {signal})
    if (exitCode === 0)
      onNote(`the lock ${lock.id} on the state was left by a run that was killed here, and is taken off`)
    return exitCode === 0
  }

  #refuse(operation: string, end: TerraformEnd, diagnostics: readonly TerraformDiagnostic[]): void {
    const {exitCode, stderr} = end
    if (exitCode === 0) return
    for (const line of stderr.split('\n')) if (line.trim() !== '') this.#options.log(`terraform: ${line}`)
    const {name: program} = this.program
    throw failureOf({program, operation, dir: this.#options.dir, exitCode, diagnostics, stderr})
  }
}
