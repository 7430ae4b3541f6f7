import {Writable} from 'node:stream'
import type {KubeConfig} from '@kubernetes/client-node'
import {z} from 'zod'
import {KubernetesError} from '../errors.ts'
import {codeOf} from './answers.ts'
import {SERVER_NAME, type Server} from './transport.ts'
import type {ExecResult} from './types.ts'

/** What is kept of each of stdout and stderr. */
const OUTPUT_BYTES = 1024 * 1024

const statusSchema = z.looseObject({
  status: z.string().optional(),
  message: z.string().optional(),
  code: z.int().optional(),
  details: z
    .looseObject({
      causes: z
        .array(z.looseObject({reason: z.string().optional(), message: z.string().optional()}))
        .optional(),
    })
    .optional(),
})

/** As much of the package's WebSocket as is used; its own types are not installed. */
interface Socket {
  close(): void
  onclose: (() => void) | null
}

export interface ExecRequest {
  readonly namespace: string
  readonly pod: string
  readonly container: string
  readonly command: readonly string[]
  readonly signal: AbortSignal
  readonly timeoutMs: number
}

/**
 * Runs a command in a container and waits for its end; any exit code is an answer. When it gives up, the connection
 * is closed, the command itself may go on. Throws KubernetesError API_REJECTED, NOT_READY when the time is up.
 */
export async function execInContainer(server: Server, request: ExecRequest): Promise<ExecResult> {
  const {Exec} = await import('@kubernetes/client-node')
  const exec = new Exec(await configOf(server))
  const [stdout, stderr] = [new Kept(), new Kept()]
  const what = `run ${request.command[0] ?? ''} in ${request.namespace}/${request.pod}/${request.container}`
  const limit = AbortSignal.timeout(request.timeoutMs)
  const signal = AbortSignal.any([request.signal, limit])
  signal.throwIfAborted()
  const status = await new Promise<unknown>((resolve, reject) => {
    const stop = (): void =>
      reject(
        request.signal.aborted
          ? asError(request.signal.reason)
          : new KubernetesError('NOT_READY', `cannot ${what}: no end after ${request.timeoutMs / 1000} s`),
      )
    signal.addEventListener('abort', stop, {once: true})
    exec
      .exec(
        request.namespace,
        request.pod,
        request.container,
        [...request.command],
        stdout,
        stderr,
        null,
        false,
        resolve,
      )
      .then((socket: Socket) => {
        signal.addEventListener('abort', () => socket.close(), {once: true})
        if (signal.aborted) socket.close()
        socket.onclose = () =>
          reject(new KubernetesError('API_UNREACHABLE', `cannot ${what}: the connection was closed`))
      })
      .catch((error: unknown) =>
        reject(new KubernetesError('API_REJECTED', `cannot ${what}: ${messageOf(error)}`, {cause: error})),
      )
  })
  return {exitCode: exitCodeOf(status, what), stdout: stdout.text, stderr: stderr.text}
}

async function configOf(server: Server): Promise<KubeConfig> {
  const {KubeConfig} = await import('@kubernetes/client-node')
  const config = new KubeConfig()
  const base64 = (text: string): string => Buffer.from(text).toString('base64')
  const host = server.host.includes(':') ? `[${server.host}]` : server.host
  config.loadFromOptions({
    clusters: [
      {
        name: 'here',
        server: `https://${host}:${server.port}`,
        tlsServerName: SERVER_NAME,
        ...(server.ca === undefined ? {} : {caData: base64(server.ca)}),
      },
    ],
    users: [
      {
        name: 'me',
        ...(server.cert === undefined ? {} : {certData: base64(server.cert)}),
        ...(server.key === undefined ? {} : {keyData: base64(server.key)}),
        ...(server.token === undefined ? {} : {token: await server.token()}),
      },
    ],
    contexts: [{name: 'here', cluster: 'here', user: 'me'}],
    currentContext: 'here',
  })
  return config
}

/** 0 for success, the command's own code where there is one. */
function exitCodeOf(answer: unknown, what: string): number {
  const {status, message, details, code} = statusSchema.parse(answer)
  if (status === 'Success') return 0
  const told = details?.causes?.find(({reason}) => reason === 'ExitCode')?.message
  if (told !== undefined) return Number(told)
  throw new KubernetesError(
    code === undefined ? 'API_REJECTED' : codeOf(code),
    `cannot ${what}: ${message ?? 'no reason was given'}`,
    code === undefined ? {} : {answer: {status: code, details}},
  )
}

/** Keeps the first part of what is written to it. */
class Kept extends Writable {
  readonly #chunks: Buffer[] = []
  #bytes = 0

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    const kept = chunk.subarray(0, Math.max(0, OUTPUT_BYTES - this.#bytes))
    this.#bytes += kept.length
    this.#chunks.push(kept)
    done()
  }

  get text(): string {
    return Buffer.concat(this.#chunks).toString('utf8')
  }
}

const asError = (reason: unknown): Error => (reason instanceof Error ? reason : new Error(String(reason)))
/** The package rejects with events of its WebSocket, which are no errors. */
const messageOf = (error: unknown): string =>
  z.object({message: z.string()}).safeParse(error).data?.message ?? 'the connection failed'
