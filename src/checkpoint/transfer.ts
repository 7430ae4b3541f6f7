import {z} from 'zod'
import type {Argv, Host, HostReader} from '../hosts/host.ts'
import type {KubeApi} from '../kubernetes/types.ts'
import {KubernetesError} from '../errors.ts'
import {quoteWord} from '../hosts/quoting.ts'

const CHUNK_BYTES = 2 * 1024 * 1024

const answerSchema = z.object({items: z.array(z.string()).min(1)})

/**
 * Checkpoints a running container through the kubelet, by way of the API server's node proxy.
 * Gives the path of the archive on the node. Throws KubernetesError API_REJECTED with what CRIU said.
 */
export async function checkpointContainer(
  kube: KubeApi,
  host: HostReader,
  target: {
    readonly node: string
    readonly namespace: string
    readonly pod: string
    readonly container: string
  },
  signal: AbortSignal,
): Promise<string> {
  const path = `/api/v1/nodes/${target.node}/proxy/checkpoint/${target.namespace}/${target.pod}/${target.container}`
  const answer = await kube.post(path, '', signal)
  if (answer.status !== 200) {
    const evidence = await criuErrors(host, answer.body, signal)
    throw new KubernetesError(
      'API_REJECTED',
      `the kubelet of ${target.node} refused the checkpoint: ${evidence ?? `${answer.status} ${answer.body.trim()}`}`,
    )
  }
  const [archive] = answerSchema.parse(JSON.parse(answer.body)).items
  if (archive === undefined) throw new KubernetesError('API_REJECTED', 'the kubelet named no archive')
  return archive
}

/** The lines that say why, from the log of CRIU that the kubelet's answer names. */
async function criuErrors(
  host: HostReader,
  answer: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const log = /path= (\/run\/containerd\/[^\s)]+\.log)/.exec(answer)?.[1]
  if (log === undefined) return undefined
  const {stdout} = await host.query(['grep', 'Error', log], {signal})
  const lines = stdout.split('\n').filter((line) => line !== '')
  return lines.length === 0 ? undefined : lines.map((line) => line.replace(/^\([\d.]+\) /, '')).join('; ')
}

/** Copies a file from one host to another through this machine; gives its size in bytes. The digest is checked. */
export async function copyBetweenHosts(
  from: HostReader,
  source: string,
  to: Host,
  destination: string,
  signal: AbortSignal,
): Promise<number> {
  const sizeBytes = Number((await readOut(from, ['stat', '-c', '%s', source], signal)).trim())
  const sha256 = (await readOut(from, ['sha256sum', source], signal)).slice(0, 64)
  await to.upload(readFile(from, source, sizeBytes, signal), destination, {
    sha256,
    sizeBytes,
    mode: 0o600,
    signal,
  })
  return sizeBytes
}

async function* readFile(
  host: HostReader,
  path: string,
  sizeBytes: number,
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  for (let offset = 0; offset < sizeBytes; offset += CHUNK_BYTES) {
    const block = `bs=${CHUNK_BYTES} skip=${offset / CHUNK_BYTES} count=1 status=none`
    const text = `dd if=${quoteWord(path)} ${block} | base64 -w0`
    const {stdout} = await host.queryScript({name: 'checkpoint/read-chunk', text}, {signal})
    yield Buffer.from(stdout, 'base64')
  }
}

async function readOut(host: HostReader, argv: Argv, signal: AbortSignal): Promise<string> {
  const {exitCode, stdout, stderr} = await host.query(argv, {signal})
  if (exitCode === 0) return stdout
  throw new KubernetesError('NOT_READY', `${argv.join(' ')} failed on ${host.name}: ${stderr.trim()}`)
}
