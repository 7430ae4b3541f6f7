import {runPhases} from '../../bootstrap/engine/run.ts'
import {fanOut} from '../../bootstrap/engine/fan-out.ts'
import {interruption} from '../../bootstrap/engine/failures.ts'
import type {RunSummary} from '../../bootstrap/engine/types.ts'
import {archSchema, type Bundle} from '../../bundle/types.ts'
import {ConnectionError, HostsFailedError} from '../../base/errors.ts'
import {BundleError} from '../../bundle/errors.ts'
import type {Host} from '../../bootstrap/hosts/host.ts'
import type {ClouderPhase, ClusterTools, PhaseContext} from '../../bootstrap/phases/context.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import type {Endpoint, Machine} from '../../spec/machine.ts'
import {writeAtomically} from '../../base/files.ts'
import {appendOnNode, diskJournal} from '../../bootstrap/engine/journal.ts'
import {lockHolder} from './lock-holder.ts'
import {LazyKube, type ApiProblem} from './api-access.ts'
import {lookAhead} from './look-ahead.ts'
import type {RunFlags, SessionTools, Tools} from './types.ts'

/** A cluster's machines, connected, and its API server as soon as there is one. */
export interface Session extends AsyncDisposable {
  readonly hosts: readonly Host[]
  /** Machines that could not be connected to, where that is no failure. */
  readonly unreached: readonly Unreached[]
  readonly context: PhaseContext
  readonly clusterTools: ClusterTools
  /** Why `context.kube()` gave nothing. */
  apiProblem(): ApiProblem
  run(phases: readonly ClouderPhase[], flags: RunFlags): Promise<RunSummary>
}

export interface Unreached {
  readonly machine: Machine
  readonly error: Error
}

export interface SessionOptions {
  readonly spec: ClusterSpec
  readonly machines: readonly Machine[]
  readonly endpoint: Endpoint
  /** What the stack says of its cloud, for addons. Default: nothing. */
  readonly cloud?: Readonly<Record<string, string>>
  readonly ignorePreflight: readonly string[]
  readonly concurrency: number
  /** Go on with the machines that answer: for looking at a cluster, never for changing it. */
  readonly tolerateUnreachable?: boolean
  /** Leave out the machines that cannot be connected to; false: they fail it, and the error names the flag. */
  readonly skipUnreachable?: boolean
  /** Whether the bundle is needed; false for looking and for resetting. */
  readonly withBundle: boolean
  /** This run holds the cluster's lock: whatever still runs on a machine is of a run that was killed, and is waited for. */
  readonly exclusive: boolean
  /** Whether nodes keep the journal; false while they are being reset. */
  readonly journalOnNodes?: boolean
  /**
   * Whether phases probably find nothing to do, and are planned before their turn: their probes would disturb what
   * the preflight measures on machines that are new.
   */
  readonly isInitialised?: boolean
  /** Machines that were just made, whose login opens only when they have booted. Default: none. */
  readonly booting?: (machine: Machine) => boolean
}

/**
 * Connects to every machine, one SSH connection each, and gathers facts.
 * Throws HostsFailedError with every machine that cannot be reached, BundleError.
 */
export async function openSession(options: SessionOptions, tools: SessionTools): Promise<Session> {
  const {hosts, unreached} = await connectAll(options, tools)
  const kube = new LazyKube(options.spec.name, options.machines, hosts, tools)
  const close = async (): Promise<void> => {
    kube.close()
    await Promise.all(hosts.map((host) => host.close()))
  }
  try {
    const bundles = options.withBundle
      ? await loadBundles(options.spec, hosts, tools)
      : new Map<string, Bundle>()
    return sessionOf(options, tools, {hosts, unreached, kube, bundles, close})
  } catch (error) {
    await close()
    throw error
  }
}

/** A session for looking at a cluster through those of its machines that answer; nothing is installed, no lock is held. */
export const openToLook = (
  {spec, machines, endpoint}: Pick<SessionOptions, 'spec' | 'machines' | 'endpoint'>,
  tools: SessionTools,
): Promise<Session> =>
  openSession(
    {
      spec,
      machines,
      endpoint,
      ignorePreflight: [],
      concurrency: 20,
      tolerateUnreachable: true,
      withBundle: false,
      exclusive: false,
    },
    tools,
  )

interface Parts {
  readonly hosts: readonly Host[]
  readonly unreached: readonly Unreached[]
  readonly kube: LazyKube
  readonly bundles: ReadonlyMap<string, Bundle>
  readonly close: () => Promise<void>
}

function sessionOf(
  options: SessionOptions,
  tools: Pick<Tools, 'hideSecret' | 'now' | 'renderer' | 'report' | 'run' | 'signal' | 'store'>,
  {hosts, unreached, kube, bundles, close}: Parts,
): Session {
  const {spec, endpoint, ignorePreflight} = options
  const byName = new Map(hosts.map((host) => [host.name, host]))
  const hostFor = (name: string): Host => {
    const host = byName.get(name)
    if (host === undefined) throw new TypeError(`no connection to ${name}`)
    return host
  }
  const context: PhaseContext = {
    spec,
    endpoint,
    cloud: options.cloud ?? {},
    hosts,
    ignorePreflight,
    renderer: tools.renderer,
    bundles: (arch) => bundleOf(bundles, arch),
    kube: () => kube.ifThere(),
    note: (text, host) =>
      tools.report({type: 'note', level: 'warning', text, ...(host === undefined ? {} : {host})}),
  }
  const clusterTools: ClusterTools = {
    kube: () => kube.required(),
    hostFor,
    writeLocal: (path, content) => writeAtomically(path, content),
    hideSecret: tools.hideSecret,
    ...lockHolder(tools.store.paths(spec.name), tools.run),
    now: tools.now,
  }
  const nodeWriter = options.journalOnNodes === false ? undefined : appendOnNode
  const journal = diskJournal({path: tools.store.paths(spec.name).journal, report: tools.report, nodeWriter})
  return {
    hosts,
    unreached,
    context,
    clusterTools,
    apiProblem: () => kube.problem,
    run: (phases, flags) =>
      runPhases(
        phases,
        context,
        {
          report: tools.report,
          signal: tools.signal,
          dryRun: flags.dryRun,
          concurrency: flags.concurrency,
          skip: flags.skipPhases,
          journal,
          run: tools.run,
          hostFor,
          tools: clusterTools,
          now: tools.now,
        },
        options.isInitialised === true ? lookAhead : undefined,
      ),
    [Symbol.asyncDispose]: close,
  }
}

async function connectAll(
  options: SessionOptions,
  tools: Pick<Tools, 'connectorFor' | 'now' | 'report' | 'signal'>,
): Promise<{readonly hosts: readonly Host[]; readonly unreached: readonly Unreached[]}> {
  const {machines, spec} = options
  const startedMs = tools.now()
  const task = 'connect'
  tools.report({
    type: 'task-started',
    task,
    title: `Connecting to ${machines.length} ${machines.length === 1 ? 'machine' : 'machines'}`,
  })
  const connector = tools.connectorFor(spec)
  const outcomes = await fanOut(
    machines,
    options.concurrency,
    (machine, signal) =>
      connector.connect(machine, {
        signal,
        exclusive: options.exclusive,
        booting: options.booting?.(machine) ?? false,
      }),
    tools.signal,
  )
  const hosts = outcomes.flatMap((outcome) => ('value' in outcome ? [outcome.value] : []))
  const failures = outcomes.flatMap((outcome) =>
    'error' in outcome ? [{host: outcome.item.name, phase: task, step: undefined, error: outcome.error}] : [],
  )
  const durationMs = tools.now() - startedMs
  const isTolerated =
    options.tolerateUnreachable === true ||
    (options.skipUnreachable === true && failures.every(({error}) => error instanceof ConnectionError))
  if (failures.length > 0 && (!isTolerated || tools.signal.aborted)) {
    await Promise.all(hosts.map((host) => host.close()))
    tools.report({
      type: 'task-failed',
      task,
      durationMs,
      message: tools.signal.aborted ? 'stopped' : `${failures.length} of ${machines.length} cannot be used`,
    })
    throw tools.signal.aborted
      ? interruption(tools.signal)
      : new HostsFailedError(task, failures, skipAdvice(options, failures))
  }
  for (const {host, error} of failures)
    tools.report({type: 'note', level: 'warning', text: error.message, host})
  tools.report({type: 'task-done', task, durationMs})
  const unreached = outcomes.flatMap((outcome) =>
    'error' in outcome ? [{machine: outcome.item, error: outcome.error}] : [],
  )
  return {hosts, unreached}
}

function skipAdvice(
  {skipUnreachable}: SessionOptions,
  failures: readonly {readonly host: string; readonly error: Error}[],
): readonly string[] {
  if (skipUnreachable !== false || failures.some(({error}) => !(error instanceof ConnectionError))) return []
  const names = failures.map(({host}) => host).join(', ')
  return [`to continue without ${names}, leaving what is on it: --skip-unreachable`]
}

async function loadBundles(
  spec: ClusterSpec,
  hosts: readonly Host[],
  tools: Pick<Tools, 'bundleFor' | 'signal'>,
): Promise<Map<string, Bundle>> {
  // A machine of another architecture is for the preflight to name, beside whatever else is wrong.
  const archs = new Set(
    hosts.map((host) => host.facts.arch).filter((arch) => archSchema.safeParse(arch).success),
  )
  const bundles = new Map<string, Bundle>()
  for (const arch of archs)
    bundles.set(arch, await tools.bundleFor(spec.kubernetes.version, arch, tools.signal))
  return bundles
}

function bundleOf(bundles: ReadonlyMap<string, Bundle>, arch: string): Bundle {
  const bundle = bundles.get(arch)
  if (bundle === undefined) throw new BundleError('BUNDLE_MISSING', `no bundle is loaded for ${arch}`)
  return bundle
}
