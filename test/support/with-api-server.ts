import {execFile, spawn, type ChildProcess} from 'node:child_process'
import {createReadStream, createWriteStream} from 'node:fs'
import {chmod, mkdtemp, readFile, rm, writeFile} from 'node:fs/promises'
import {homedir, tmpdir} from 'node:os'
import {join} from 'node:path'
import {pipeline} from 'node:stream/promises'
import {promisify} from 'node:util'
import {createGunzip, createZstdDecompress} from 'node:zlib'
import {extract} from 'tar-stream'
import type {TestContext} from 'vitest'
import {stringify} from 'yaml'
import {z} from 'zod'
import {checkpointDefinitions} from '../../src/platform/addons/checkpoint-definitions.ts'
import {bundleDir, loadBundle} from '../../src/bundle/load.ts'
import type {Bundle} from '../../src/bundle/types.ts'
import {API_VERSION} from '../../src/api/names.ts'
import {RESOURCES} from '../../src/api/resources.ts'
import {BundleError, KubernetesError} from '../../src/base/errors.ts'
import {openKube} from '../../src/kubernetes/client.ts'
import type {KubeApi, OpenKubeClient} from '../../src/kubernetes/types.ts'
import {waitFor} from '../../src/base/waiting.ts'
import {freePort} from './free-port.ts'

const VERSION = '1.35.4'
const START_TIMEOUT_MS = 120_000
const manifestSchema = z.looseObject({
  layers: z.array(z.looseObject({mediaType: z.string(), digest: z.string()})),
})

/** A real kube-apiserver with its etcd, from the bundle in the user's cache, on loopback ports of its own. */
export interface ApiServer extends AsyncDisposable {
  readonly kube: OpenKubeClient
  readonly kubeconfig: string
  readonly port: number
}

/** The bundle whose programs run; ends the test as skipped, with the reason, where there is none yet. */
export async function needBundle(context: TestContext): Promise<Bundle> {
  const {env} = process
  const cache = join(env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'clouder')
  try {
    return await loadBundle(bundleDir(cache, VERSION, process.arch === 'arm64' ? 'arm64' : 'amd64'))
  } catch (error) {
    if (!(error instanceof BundleError) || env['CLOUDER_REQUIRE_E2E'] === '1') throw error
    return context.skip(`${error.message}: clouder bundle build`)
  }
}

/** Starts both and waits until /readyz says ok. */
export async function startApiServer(bundle: Bundle): Promise<ApiServer> {
  const dir = await mkdtemp(join(tmpdir(), 'clouder-api-'))
  const running: {readonly child: ChildProcess; readonly output: string[]}[] = []
  const stop = async (): Promise<void> => {
    for (const {child} of running.toReversed()) await ended(child)
    await rm(dir, {recursive: true, force: true})
  }
  try {
    await unpack(bundle, dir)
    const kubeconfig = await credentials(dir)
    const [port, etcdPort, peerPort] = [await freePort(), await freePort(), await freePort()]
    running.push(start(join(dir, 'etcd'), etcdFlags(dir, etcdPort, peerPort)))
    running.push(start(join(dir, 'kube-apiserver'), apiServerFlags(dir, port, etcdPort)))
    const kube = await openKube({kubeconfig, port, signal: new AbortController().signal})
    await ready(kube, () => running.flatMap(({output}) => output.slice(-5)).join(''))
    return {
      kube,
      kubeconfig,
      port,
      [Symbol.asyncDispose]: async () => {
        kube.close()
        await stop()
      },
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Defines the custom resources of checkpoints and waits until all are served. */
export async function serveCheckpoints(kube: KubeApi): Promise<void> {
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
    signal: new AbortController().signal,
  })
}

async function unpack(bundle: Bundle, dir: string): Promise<void> {
  const kubeadm = bundle.lock.files.find(({name}) => name === 'kubeadm')
  if (kubeadm === undefined) throw new Error(`the bundle ${bundle.dir} has no kubeadm`)
  await Promise.all([
    pipeline(
      createReadStream(join(bundle.dir, kubeadm.path)),
      createGunzip(),
      createWriteStream(join(dir, 'kubeadm'), {mode: 0o755}),
    ),
    unpackFromImage(bundle, 'kube-apiserver', dir),
    unpackFromImage(bundle, 'etcd', dir),
  ])
}

/** Takes the program that an image is named after out of its layers. */
async function unpackFromImage(bundle: Bundle, name: string, dir: string): Promise<void> {
  const image = bundle.lock.images.find((item) => item.name === name)
  if (image === undefined) throw new Error(`the bundle ${bundle.dir} has no image ${name}`)
  const blob = (digest: string): string => join(bundle.dir, 'oci/blobs', digest.replace(':', '/'))
  const {layers} = manifestSchema.parse(JSON.parse(await readFile(blob(image.manifestDigest), 'utf8')))
  for (const {mediaType, digest} of layers) {
    const tar = extract()
    const unpacked = (async () => {
      for await (const entry of tar) {
        if (!entry.header.name.endsWith(`/${name}`) || entry.header.type !== 'file') entry.resume()
        else await pipeline(entry, createWriteStream(join(dir, name)))
      }
    })()
    const decompress = mediaType.endsWith('+zstd') ? createZstdDecompress() : createGunzip()
    await pipeline(createReadStream(blob(digest)), decompress, tar)
    await unpacked
  }
  await chmod(join(dir, name), 0o755)
}

/** kubeadm makes the certificates as on a control plane; the kubeconfig is that of a member of system:masters. */
async function credentials(dir: string): Promise<string> {
  const config = join(dir, 'kubeadm.yaml')
  const documents = [
    {
      kind: 'InitConfiguration',
      // Of documentation: kubeadm takes no loopback address, and the name in the certificate is what counts.
      localAPIEndpoint: {advertiseAddress: '192.0.2.1'},
      nodeRegistration: {criSocket: 'unix:///run/none.sock'},
    },
    {kind: 'ClusterConfiguration', kubernetesVersion: `v${VERSION}`, certificatesDir: join(dir, 'pki')},
  ]
  const text = documents.map((document) => stringify({apiVersion: 'kubeadm.k8s.io/v1beta4', ...document}))
  await writeFile(config, text.join('---\n'))
  const kubeadm = async (...args: string[]): Promise<unknown> =>
    promisify(execFile)(join(dir, 'kubeadm'), ['init', 'phase', ...args, `--config=${config}`])
  for (const name of ['ca', 'apiserver']) await kubeadm('certs', name)
  await promisify(execFile)(join(dir, 'kubeadm'), [
    'init',
    'phase',
    'certs',
    'sa',
    `--cert-dir=${join(dir, 'pki')}`,
  ])
  await kubeadm('kubeconfig', 'super-admin', `--kubeconfig-dir=${dir}`)
  return readFile(join(dir, 'super-admin.conf'), 'utf8')
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
  const pki = (name: string): string => join(dir, 'pki', name)
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

function start(program: string, flags: readonly string[]): {child: ChildProcess; output: string[]} {
  const child = spawn(program, flags, {stdio: ['ignore', 'ignore', 'pipe']})
  const output: string[] = []
  child.stderr.setEncoding('utf8').on('data', (text: string) => void output.push(text))
  return {child, output}
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await exited
}

async function ready(kube: OpenKubeClient, output: () => string): Promise<void> {
  await waitFor({
    what: 'the API server',
    check: async () => {
      try {
        const {status} = await kube.fetch('/readyz')
        return status === 200 ? {value: true, seen: 'ok'} : {seen: `status ${status}`}
      } catch (error) {
        if (!(error instanceof KubernetesError)) throw error
        return {seen: `${error.message}\n${output()}`}
      }
    },
    timeoutMs: START_TIMEOUT_MS,
    intervalMs: 200,
    signal: new AbortController().signal,
  })
}
