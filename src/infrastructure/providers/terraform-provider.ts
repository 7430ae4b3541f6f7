import {copyFile} from 'node:fs/promises'
import type {TerraformJson} from '../../../stacks/input.ts'
import type {Cloud, CloudKind, CloudOpener} from '../clouds/cloud.ts'
import {InfrastructureError} from '../errors.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import type {Infrastructure} from '../../spec/machine.ts'
import type {TerraformPlan, TerraformProgress} from '../../terraform/types.ts'
import {checkCloud} from './cloud-check.ts'
import {knownHostKeys, readHostKeys} from './cloud-host-keys.ts'
import {applied} from './terraform-apply.ts'
import {inPlace, keptPlace, placeOf, variablesOf} from './cloud-place.ts'
import type {Infra, InfraPlanOptions, MachineChange, Provider, ProviderContext} from './provider.ts'
import {
  clusterFolder,
  hasConfiguration,
  initialise,
  isInitialised,
  openFolder,
  takeVersionsOf,
  type WorkFolder,
} from './terraform-folder.ts'
import {readPins} from './terraform-images.ts'
import {keyPathOf, publicKeyOf} from './terraform-input.ts'
import {
  cloudIdsOf,
  infrastructureOf,
  parseOutputs,
  unwrapped,
  type ClusterOutputs,
} from './terraform-outputs.ts'
import {configurationOf, lastingConfiguration, prepared, type PrepareOptions} from './terraform-prepare.ts'
import {targetsOf, reportStops, type MachineKind} from './terraform-machines.ts'
import {asPhase, asTask, changesOf} from './terraform-report.ts'
import {refuseSaved, removalOf, removedAndKept, reportKept} from './terraform-removal.ts'

export interface TerraformProviderOptions extends PrepareOptions {
  readonly kind: CloudKind
  readonly machines: MachineKind
  readonly openCloud: CloudOpener
  /** How long machines may take to print their host keys. Default 10 min. */
  readonly hostKeysTimeoutMs?: number
  readonly hostKeysIntervalMs?: number
}

const hostKeysTimeoutMs = 10 * 60_000
const hostKeysIntervalMs = 5_000

/** Machines of a cloud, made by Terraform from the stack of its kind. */
export function terraformProvider(options: TerraformProviderOptions): Provider {
  return new TerraformProvider(options)
}

class TerraformProvider implements Provider {
  readonly kind: CloudKind
  readonly infra: Infra
  readonly #options: TerraformProviderOptions
  #cloud: Promise<Cloud> | undefined
  /** The plan that was shown and agreed to: exactly that is applied. */
  #agreed: {readonly spec: ClusterSpec; readonly plan: TerraformPlan} | undefined

  constructor(options: TerraformProviderOptions) {
    this.kind = options.kind
    this.#options = options
    this.infra = {
      synthesise: (spec, context) => this.#synthesise(spec, context),
      plan: (spec, context, how) => this.#planned(spec, context, how),
      apply: (file, spec, context, agree) => this.#applyFile(file, spec, context, agree),
      outputs: (spec, context) => this.#outputs(spec, context),
      fromOutputs: async (outputs, spec, context) =>
        await this.#infrastructure(parseOutputs(unwrapped(outputs)), spec, context),
    }
  }

  async complete(
    spec: ClusterSpec,
    before: ClusterSpec | undefined,
    {signal}: ProviderContext,
  ): Promise<ClusterSpec> {
    const {region, account, profile} = keptPlace(spec, before)
    const cloud = await this.#options.openCloud({kind: this.kind, region, account, profile, signal})
    this.#cloud = Promise.resolve(cloud)
    return inPlace(spec, await cloud.identity(signal), profile)
  }

  async plan(spec: ClusterSpec, context: ProviderContext): Promise<readonly MachineChange[]> {
    const plan = await this.#planned(spec, context, {goal: 'apply'})
    if (context.readOnly !== true) this.#agreed = {spec, plan}
    return changesOf(plan, this.#options.machines)
  }

  async provision(spec: ClusterSpec, context: ProviderContext): Promise<Infrastructure> {
    if (this.#agreed?.spec !== spec) await this.plan(spec, context)
    const plan = this.#agreed?.plan
    this.#agreed = undefined
    await using folder = await openFolder(spec, context, this.#options)
    const outputs =
      plan?.hasChanges === true
        ? await applied(plan, `Creating the infrastructure of ${spec.name}`, folder, spec, context)
        : await folder.terraform.output({signal: context.signal})
    return await this.#infrastructure(parseOutputs(outputs ?? {}), spec, context)
  }

  async inspect(spec: ClusterSpec, context: ProviderContext): Promise<Infrastructure | undefined> {
    const outputs = await this.#outputs(spec, context)
    return outputs === undefined ? undefined : this.#infrastructure(parseOutputs(outputs), spec, context)
  }

  async destroy(name: string, context: ProviderContext, spec?: ClusterSpec): Promise<readonly string[]> {
    const {signal} = context
    const own = clusterFolder(context)
    if (spec === undefined && !hasConfiguration(own)) return []
    await using folder = await openFolder(spec, context, this.#options)
    // What was applied last says best what is there; the spec may have changed since.
    if (!hasConfiguration(own) && spec !== undefined) {
      const looking = {...context, readOnly: true}
      await folder.write(await configurationOf(spec, looking, this.#options, {scratchDir: folder.dir}))
    }
    await asTask(context, {task: 'terraform', title: `Preparing Terraform for ${name}`}, () =>
      initialise(folder, context),
    )
    // What is to be kept is no business of this cluster's Terraform any more.
    const {kept} = await removedAndKept(folder.terraform, spec, context)
    reportKept(kept, await folder.terraform.forget(kept, {signal}), context)
    const plan = await this.#look(name, context, (onProgress) =>
      folder.terraform.plan({signal, onProgress, destroy: true}),
    )
    if (plan.hasChanges)
      await asPhase(context, `Remove the infrastructure of ${name}`, plan.changes, (onProgress) =>
        folder.terraform.apply(plan.file, {signal, onProgress}),
      )
    const left = await folder.terraform.stateList({signal})
    if (left.length > 0)
      throw new InfrastructureError('LEFTOVERS', `the Terraform state still contains ${left.join(', ')}`, {
        suggestions: [`run it again: clouder kubeadm terminate ${name}`],
      })
    return plan.changes.map(({address}) => address)
  }

  async #synthesise(spec: ClusterSpec, context: ProviderContext): Promise<TerraformJson> {
    const placed = placeOf(spec).region === undefined ? await this.complete(spec, undefined, context) : spec
    return lastingConfiguration(placed, context, this.#options)
  }

  async #planned(
    spec: ClusterSpec,
    context: ProviderContext,
    {goal, saveTo, only = []}: InfraPlanOptions,
  ): Promise<TerraformPlan> {
    // The key that a saved plan holds is made before, so that the plan finds it.
    if (saveTo !== undefined) await lastingConfiguration(spec, context, this.#options)
    await using folder = await this.#preparedAndChecked(spec, context, goal)
    if (goal === 'destroy') {
      const {removed, kept} = await removedAndKept(folder.terraform, spec, context)
      if (saveTo === undefined) return removalOf(removed)
      refuseSaved(spec, kept)
    }
    const {machines} = this.#options
    const targets = await targetsOf(only, folder.terraform, machines, context)
    const plan = await this.#look(spec.name, context, (onProgress) =>
      folder.terraform.plan({
        signal: context.signal,
        onProgress,
        targets,
        destroy: goal === 'destroy',
        refreshOnly: goal === 'drift',
        lock: context.readOnly !== true,
      }),
    )
    if (saveTo !== undefined) await copyFile(plan.file, saveTo)
    if (goal === 'apply') reportStops(plan, changesOf(plan, machines), context)
    return plan
  }

  /** Asks the cloud while Terraform gets ready: neither makes anything, and both take seconds. */
  async #preparedAndChecked(
    spec: ClusterSpec,
    context: ProviderContext,
    goal: InfraPlanOptions['goal'],
  ): Promise<WorkFolder> {
    if (goal !== 'apply') return prepared(spec, context, this.#options)
    const refused = new AbortController()
    const signal = AbortSignal.any([context.signal, refused.signal])
    const check = this.#check(spec, context).catch((error: unknown) => {
      // Nobody waits for a provider to be downloaded to be told that the quota does not do.
      refused.abort(error)
      throw error
    })
    const [checked, folder] = await Promise.allSettled([
      check,
      prepared(spec, {...context, signal}, this.#options),
    ])
    if (checked.status === 'rejected') {
      if (folder.status === 'fulfilled') await folder.value[Symbol.asyncDispose]()
      throw checked.reason
    }
    if (folder.status === 'rejected') throw folder.reason
    return folder.value
  }

  /** What the cloud would refuse half-way is told before anything is made. */
  async #check(spec: ClusterSpec, context: ProviderContext): Promise<void> {
    const pins = await readPins(clusterFolder(context), spec)
    // Machines that are there count against the quota already.
    if (pins !== undefined) return
    await checkCloud(spec, await this.#opened(spec, context), context.signal)
  }

  #look<T>(
    name: string,
    context: ProviderContext,
    work: (onProgress: (progress: TerraformProgress) => void) => Promise<T>,
  ): Promise<T> {
    const task = 'plan'
    let seen = 0
    return asTask(context, {task, title: `Planning the infrastructure of ${name}`}, () =>
      work(({state, address}) => {
        if (state !== 'done') return
        seen += 1
        context.report({type: 'task-progress', task, text: `${seen} resources read, last ${address}`})
      }),
    )
  }

  async #applyFile(
    file: string,
    spec: ClusterSpec,
    context: ProviderContext,
    agree: (changes: readonly MachineChange[]) => Promise<void>,
  ): Promise<Infrastructure | undefined> {
    const {signal} = context
    await publicKeyOf(spec, context, {...this.#options, scratchDir: ''}, true)
    await takeVersionsOf(file, context)
    await using folder = await prepared(spec, context, this.#options)
    const plan = await folder.terraform.show(file, {signal})
    await agree(changesOf(plan, this.#options.machines))
    const outputs = await applied(plan, `Applying the plan for ${spec.name}`, folder, spec, context)
    return outputs === undefined
      ? undefined
      : await this.#infrastructure(parseOutputs(outputs), spec, context)
  }

  async #outputs(
    spec: ClusterSpec,
    context: ProviderContext,
  ): Promise<Readonly<Record<string, unknown>> | undefined> {
    const {signal} = context
    const own = clusterFolder(context)
    if (isInitialised(own)) {
      const terraform = await this.#options.terraformIn(own, context, variablesOf(spec))
      return terraform.output({signal})
    }
    // A state that lies beside the record would be in that folder.
    if (spec.state.backend === 'local') return undefined
    await using folder = await prepared(spec, {...context, readOnly: true}, this.#options)
    return await folder.terraform.output({signal})
  }

  async #infrastructure(
    outputs: ClusterOutputs,
    spec: ClusterSpec,
    context: ProviderContext,
  ): Promise<Infrastructure> {
    const dir = clusterFolder(context)
    const keyPath = keyPathOf(spec, context)
    const ids = cloudIdsOf(outputs)
    const hostKeys =
      context.readOnly === true
        ? await knownHostKeys(dir)
        : await readHostKeys(ids, spec, context, {
            dir,
            cloud: () => this.#opened(spec, context),
            timeoutMs: this.#options.hostKeysTimeoutMs ?? hostKeysTimeoutMs,
            intervalMs: this.#options.hostKeysIntervalMs ?? hostKeysIntervalMs,
          })
    return infrastructureOf(outputs, spec, {keyPath, hostKeys})
  }

  #opened(spec: ClusterSpec, {signal}: ProviderContext): Promise<Cloud> {
    this.#cloud ??= this.#options.openCloud({kind: this.kind, ...placeOf(spec), signal})
    return this.#cloud
  }
}
