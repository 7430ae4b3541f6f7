import {connect} from 'node:net'
import type {ContainerEngine, ContainerRequest} from '../containers/container-engine.ts'
import {NODE_INIT} from '../containers/node-image-recipe.ts'
import {TimeoutError} from '../../base/errors.ts'
import {InfrastructureError} from '../errors.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import {waitFor, type Observation} from '../../base/waiting.ts'
import {
  CLUSTER_LABEL,
  containerName,
  networkName,
  NODE_LABEL,
  SPEC_HASH_LABEL,
  specHash,
  SUBNET_LABEL,
  volumesOf,
  type NodeDecision,
} from './local-decision.ts'
import type {LocalMachine} from './local-machine.ts'
import {removeVolumes} from './local-volumes.ts'
import type {ProviderContext} from './provider.ts'

const BOOT_TIMEOUT_MS = 120_000
const BANNER_TIMEOUT_MS = 2_000
const AUTHORIZED_KEYS = '/root/.ssh/authorized_keys'
const HOST_KEY = '/etc/ssh/ssh_host_ed25519_key.pub'

export interface NodeTools {
  readonly engine: ContainerEngine
  readonly spec: ClusterSpec
  readonly machine: LocalMachine
  /** Of the cluster's SSH key. */
  readonly publicKey: string
  /** Tag of the node image; unused where no node is made. */
  readonly image: string
  readonly subnet: string
  readonly context: ProviderContext
  readonly bootTimeoutMs?: number
  readonly sshAnswers?: (address: string, port: number, signal: AbortSignal) => Promise<boolean>
}

/** Makes one node's volumes and container, puts the key in, and starts it; what was left of an older one goes first. */
export async function createNode(
  {engine, spec, machine, publicKey, image, subnet, context}: NodeTools,
  decision: NodeDecision,
  {address, publishedPorts}: Pick<ContainerRequest, 'publishedPorts'> & {address: string},
): Promise<void> {
  const {node, container, leftoverVolumes} = decision
  const owner = {[CLUSTER_LABEL]: spec.name, [NODE_LABEL]: node.name}
  if (container !== undefined) await removeAndWait(engine, container.id, context.signal)
  await removeVolumes(engine, owner, leftoverVolumes, context.signal)
  const volumes = volumesOf(spec.name, node.name)
  for (const volume of Object.keys(volumes)) await engine.createVolume(volume, owner)
  const id = await engine.createContainer({
    name: containerName(spec.name, node.name),
    hostname: node.name,
    labels: {...owner, [SUBNET_LABEL]: subnet, [SPEC_HASH_LABEL]: specHash(spec, node)},
    image,
    entrypoint: [NODE_INIT],
    environment: environmentOf(machine),
    network: {name: networkName(spec.name), address},
    publishedPorts,
    volumes,
    readOnlyFolders: machine.kernelModules ? {'/lib/modules': '/lib/modules'} : {},
    tmpfs: {'/run': 'exec,mode=755', '/run/lock': 'mode=1777', '/tmp': 'exec,mode=1777'},
    capabilities: machine.capabilities,
    // systemd's own word for an orderly power-off.
    stopSignal: 'SIGRTMIN+3',
  })
  await putKey(engine, id, publicKey)
  await engine.startContainer(id)
}

/**
 * Waits until systemd has booted and sshd answers with our key let in. Returns the host keys, `<type> <base64>`.
 * Throws InfrastructureError ENGINE_FAILED with the last lines of the container.
 */
export async function waitForNode(
  tools: NodeTools,
  node: string,
  address: string,
): Promise<readonly string[]> {
  const {engine, spec, context} = tools
  const name = containerName(spec.name, node)
  try {
    return await waitFor({
      what: `machine ${node} to boot`,
      check: (signal) => checkNode(tools, name, address, signal),
      timeoutMs: tools.bootTimeoutMs ?? BOOT_TIMEOUT_MS,
      intervalMs: 200,
      signal: context.signal,
    })
  } catch (error) {
    if (!(error instanceof TimeoutError)) throw error
    const log = (await engine.lastLines(name, 10)).trim()
    throw new InfrastructureError(
      'ENGINE_FAILED',
      `machine ${node}: ${error.message}${log === '' ? '' : `; ${log}`}`,
      {
        cause: error,
        suggestions: [`docker logs ${name}`, `docker exec ${name} journalctl --no-pager -n 50`],
      },
    )
  }
}

async function checkNode(
  {engine, publicKey, sshAnswers = bannerComes}: NodeTools,
  name: string,
  address: string,
  signal: AbortSignal,
): Promise<Observation<readonly string[]>> {
  const container = await engine.findContainer(name)
  if (container === undefined) return {seen: 'no container'}
  if (container.status !== 'running') return {seen: `its container is ${container.status}`}
  const system = await engine.exec(name, ['systemctl', 'is-system-running'], signal)
  const state = system.stdout.trim()
  // `degraded`: some unit failed; preflight looks at those that matter.
  if (state !== 'running' && state !== 'degraded')
    return {seen: `systemd is ${state === '' ? 'not up' : state}`}
  const hostKeys = await readHostKeys(engine, name, signal)
  if (hostKeys === undefined) return {seen: 'sshd has no host key'}
  const keys = await engine.exec(name, ['cat', AUTHORIZED_KEYS], signal)
  if (keys.stdout.trim() !== publicKey) {
    // The key was made anew on this machine, or the run that made the container ended before it put one in.
    await putKey(engine, name, publicKey)
    return {seen: 'the SSH key was rejected'}
  }
  if (!(await sshAnswers(address, 22, signal))) return {seen: `no SSH server responds at ${address}:22`}
  return {value: hostKeys, seen: 'up'}
}

/** The host key of a running node; undefined before its first boot made one. */
export async function readHostKeys(
  engine: ContainerEngine,
  container: string,
  signal: AbortSignal,
): Promise<readonly string[] | undefined> {
  const {exitCode, stdout} = await engine.exec(container, ['cat', HOST_KEY], signal)
  const [type, key] = stdout.trim().split(/\s+/)
  return exitCode === 0 && type !== undefined && key !== undefined ? [`${type} ${key}`] : undefined
}

function environmentOf({cgroupVersion, nameservers}: LocalMachine): Readonly<Record<string, string>> {
  return {
    container: 'docker',
    // systemd 256 and 257 refuse cgroup v1 without it; 258 knows v1 no more.
    ...(cgroupVersion === 1 ? {SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE: '1'} : {}),
    ...(nameservers.length === 0 ? {} : {CLOUDER_NAMESERVERS: nameservers.join(' ')}),
  }
}

async function putKey(engine: ContainerEngine, container: string, publicKey: string): Promise<void> {
  await engine.putFile(container, {path: AUTHORIZED_KEYS, content: `${publicKey}\n`, mode: 0o600})
}

async function removeAndWait(engine: ContainerEngine, id: string, signal: AbortSignal): Promise<void> {
  await engine.removeContainer(id)
  await waitFor({
    what: `container ${id} to be gone`,
    check: async () => {
      const left = await engine.findContainer(id)
      return left === undefined ? {value: true, seen: 'gone'} : {seen: left.status}
    },
    timeoutMs: 60_000,
    intervalMs: 200,
    signal,
  })
}

function bannerComes(address: string, port: number, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({host: address, port})
    const end = (answer: boolean) => {
      signal.removeEventListener('abort', abort)
      socket.destroy()
      resolve(answer)
    }
    const abort = () => end(false)
    signal.addEventListener('abort', abort, {once: true})
    socket.setTimeout(BANNER_TIMEOUT_MS, () => end(false))
    socket.once('error', () => end(false))
    socket.once('close', () => end(false))
    socket.once('data', (banner: Buffer) => end(banner.toString('latin1').startsWith('SSH-')))
  })
}
