import type {CostEstimate} from '../../infrastructure/cost/estimate.ts'
import {ConfigError, StateError} from '../../base/errors.ts'
import type {MachineChange} from '../../infrastructure/providers/provider.ts'
import {checkAddons} from '../../bootstrap/phases/addon-releases.ts'
import {addonsPhase, bootstrapAddonsPhase} from '../../bootstrap/phases/addons.ts'
import {artifactsPhase} from '../../bootstrap/phases/artifacts.ts'
import {containerdPhase} from '../../bootstrap/phases/containerd.ts'
import type {ClouderPhase} from '../../bootstrap/phases/context.ts'
import {controlPlanePhase} from '../../bootstrap/phases/control-plane.ts'
import {criuPhase} from '../../bootstrap/phases/criu.ts'
import {imagesPhase} from '../../bootstrap/phases/images.ts'
import {joinPhase} from '../../bootstrap/phases/join.ts'
import {cloudMetadataPhase} from '../../bootstrap/phases/cloud-metadata.ts'
import {kernelPhase} from '../../bootstrap/phases/kernel.ts'
import {kubeadmInitPhase} from '../../bootstrap/phases/kubeadm-init.ts'
import {kubeconfigPhase} from '../../bootstrap/phases/kubeconfig.ts'
import {kubeletConfigPhase} from '../../bootstrap/phases/kubelet-config.ts'
import {kubernetesPhase} from '../../bootstrap/phases/kubernetes.ts'
import {nodeMetadataPhase} from '../../bootstrap/phases/node-metadata.ts'
import {checkIgnored, preflightPhase} from '../../bootstrap/phases/preflight.ts'
import {readyPhase} from '../../bootstrap/phases/ready.ts'
import {selectAddons} from '../../platform/addons/selection.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import {documentOf, specFromDocument} from '../../spec/load.ts'
import type {Infrastructure, Machine} from '../../spec/machine.ts'
import {readIfThere} from '../../base/files.ts'
import type {ClusterPaths, ClusterRecord} from '../../store/types.ts'
import {nodeRows} from '../session/clusters.ts'
import {knownCost} from '../cost/cost.ts'
import {refuseLosses, refuseStops} from './plan-guards.ts'
import {openSession, type Session} from '../session/session.ts'
import type {InitResult, InitScope, RunFlags, SessionTools, Tools} from '../session/types.ts'

export interface InitFlags extends RunFlags {
  /** Asked before machines that cost money are changed; throws AbortError DECLINED. */
  readonly confirm: (changes: readonly MachineChange[], cost: CostEstimate | undefined) => Promise<void>
  /** Outputs of a Terraform that ran elsewhere: its machines are set up, and none is looked for here. */
  readonly outputs?: Readonly<Record<string, unknown>>
}

/** Every phase of a working cluster, in order: the documentation of `init`. */
export const clusterPhases = (paths: ClusterPaths): readonly ClouderPhase[] => [
  preflightPhase,
  artifactsPhase,
  kernelPhase,
  cloudMetadataPhase,
  containerdPhase,
  criuPhase,
  imagesPhase,
  kubernetesPhase,
  controlPlanePhase,
  kubeadmInitPhase,
  kubeconfigPhase(paths.kubeconfig, readIfThere),
  bootstrapAddonsPhase,
  joinPhase,
  kubeletConfigPhase,
  nodeMetadataPhase,
  addonsPhase,
  readyPhase,
]

/**
 * Brings a cluster to what the spec says: machines (`create`), bootstrap on them (`setup`), or both (`init`).
 * Idempotent; with `dryRun` nothing changes and the result holds what would be done.
 */
export async function initCluster(
  asked: ClusterSpec,
  scope: InitScope,
  flags: InitFlags,
  tools: SessionTools & Pick<Tools, 'checkKubernetesVersion' | 'prices' | 'providerFor'>,
): Promise<InitResult> {
  const startedMs = tools.now()
  checkIgnored(flags.ignorePreflight)
  // Before machines are made.
  selectAddons(asked)
  await using _lock = flags.dryRun ? undefined : await tools.store.lock(asked.name, tools.run)
  const record = await tools.store.load(asked.name)
  checkSame(asked, record)
  if (scope !== 'create') await tools.checkKubernetesVersion(asked.kubernetes.version)
  const paths = tools.store.paths(asked.name)
  const {spec, changes, cost, infrastructure} = await machinesOf(asked, record, scope, flags, tools)
  const finish = resultOf(spec, flags, tools, startedMs, changes, cost)
  if (infrastructure === undefined) {
    if (!flags.dryRun) throw noMachines(spec)
    tools.report({
      type: 'note',
      level: 'info',
      text: 'the machines do not exist yet: steps on them are planned once they do',
    })
    return finish({})
  }
  const remember = async (): Promise<void> => {
    if (!flags.dryRun)
      await tools.store.update(spec.name, (old) => recordWith(old, spec, infrastructure, tools))
  }
  // Machines that were made are remembered at once; machines that were brought, when they have answered.
  if (spec.provider.kind !== 'byon' || scope === 'create') await remember()
  if (scope === 'create') return finish({infrastructure})

  const machines = [...infrastructure.machines, ...(record?.joined ?? [])]
  const {endpoint} = infrastructure
  const booting = bootingOf(spec, record)
  await using session = await openSession(
    {
      spec,
      machines,
      endpoint,
      cloud: infrastructure.cloud ?? record?.cloud ?? {},
      booting,
      isInitialised: record?.initialisedAt !== undefined,
      withBundle: true,
      exclusive: !flags.dryRun,
      ...flags,
    },
    tools,
  )
  await checkAddons(session.context)
  await remember()
  const summary = await session.run(clusterPhases(paths), flags)
  if (!flags.dryRun)
    await tools.store.update(spec.name, (old) =>
      initialised(recordWith(old, spec, infrastructure, tools), spec, tools),
    )
  return finish({infrastructure, steps: summary.steps, nodes: await rowsOf(session)})
}

interface MachinesFound {
  /** With what the provider filled in. */
  readonly spec: ClusterSpec
  readonly changes: readonly MachineChange[]
  /** Undefined: nothing is paid for. */
  readonly cost: CostEstimate | undefined
  /** Undefined: there are none, and none were made. */
  readonly infrastructure: Infrastructure | undefined
}

/** The machines of a cluster: made where that is asked for, else looked for. */
async function machinesOf(
  asked: ClusterSpec,
  record: ClusterRecord | undefined,
  scope: InitScope,
  flags: InitFlags,
  tools: Pick<Tools, 'now' | 'prices' | 'providerFor' | 'report' | 'signal' | 'store'>,
): Promise<MachinesFound> {
  const provider = await tools.providerFor(asked.provider.kind)
  const {report, signal} = tools
  const context = {paths: tools.store.paths(asked.name), report, signal, readOnly: flags.dryRun}
  const before = record === undefined ? undefined : specFromDocument(record.document)
  const spec = (await provider.complete?.(asked, before, context)) ?? asked
  const cost = await knownCost(spec, tools)
  if (flags.outputs !== undefined) {
    if (provider.infra === undefined) throw outputsOfNobody(spec)
    const infrastructure = await provider.infra.fromOutputs(flags.outputs, spec, context)
    return {spec, changes: [], cost, infrastructure}
  }
  const changes = scope === 'setup' ? [] : await provider.plan(spec, context)
  if (flags.dryRun || scope === 'setup')
    return {spec, changes, cost, infrastructure: await provider.inspect(spec, context)}
  refuseStops(spec, changes, record)
  refuseLosses(spec, changes, record)
  if (changes.length > 0) await flags.confirm(changes, cost)
  // What costs money is remembered before it is made: whatever becomes of this run, terminate finds it.
  if (provider.infra !== undefined)
    await tools.store.update(spec.name, (old) => recordWith(old, spec, undefined, tools))
  return {spec, changes, cost, infrastructure: await provider.provision(spec, context)}
}

/** Machines that a cloud may just have made: until cloud-init is done there, nobody can log in. */
function bootingOf(spec: ClusterSpec, record: ClusterRecord | undefined): (machine: Machine) => boolean {
  const {kind} = spec.provider
  if (kind !== 'aws' && kind !== 'azure') return () => false
  const known = record?.initialisedAt === undefined ? [] : record.machines
  return ({name, providerId}) =>
    !known.some((machine) => machine.name === name && machine.providerId === providerId)
}

async function rowsOf(session: Session): Promise<InitResult['nodes']> {
  const kube = await session.context.kube()
  return kube === undefined
    ? []
    : nodeRows(
        session.context.hosts.map(({machine}) => machine),
        kube,
      )
}

function resultOf(
  spec: ClusterSpec,
  flags: RunFlags,
  tools: Pick<Tools, 'now' | 'run' | 'store'>,
  startedMs: number,
  machineChanges: readonly MachineChange[],
  cost: CostEstimate | undefined,
) {
  const paths = tools.store.paths(spec.name)
  return (found: {
    infrastructure?: Infrastructure
    steps?: InitResult['steps']
    nodes?: InitResult['nodes']
  }): InitResult => ({
    cluster: spec.name,
    steps: found.steps ?? [],
    machineChanges,
    ...(cost === undefined ? {} : {cost}),
    dryRun: flags.dryRun,
    endpoint: found.infrastructure?.endpoint.external,
    kubeconfig: found.nodes === undefined || found.nodes.length === 0 ? undefined : paths.kubeconfig,
    kubernetesVersion: spec.kubernetes.version,
    nodes: found.nodes ?? [],
    durationMs: tools.now() - startedMs,
    log: `${paths.logs}/${tools.run}.log`,
  })
}

/** A record of another provider or Kubernetes version is another cluster, or an upgrade: never an init. */
export function checkSame(spec: ClusterSpec, record: ClusterRecord | undefined): void {
  if (record === undefined) return
  if (record.provider !== spec.provider.kind) {
    throw new StateError(
      'CLUSTER_MISMATCH',
      `cluster ${spec.name} was created with provider ${record.provider}, not ${spec.provider.kind}`,
      {
        suggestions: ['give the new cluster another name', `clouder kubeadm terminate ${spec.name}`],
      },
    )
  }
  const {kubernetesVersion: running} = record
  if (running !== undefined && running !== spec.kubernetes.version) {
    throw new StateError(
      'CLUSTER_MISMATCH',
      `cluster ${spec.name} runs Kubernetes ${running}, the spec sets ${spec.kubernetes.version}`,
      {
        suggestions: [`set spec.kubernetes.version to ${running}`, 'init never upgrades a running cluster'],
      },
    )
  }
}

function outputsOfNobody({provider}: ClusterSpec): ConfigError {
  return new ConfigError(
    'FLAG_INVALID',
    `--machines-from is for machines made by Terraform, which provider ${provider.kind} does not use`,
    {suggestions: ['set spec.provider.kind to aws or azure', 'or list your own machines in the spec']},
  )
}

function noMachines(spec: ClusterSpec): StateError {
  return new StateError('CLUSTER_UNKNOWN', `cluster ${spec.name} has no machines to set up`, {
    suggestions: [`clouder kubeadm create ${spec.name}`, `clouder kubeadm init ${spec.name}`],
  })
}

/** The record with what the spec says now, and with the machines where they are known. */
export function recordWith(
  old: ClusterRecord | undefined,
  spec: ClusterSpec,
  infrastructure: Infrastructure | undefined,
  tools: Pick<Tools, 'now'>,
): ClusterRecord {
  const now = new Date(tools.now()).toISOString()
  const found = infrastructure === undefined ? {} : machinesToKeep(infrastructure)
  return {
    ...old,
    version: 1,
    name: spec.name,
    createdAt: old?.createdAt ?? now,
    updatedAt: now,
    provider: spec.provider.kind,
    document: documentOf(spec),
    machines: old?.machines ?? [],
    joined: old?.joined ?? [],
    ...found,
  }
}

function machinesToKeep({
  endpoint,
  machines,
  cloud,
}: Infrastructure): Pick<ClusterRecord, 'cloud' | 'endpoint' | 'machines'> {
  const {internal, external, certSans} = endpoint
  return {
    endpoint: {internal, external, certSans: [...certSans]},
    machines: [...machines],
    ...(cloud === undefined ? {} : {cloud}),
  }
}

const initialised = (record: ClusterRecord, spec: ClusterSpec, tools: Pick<Tools, 'now'>): ClusterRecord => ({
  ...record,
  kubernetesVersion: spec.kubernetes.version,
  initialisedAt: record.initialisedAt ?? new Date(tools.now()).toISOString(),
})
