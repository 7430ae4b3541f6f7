import {
  connect as connectHttp2,
  constants,
  type ClientHttp2Session,
  type IncomingHttpHeaders,
} from 'node:http2'
import {connect} from 'node:net'
import {delimitedField, numberField, readMessage} from '../checkpoint/archive/protobuf.ts'
import {CheckpointError, KubernetesError} from '../errors.ts'

export interface ExecResult {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

/**
 * Runs a command in a running container of this node, as the container's own user, and waits for its end; any exit code
 * is an answer. When the time is up, or the signal is aborted, the command is killed. Throws CheckpointError
 * CHECKPOINT_FAILED, KubernetesError API_UNREACHABLE when the runtime is away and nothing was begun.
 */
export type ContainerExec = (
  containerId: string,
  command: readonly string[],
  options: {readonly timeoutSeconds: number; readonly signal: AbortSignal},
) => Promise<ExecResult>

/** https://github.com/kubernetes/cri-api/blob/master/pkg/apis/runtime/v1/api.proto */
const METHOD = '/runtime.v1.RuntimeService/ExecSync'
const DEADLINE_EXCEEDED = 4
const UNAVAILABLE = 14
/** containerd keeps so much of each of stdout and stderr. */
const MOST_ANSWER_BYTES = 2 * 16 * 1024 * 1024 + 1024
/** The runtime kills the command when its time is up, and says so: what it is given for that. */
const GRACE_MS = 5_000
/** Of a message of gRPC: whether it is compressed, and its length. */
const PREFIX_BYTES = 5

/** The container runtime behind a socket, by its CRI: what a kubelet would run a command by. */
export function criExec(socket: string): ContainerExec {
  return async (containerId, command, {timeoutSeconds, signal}) => {
    const request = Buffer.concat([
      delimitedField(1, containerId),
      ...command.map((word) => delimitedField(2, word)),
      numberField(3, timeoutSeconds),
    ])
    const limit = AbortSignal.timeout(timeoutSeconds * 1000 + GRACE_MS)
    const answer = await call(socket, request, AbortSignal.any([signal, limit])).catch((error: unknown) => {
      signal.throwIfAborted()
      if (limit.aborted) throw noEnd(timeoutSeconds, error)
      throw error
    })
    if (answer.code === DEADLINE_EXCEEDED) throw noEnd(timeoutSeconds)
    if (answer.code === UNAVAILABLE) throw away(answer.message)
    const result = answer.code === 0 ? readMessage(answer.body) : undefined
    if (result === undefined)
      throw new CheckpointError('CHECKPOINT_FAILED', `the runtime did not run it: ${answer.message}`)
    return {
      exitCode: result.number(3) ?? 0,
      stdout: result.text(1) ?? '',
      stderr: result.text(2) ?? '',
    }
  }
}

interface Answer {
  readonly code: number
  readonly message: string
  readonly body: Uint8Array
}

/** One unary call of gRPC: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md */
async function call(socket: string, message: Uint8Array, signal: AbortSignal): Promise<Answer> {
  const session = connectHttp2('http://localhost', {createConnection: () => connect(socket)})
  try {
    return await exchanged(session, message, signal)
  } finally {
    session.destroy()
  }
}

function exchanged(session: ClientHttp2Session, message: Uint8Array, signal: AbortSignal): Promise<Answer> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    let begun = false
    const broken = (error: Error): void => {
      if (signal.aborted) reject(error)
      else if (begun)
        reject(
          new CheckpointError('CHECKPOINT_FAILED', `the runtime broke off: ${error.message}`, {cause: error}),
        )
      else reject(away(error.message, error))
    }
    session.on('error', broken)
    session.once('connect', () => (begun = true))
    const stream = session.request({
      [constants.HTTP2_HEADER_METHOD]: 'POST',
      [constants.HTTP2_HEADER_PATH]: METHOD,
      [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc',
      [constants.HTTP2_HEADER_TE]: 'trailers',
    })
    // The runtime kills what was asked for by a call that is cancelled.
    signal.addEventListener('abort', () => stream.close(constants.NGHTTP2_CANCEL), {once: true})
    const chunks: Buffer[] = []
    let bytes = 0
    let told: IncomingHttpHeaders = {}
    stream.on('response', (headers) => (told = {...told, ...headers}))
    stream.on('trailers', (headers: IncomingHttpHeaders) => (told = {...told, ...headers}))
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > MOST_ANSWER_BYTES) stream.close(constants.NGHTTP2_CANCEL)
      else chunks.push(chunk)
    })
    stream.on('error', broken)
    stream.on('close', () => {
      const {'grpc-status': status, 'grpc-message': words = ''} = told
      const body = Buffer.concat(chunks).subarray(PREFIX_BYTES)
      if (typeof status !== 'string') broken(new Error('its answer has no end'))
      else resolve({code: Number(status), message: decoded(String(words)), body})
    })
    const prefix = Buffer.alloc(PREFIX_BYTES)
    prefix.writeUInt32BE(message.length, 1)
    stream.end(Buffer.concat([prefix, message]))
  })
}

/** As gRPC encodes what is not ASCII. */
function decoded(words: string): string {
  try {
    return decodeURIComponent(words)
  } catch {
    return words
  }
}

const noEnd = (timeoutSeconds: number, cause?: unknown): CheckpointError =>
  new CheckpointError(
    'CHECKPOINT_FAILED',
    `it did not end within ${timeoutSeconds} s and was killed`,
    cause === undefined ? {} : {cause},
  )

const away = (why: string, cause?: Error): KubernetesError =>
  new KubernetesError(
    'API_UNREACHABLE',
    `the container runtime does not answer: ${why}`,
    cause === undefined ? {} : {cause},
  )
