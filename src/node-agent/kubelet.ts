import {readFile} from 'node:fs/promises'
import {request} from 'node:https'
import {z} from 'zod'
import {CheckpointError, KubernetesError} from '../errors.ts'

/** The kubelet gives its runtime two minutes by default; a dump of many gigabytes may be given more there. */
const DUMP_TIMEOUT_MS = 30 * 60_000

/**
 * What gRPC says of a socket that nobody serves, as when containerd is started anew. A call that was broken off in its
 * middle reads otherwise.
 */
const RUNTIME_AWAY = /code = Unavailable .*connect: (?:connection refused|no such file or directory)/

const answerSchema = z.object({items: z.array(z.string()).min(1)})

export interface DumpTarget {
  readonly namespace: string
  readonly pod: string
  readonly container: string
}

export interface Kubelet {
  /**
   * Checkpoints a running container, which goes on afterwards; gives the path of the archive.
   * Throws CheckpointError CHECKPOINT_FAILED with what the runtime said, KubernetesError API_UNREACHABLE when the
   * kubelet, or the runtime behind it, is away and nothing was begun.
   */
  checkpoint(target: DumpTarget, signal: AbortSignal): Promise<string>
}

export interface KubeletOptions {
  /** The node's own address, and the name that its certificate bears. */
  readonly address: string
  readonly port: number
  readonly nodeName: string
  /** Files, read at each call as they rotate: the cluster's CA, which signed what the kubelet serves with, and who we are. */
  readonly caFile: string
  readonly tokenFile: string
}

/** The kubelet of this node over HTTPS, with a serving certificate of the cluster's CA for the name of the node. */
export function httpsKubelet(options: KubeletOptions): Kubelet {
  return {
    async checkpoint(target, signal) {
      const path = `/checkpoint/${target.namespace}/${target.pod}/${target.container}`
      const {status, body} = await post(options, path, signal)
      if (status === 200) {
        const [archive] = answerSchema.parse(JSON.parse(body)).items
        if (archive !== undefined) return archive
      }
      const what = `${target.namespace}/${target.pod}/${target.container}`
      if (RUNTIME_AWAY.test(body))
        throw new KubernetesError(
          'API_UNREACHABLE',
          `the kubelet of ${options.nodeName} does not reach its container runtime: ${body.trim()}`,
        )
      throw new CheckpointError(
        'CHECKPOINT_FAILED',
        `the kubelet of ${options.nodeName} did not checkpoint ${what}: ${status} ${body.trim()}`,
      )
    },
  }
}

async function post(
  options: KubeletOptions,
  path: string,
  signal: AbortSignal,
): Promise<{readonly status: number; readonly body: string}> {
  const ca = await readFile(options.caFile, 'utf8')
  const token = (await readFile(options.tokenFile, 'utf8')).trim()
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void =>
      reject(
        signal.aborted
          ? error
          : new KubernetesError(
              'API_UNREACHABLE',
              `the kubelet of ${options.nodeName} did not answer at ${options.address}:${options.port}: ${error.message}`,
              {cause: error},
            ),
      )
    const outgoing = request(
      {
        host: options.address,
        port: options.port,
        method: 'POST',
        path,
        servername: options.nodeName,
        ca,
        agent: false,
        headers: {authorization: `Bearer ${token}`, 'content-length': 0},
        signal: AbortSignal.any([signal, AbortSignal.timeout(DUMP_TIMEOUT_MS)]),
      },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', fail)
        response.on('end', () =>
          resolve({status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8')}),
        )
      },
    )
    outgoing.on('error', fail)
    outgoing.end()
  })
}
