import pLimit from 'p-limit'
import type {ContainerEngine, EngineContainer} from '../containers/container-engine.ts'
import {ensureNodeImage, hasNodeImage, type NodeImageOptions} from '../containers/node-image.ts'
import {errorMessage, HostsFailedError} from '../../base/errors.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import type {Infrastructure, Machine} from '../../spec/machine.ts'
import {plannedNodes, type PlannedNode} from '../../spec/machines.ts'
import {
  changesOf,
  decide,
  NODE_LABEL,
  refuseForeign,
  SPEC_HASH_LABEL,
  specHash,
  SUBNET_LABEL,
  type LocalDecision,
  type NodeDecision,
} from './local-decision.ts'
import {freePort, readLocalMachine, type LocalMachine} from './local-machine.ts'
import {assignAddresses, chooseSubnet} from './local-network.ts'
import {createNetwork} from './local-create-network.ts'
import {destroyLocal} from './local-destroy.ts'
import {createNode, readHostKeys, waitForNode, type NodeTools} from './local-node.ts'
import {addressOf, observe, type OpenEngine} from './local-observation.ts'
import {withPort} from './endpoint.ts'
import type {Provider, ProviderContext} from './provider.ts'
import {ensureSshKey} from './ssh-key.ts'

const API_PORT = 6443
const NODES_AT_ONCE = 8

export interface LocalProviderOptions extends Pick<
  NodeImageOptions,
  'renderer' | 'cacheDir' | 'environment'
> {
  readonly engineFor: OpenEngine
  /** Default: reads /proc, /sys and /etc. */
  readonly readMachine?: () => Promise<LocalMachine>
  readonly makeRootfs?: NonNullable<NodeImageOptions['makeRootfs']>
  /** How long a machine may take to boot; default 2 min. */
  readonly bootTimeoutMs?: number
  /** Whether sshd answers at an address and port; default: it sends its banner. */
  readonly sshAnswers?: (address: string, port: number, signal: AbortSignal) => Promise<boolean>
}

/** Machines as containers of this machine's engine: a network, and per node a container that boots systemd and sshd. */
export function localProvider(options: LocalProviderOptions): Provider {
  return {
    kind: 'local',
    async plan(spec, context) {
      const engine = await options.engineFor(spec.provider.local.engine, context.signal)
      const decision = decide(spec.name, plannedNodes(spec), await observe(engine, spec.name))
      const {image} = spec.provider.local
      const needsImage =
        isChange(decision) && !(await hasNodeImage({engine, os: image, renderer: options.renderer}))
      return [
        ...(needsImage
          ? [{action: 'create', what: `node image ${image}`, reason: 'not found in the engine'} as const]
          : []),
        ...changesOf(spec.name, decision),
      ]
    },
    provision: (spec, context) => provision(spec, context, options),
    async inspect(spec, context) {
      const engine = await options.engineFor(spec.provider.local.engine, context.signal)
      const {containers} = await observe(engine, spec.name)
      const nodes = plannedNodes(spec).flatMap((node) => {
        const container = containers.find(({labels}) => labels[NODE_LABEL] === node.name)
        return container === undefined ? [] : [{node, container}]
      })
      if (nodes.length === 0) return undefined
      const machines: Machine[] = []
      for (const {node, container} of nodes) {
        const running = container.status === 'running'
        const hostKeys = running ? ((await readHostKeys(engine, container.id, context.signal)) ?? []) : []
        machines.push(machineOf(node, addressOf(spec.name, container), hostKeys, context))
      }
      return infrastructureOf(spec, machines, containers)
    },
    destroy: (name, context) => destroyLocal(name, context, options.engineFor),
  }
}

async function provision(
  spec: ClusterSpec,
  context: ProviderContext,
  options: LocalProviderOptions,
): Promise<Infrastructure> {
  const engine = await options.engineFor(spec.provider.local.engine, context.signal)
  const wanted = plannedNodes(spec)
  const decision = decide(spec.name, wanted, await observe(engine, spec.name))
  for (const text of notesOf(spec, decision)) context.report({type: 'note', level: 'info', text})
  const machines = isChange(decision)
    ? await withTask(spec, context, decision, () => makeNodes(engine, spec, decision, context, options))
    : await makeNodes(engine, spec, decision, context, options)
  return infrastructureOf(spec, machines, (await observe(engine, spec.name)).containers)
}

async function withTask<T>(
  spec: ClusterSpec,
  {report}: ProviderContext,
  decision: LocalDecision,
  work: () => Promise<T>,
): Promise<T> {
  const count = decision.nodes.filter(({action}) => action !== 'keep').length
  const startedAt = performance.now()
  const durationMs = () => Math.round(performance.now() - startedAt)
  const task = 'machines'
  report({type: 'task-started', task, title: `Creating the machines of ${spec.name}`})
  try {
    const result = await work()
    report({type: 'task-done', task, durationMs: durationMs(), text: `${count} created or started`})
    return result
  } catch (error) {
    const message = errorMessage(error)
    report({type: 'task-failed', task, durationMs: durationMs(), message})
    throw error
  }
}

async function makeNodes(
  engine: ContainerEngine,
  spec: ClusterSpec,
  decision: LocalDecision,
  context: ProviderContext,
  options: LocalProviderOptions,
): Promise<readonly Machine[]> {
  const {signal, report} = context
  const [networks, volumes, machine, publicKey] = await Promise.all([
    engine.listNetworks({}),
    engine.listVolumes({}),
    (options.readMachine ?? readLocalMachine)(),
    ensureSshKey(context.paths.sshKey),
  ])
  refuseForeign(spec.name, decision, {networks, volumes})
  const image = decision.nodes.some(({action}) => action === 'create' || action === 'replace')
    ? await ensureNodeImage({...options, engine, os: spec.provider.local.image, report, signal})
    : ''
  const subnet = await ensureNetwork(engine, spec, decision, machine.routes)
  const tools: NodeTools = {engine, spec, machine, publicKey, image, subnet, context, ...waitingOf(options)}
  const addresses = addressesOf(spec.name, decision, subnet)
  const limit = pLimit(NODES_AT_ONCE)
  const settled = await Promise.allSettled(
    decision.nodes.map((item, index) =>
      limit(() =>
        bringUp(tools, item, {address: addresses.get(item.node.name) ?? '', publishesApi: index === 0}),
      ),
    ),
  )
  signal.throwIfAborted()
  refuseFailures(decision, settled)
  return settled.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
}

async function bringUp(
  tools: NodeTools,
  decision: NodeDecision,
  {address, publishesApi}: {address: string; publishesApi: boolean},
): Promise<Machine> {
  const {engine, context} = tools
  context.signal.throwIfAborted()
  const {node, action, container} = decision
  if (action === 'create' || action === 'replace') {
    const publishedPorts: Record<number, number> = publishesApi ? {[API_PORT]: await freePort()} : {}
    await createNode(tools, decision, {address, publishedPorts})
  } else if (action === 'start' && container !== undefined) {
    await (container.status === 'paused'
      ? engine.restartContainer(container.id, 10)
      : engine.startContainer(container.id))
  }
  return machineOf(node, address, await waitForNode(tools, node.name, address), context)
}

/** Throws the one failure as it is, or all of them with their machines' names. */
function refuseFailures(decision: LocalDecision, settled: readonly PromiseSettledResult<Machine>[]): void {
  const failures = settled.flatMap((result, index) => {
    if (result.status === 'fulfilled') return []
    const error: unknown = result.reason
    const host = decision.nodes[index]?.node.name
    return [
      {
        host,
        phase: 'machines',
        step: undefined,
        error: error instanceof Error ? error : new Error(String(error)),
      },
    ]
  })
  const [only] = failures
  if (only === undefined) return
  throw failures.length === 1 ? only.error : new HostsFailedError('machines', failures)
}

/** The subnet of the cluster's network, made when it is not there. */
async function ensureNetwork(
  engine: ContainerEngine,
  spec: ClusterSpec,
  decision: LocalDecision,
  routes: readonly string[],
): Promise<string> {
  const choose = (taken: readonly string[]): string => subnetOf(spec, decision, [...routes, ...taken])
  if (decision.createNetwork) return createNetwork(engine, spec.name, choose)
  return choose((await engine.listNetworks({})).flatMap(({subnets}) => subnets))
}

function waitingOf({
  sshAnswers,
  bootTimeoutMs,
}: LocalProviderOptions): Pick<NodeTools, 'sshAnswers' | 'bootTimeoutMs'> {
  return {...(sshAnswers && {sshAnswers}), ...(bootTimeoutMs !== undefined && {bootTimeoutMs})}
}

/** The subnet of what is there, so that nodes whose network was lost find their addresses again; else the spec's or a free one. */
function subnetOf(spec: ClusterSpec, decision: LocalDecision, taken: readonly string[]): string {
  const labelled = decision.nodes.map(({container}) => container?.labels[SUBNET_LABEL])
  return (
    decision.network?.subnets[0] ??
    labelled.find((label) => label !== undefined) ??
    spec.provider.local.subnet ??
    chooseSubnet([...taken, spec.network.podCidr, spec.network.serviceCidr])
  )
}

function addressesOf(cluster: string, decision: LocalDecision, subnet: string): ReadonlyMap<string, string> {
  const kept = new Map<string, string>()
  for (const {node, action, container} of decision.nodes) {
    if (container !== undefined && action !== 'replace') kept.set(node.name, addressOf(cluster, container))
  }
  for (const container of decision.unknown) kept.set(container.id, addressOf(cluster, container))
  return assignAddresses(
    decision.nodes.map(({node}) => node.name),
    kept,
    decision.network?.addressesInUse ?? [],
    subnet,
  )
}

/** What provision sees and leaves alone. */
function notesOf(spec: ClusterSpec, decision: LocalDecision): readonly string[] {
  const other = decision.nodes.filter(
    ({node, action, container}) =>
      (action === 'keep' || action === 'start') &&
      container?.labels[SPEC_HASH_LABEL] !== specHash(spec, node),
  )
  return [
    ...decision.unknown.map(
      ({labels, name}) => `machine ${labels[NODE_LABEL] ?? name} is no longer in the spec and is not changed`,
    ),
    ...other.map(
      ({node}) =>
        `machine ${node.name} was created with another image or role than the spec sets now and is not changed`,
    ),
  ]
}

function isChange(decision: LocalDecision): boolean {
  return decision.createNetwork || decision.nodes.some(({action}) => action !== 'keep')
}

function machineOf(
  node: PlannedNode,
  address: string,
  hostKeys: readonly string[],
  {paths}: ProviderContext,
): Machine {
  return {
    name: node.name,
    role: node.role,
    ...(node.pool === undefined ? {} : {pool: node.pool}),
    address,
    privateAddress: address,
    ssh: {user: 'root', port: 22, keyPath: paths.sshKey, hostKeys: [...hostKeys]},
    labels: {...node.labels},
    taints: [...node.taints],
  }
}

function infrastructureOf(
  spec: ClusterSpec,
  machines: readonly Machine[],
  containers: readonly EngineContainer[],
): Infrastructure {
  const first = machines[0]?.privateAddress ?? ''
  const wanted = spec.api.endpoint
  const internal = wanted === undefined ? `${first}:${API_PORT}` : withPort(wanted)
  const published = containers
    .map(({publishedPorts}) => publishedPorts[API_PORT])
    .find((port) => port !== undefined)
  return {
    endpoint: {
      internal,
      external: published === undefined ? internal : `127.0.0.1:${published}`,
      certSans: ['127.0.0.1', 'localhost'],
    },
    machines,
  }
}
