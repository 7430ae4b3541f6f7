import {spawn, type ChildProcess} from 'node:child_process'
import {mkdtemp, rm, writeFile} from 'node:fs/promises'
import {homedir, tmpdir} from 'node:os'
import {join} from 'node:path'
import type {TestContext} from 'vitest'
import {checkpointDefinitions} from '../../src/platform/addons/checkpoint/definitions.ts'
import {bundleDir, loadBundle} from '../../src/bundle/load.ts'
import type {Bundle} from '../../src/bundle/types.ts'
import {API_VERSION} from '../../src/api/names.ts'
import {RESOURCES} from '../../src/api/resources.ts'
import {KubernetesError} from '../../src/kubernetes/errors.ts'
import {BundleError} from '../../src/bundle/errors.ts'
import {openKube} from '../../src/kubernetes/client.ts'
import type {KubeClient} from '../../src/kubernetes/types.ts'
import {waitFor} from '../../src/base/waiting.ts'
import {controlPlaneFiles, type ControlPlaneFiles} from './api-server-programs.ts'
import {freePort} from './free-port.ts'

const VERSION = '1.35.4'
const START_TIMEOUT_MS = 120_000
const POLL_MS = 50
/** Kept of what a program wrote, for the error when it does not start. */
const LAST_OUTPUTS = 5
const {signal} = new AbortController()

export interface ApiServerOptions {
  /**
   * Also runs kube-controller-manager, which makes service accounts, empties namespaces that are deleted, and collects
   * what has lost its owner. Default: false.
   */
  readonly controllerManager?: boolean
  /** Further flags of kube-apiserver. */
  readonly flags?: readonly string[]
}

/** A real kube-apiserver with its etcd, from the bundle in the user's cache, on loopback ports of its own. */
export interface ApiServer extends AsyncDisposable {
  readonly kube: KubeClient
  readonly kubeconfig: string
  readonly port: number
  /** Where etcd answers, without TLS: `http://127.0.0.1:…`. */
  readonly etcd: string
  /** Ends the API server at once, as a crash would; etcd keeps its data. */
  stop(): Promise<void>
  /** Starts it on the same port, ended first where it runs, and waits until it is ready. */
  restart(): Promise<void>
}

const cacheDir = (): string => join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'clouder')

/** The bundle whose programs run; ends the test as skipped, with the reason, where there is none yet. */
export async function needBundle(context: TestContext): Promise<Bundle> {
  try {
    return await loadBundle(bundleDir(cacheDir(), VERSION, process.arch === 'arm64' ? 'arm64' : 'amd64'))
  } catch (error) {
    if (!(error instanceof BundleError) || process.env['CLOUDER_REQUIRE_E2E'] === '1') throw error
    return context.skip(`${error.message}: clouder bundle build`)
  }
}

/** Starts all, and waits until /readyz says ok and, with a controller manager, the first service account is there. */
export async function startApiServer(bundle: Bundle, options: ApiServerOptions = {}): Promise<ApiServer> {
  const {programs, pki, kubeconfig} = await controlPlaneFiles(bundle, join(cacheDir(), 'test'))
  await using parts = new AsyncDisposableStack()
  const dir = await mkdtemp(join(tmpdir(), 'clouder-api-'))
  parts.defer(() => rm(dir, {recursive: true, force: true}))
  const [port, etcdPort, peerPort] = [await freePort(), await freePort(), await freePort()]
  const run = (name: keyof ControlPlaneFiles['programs'], flags: readonly string[]): Running => {
    const running = start(programs[name], flags)
    parts.defer(() => ended(running.child))
    return running
  }
  run('etcd', etcdFlags(dir, etcdPort, peerPort))
  const serverFlags = [...apiServerFlags(pki, port, etcdPort), ...(options.flags ?? [])]
  let server = start(programs['kube-apiserver'], serverFlags)
  parts.defer(() => ended(server.child))
  const kube = await openKube({kubeconfig, port, signal})
  parts.defer(() => kube.close())
  const stop = (): Promise<void> => ended(server.child)
  const served: Omit<ApiServer, keyof AsyncDisposable> = {
    kube,
    kubeconfig,
    port,
    etcd: `http://127.0.0.1:${etcdPort}`,
    stop,
    async restart() {
      await stop()
      server = start(programs['kube-apiserver'], serverFlags)
      await ready(kube, server)
    },
  }
  const managing =
    options.controllerManager === true
      ? run('kube-controller-manager', await controllerManagerFlags({dir, pki, kubeconfig, port}))
      : undefined
  await ready(kube, server)
  if (managing !== undefined) await serviceAccounts(kube, managing)
  const all = parts.move()
  return {...served, [Symbol.asyncDispose]: () => all.disposeAsync()}
}

/** Defines the custom resources of checkpoints and waits until all are served. */
export async function serveCheckpoints(kube: KubeClient): Promise<void> {
  await kube.apply(checkpointDefinitions())
  const paths = Object.values(RESOURCES).map(({plural}) => `/apis/${API_VERSION}/${plural}`)
  await waitFor({
    what: 'the custom resources',
    check: async () => {
      const answers = await Promise.all(paths.map((path) => kube.fetch(path)))
      const seen = answers.map(({status}) => status)
      return {seen: seen.join(), ...(seen.every((status) => status === 200) ? {value: true} : {})}
    },
    timeoutMs: 60_000,
    intervalMs: 200,
    signal,
  })
}

const etcdFlags = (dir: string, port: number, peerPort: number): readonly string[] => [
  `--data-dir=${join(dir, 'data')}`,
  `--listen-client-urls=http://127.0.0.1:${port}`,
  `--advertise-client-urls=http://127.0.0.1:${port}`,
  `--listen-peer-urls=http://127.0.0.1:${peerPort}`,
  `--initial-advertise-peer-urls=http://127.0.0.1:${peerPort}`,
  `--initial-cluster=default=http://127.0.0.1:${peerPort}`,
  '--unsafe-no-fsync',
]

function apiServerFlags(dir: string, port: number, etcdPort: number): readonly string[] {
  const pki = (name: string): string => join(dir, name)
  return [
    `--etcd-servers=http://127.0.0.1:${etcdPort}`,
    '--bind-address=127.0.0.1',
    '--advertise-address=127.0.0.1',
    '--endpoint-reconciler-type=none',
    `--secure-port=${port}`,
    `--tls-cert-file=${pki('apiserver.crt')}`,
    `--tls-private-key-file=${pki('apiserver.key')}`,
    `--client-ca-file=${pki('ca.crt')}`,
    `--service-account-key-file=${pki('sa.pub')}`,
    `--service-account-signing-key-file=${pki('sa.key')}`,
    '--service-account-issuer=https://kubernetes.default.svc',
    '--service-cluster-ip-range=10.96.0.0/16',
    '--authorization-mode=RBAC',
  ]
}

interface ControllerManagerPlace {
  readonly dir: string
  readonly pki: string
  readonly kubeconfig: string
  readonly port: number
}

async function controllerManagerFlags(place: ControllerManagerPlace): Promise<readonly string[]> {
  const {dir, pki, kubeconfig, port} = place
  const file = join(dir, 'controller-manager.conf')
  // The certificate of the API server is for names of a cluster.
  const server = `server: https://127.0.0.1:${port}\n    tls-server-name: kubernetes`
  await writeFile(file, kubeconfig.replace(/server: .*/, server), {mode: 0o600})
  return [
    `--kubeconfig=${file}`,
    '--leader-elect=false',
    '--bind-address=127.0.0.1',
    `--secure-port=${await freePort()}`,
    `--cert-dir=${join(dir, 'controller-manager')}`,
    `--root-ca-file=${join(pki, 'ca.crt')}`,
    `--service-account-private-key-file=${join(pki, 'sa.key')}`,
    `--cluster-signing-cert-file=${join(pki, 'ca.crt')}`,
    `--cluster-signing-key-file=${join(pki, 'ca.key')}`,
  ]
}

interface Running {
  readonly child: ChildProcess
  /** The end of what it wrote to standard error. */
  readonly output: string[]
}

function start(program: string, flags: readonly string[]): Running {
  const child = spawn(program, flags, {stdio: ['ignore', 'ignore', 'pipe']})
  const output: string[] = []
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.push(text)
    if (output.length > LAST_OUTPUTS) output.shift()
  })
  return {child, output}
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await exited
}

/** Waits until a path is answered with 200. */
async function served(what: string, kube: KubeClient, path: string, {child, output}: Running): Promise<void> {
  await waitFor({
    what,
    check: async () => {
      const said = `\n${output.join('')}`
      if (child.exitCode !== null) throw new Error(`${what} ended with ${child.exitCode}:${said}`)
      try {
        const {status} = await kube.fetch(path)
        return status === 200 ? {value: true, seen: 'ok'} : {seen: `status ${status}${said}`}
      } catch (error) {
        if (!(error instanceof KubernetesError)) throw error
        return {seen: `${error.message}${said}`}
      }
    },
    timeoutMs: START_TIMEOUT_MS,
    intervalMs: POLL_MS,
    signal,
  })
}

const ready = (kube: KubeClient, server: Running): Promise<void> =>
  served('the API server', kube, '/readyz', server)

const serviceAccounts = (kube: KubeClient, manager: Running): Promise<void> =>
  served('the controller manager', kube, '/api/v1/namespaces/default/serviceaccounts/default', manager)
