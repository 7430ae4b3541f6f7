import type {CostEstimate} from '../../infrastructure/cost/estimate.ts'
import {InfrastructureError} from '../../infrastructure/errors.ts'
import type {
  Infra,
  InfraPlanOptions,
  MachineChange,
  Provider,
  ProviderContext,
} from '../../infrastructure/providers/provider.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import {specFromDocument} from '../../spec/load.ts'
import type {Machine} from '../../spec/machine.ts'
import type {ClusterRecord} from '../../store/types.ts'
import type {ResourceChange} from '../../terraform/types.ts'
import {knownCost} from '../cost/cost.ts'
import {checkSame, recordWith} from '../cluster/init.ts'
import {refuseProtected, refuseStops} from '../cluster/plan-guards.ts'
import type {Tools} from '../session/types.ts'

type InfraTools = Pick<Tools, 'store' | 'providerFor' | 'prices' | 'report' | 'signal' | 'now' | 'run'>
type Agree = (changes: readonly MachineChange[]) => Promise<void>

export interface InfraPlanResult {
  readonly cluster: string
  readonly provider: string
  readonly goal: InfraPlanOptions['goal']
  /** What would be changed; with `drift` what differs in the cloud from what was applied. */
  readonly changes: readonly ResourceChange[]
  /** A change of outputs alone counts too. */
  readonly hasChanges: boolean
  /** What a month of the cluster costs once it is applied; absent: nothing would be there. */
  readonly cost?: CostEstimate
  /** Where the plan was saved. */
  readonly file?: string
}

export interface InfraApplyResult {
  readonly cluster: string
  readonly changes: readonly MachineChange[]
  readonly machines: readonly Machine[]
  readonly endpoint: string | undefined
}

/** The configuration that Terraform is given. Changes nothing, and asks no cloud where the spec says the region. */
export async function synthInfra(
  spec: ClusterSpec,
  tools: InfraTools,
): Promise<Readonly<Record<string, unknown>>> {
  const {infra, context} = await openInfra(spec, tools, {readOnly: true})
  return infra.synthesise(spec, context)
}

/** What an apply, a destroy or nobody would change; see `InfraPlanOptions`. Reads only. */
export async function planInfra(
  asked: ClusterSpec,
  options: InfraPlanOptions,
  tools: InfraTools,
): Promise<InfraPlanResult> {
  const {infra, context, complete} = await openInfra(asked, tools, {readOnly: true})
  const spec = await complete()
  const {goal, saveTo} = options
  const plan = await infra.plan(spec, context, options)
  const cost = goal === 'apply' ? await knownCost(spec, tools) : undefined
  return {
    cluster: spec.name,
    provider: spec.provider.kind,
    goal,
    changes: goal === 'drift' ? plan.drift : plan.changes,
    hasChanges: goal === 'drift' ? plan.drift.length > 0 : plan.hasChanges,
    ...(cost === undefined ? {} : {cost}),
    ...(saveTo === undefined ? {} : {file: saveTo}),
  }
}

/** Applies a plan that was saved, and remembers the machines. */
export async function applyInfra(
  asked: ClusterSpec,
  {planFile, agree}: {readonly planFile: string; readonly agree: Agree},
  tools: InfraTools,
): Promise<InfraApplyResult> {
  await using _lock = await tools.store.lock(asked.name, tools.run)
  const {infra, context, complete, record} = await openInfra(asked, tools, {readOnly: false})
  const spec = await complete()
  const seen: MachineChange[] = []
  const found = await infra.apply(planFile, spec, context, async (changes) => {
    refuseStops(spec, changes, record)
    await agree(changes)
    seen.push(...changes)
    // Remembered before it is made: whatever becomes of this run, terminate finds it.
    await tools.store.update(spec.name, (old) => recordWith(old, spec, undefined, tools))
  })
  // A plan that removes everything leaves no outputs.
  await tools.store.update(spec.name, (old) => {
    const record = recordWith(old, spec, found, tools)
    return found === undefined ? withoutMachines(record) : record
  })
  return {
    cluster: spec.name,
    changes: seen,
    machines: found?.machines ?? [],
    endpoint: found?.endpoint.external,
  }
}

/** Outputs by name; undefined: nothing was applied yet. */
export async function infraOutputs(
  asked: ClusterSpec,
  tools: InfraTools,
): Promise<Readonly<Record<string, unknown>> | undefined> {
  const {infra, context, complete} = await openInfra(asked, tools, {readOnly: true})
  return infra.outputs(await complete(), context)
}

/** Removes what Terraform made, and nothing else; the cluster's record stays, without machines. */
export async function destroyInfra(
  asked: ClusterSpec,
  agree: Agree,
  tools: InfraTools,
): Promise<{readonly cluster: string; readonly removed: readonly string[]}> {
  await using _lock = await tools.store.lock(asked.name, tools.run)
  const {provider, infra, context, complete} = await openInfra(asked, tools, {readOnly: false})
  const spec = await complete()
  refuseProtected(spec)
  const plan = await infra.plan(spec, {...context, readOnly: true}, {goal: 'destroy'})
  if (plan.changes.length > 0) await agree(plan.changes.map(removal))
  const removed = await provider.destroy(spec.name, context, spec)
  if ((await tools.store.load(spec.name)) !== undefined)
    await tools.store.update(spec.name, (old) => withoutMachines(recordWith(old, spec, undefined, tools)))
  return {cluster: spec.name, removed}
}

const removal = ({address, reason = 'everything is removed'}: ResourceChange): MachineChange => ({
  action: 'remove',
  what: address,
  reason,
})

function withoutMachines(record: ClusterRecord): ClusterRecord {
  const {endpoint: _, kubernetesVersion: __, initialisedAt: ___, ...rest} = record
  return {...rest, machines: []}
}

interface OpenInfra {
  readonly provider: Provider
  readonly infra: Infra
  readonly context: ProviderContext
  readonly record: ClusterRecord | undefined
  /** The spec in its place; asks the cloud who we are. */
  readonly complete: () => Promise<ClusterSpec>
}

/** Throws InfrastructureError PROVIDER_UNSUPPORTED, StateError CLUSTER_MISMATCH. */
async function openInfra(
  spec: ClusterSpec,
  tools: InfraTools,
  {readOnly}: {readonly readOnly: boolean},
): Promise<OpenInfra> {
  const record = await tools.store.load(spec.name)
  checkSame(spec, record)
  const provider = await tools.providerFor(spec.provider.kind)
  const {infra} = provider
  if (infra === undefined)
    throw new InfrastructureError(
      'PROVIDER_UNSUPPORTED',
      `provider ${provider.kind} does not use Terraform: infra is for aws and azure`,
      {suggestions: [`clouder kubeadm plan ${spec.name}`, 'set spec.provider.kind to aws or azure']},
    )
  const context = {
    paths: tools.store.paths(spec.name),
    report: tools.report,
    signal: tools.signal,
    readOnly,
  }
  const before = record === undefined ? undefined : specFromDocument(record.document)
  const complete = async () => (await provider.complete?.(spec, before, context)) ?? spec
  return {provider, infra, context, record, complete}
}
