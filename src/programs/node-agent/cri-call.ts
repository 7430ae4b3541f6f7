import {
  connect as connectHttp2,
  constants,
  type ClientHttp2Session,
  type IncomingHttpHeaders,
} from 'node:http2'
import {connect} from 'node:net'
import {CheckpointError} from '../../checkpoint/errors.ts'
import {KubernetesError} from '../../kubernetes/errors.ts'

/** A service behind the socket of a container runtime. */
export interface RuntimeService {
  readonly name: string
  /** Of containerd's own services, whose objects each have one. */
  readonly namespace?: string
}

/** https://github.com/kubernetes/cri-api/blob/master/pkg/apis/runtime/v1/api.proto */
const CRI: RuntimeService = {name: 'runtime.v1.RuntimeService'}
/** https://github.com/containerd/containerd/blob/main/api/services/tasks/v1/tasks.proto: of the containers of pods. */
export const TASKS: RuntimeService = {name: 'containerd.services.tasks.v1.Tasks', namespace: 'k8s.io'}
/** containerd keeps so much of each of stdout and stderr of a command. */
const MOST_ANSWER_BYTES = 2 * 16 * 1024 * 1024 + 1024
/** Of a message of gRPC: whether it is compressed, and its length. */
const PREFIX_BYTES = 5

/** Statuses of gRPC. */
export const OK = 0
export const DEADLINE_EXCEEDED = 4
export const NOT_FOUND = 5
export const UNAVAILABLE = 14

export interface CriAnswer {
  readonly code: number
  readonly message: string
  readonly body: Uint8Array
}

/** One unary call of the runtime's CRI. Throws as `runtimeCall` does. */
export const criCall = (
  socket: string,
  method: string,
  message: Uint8Array,
  signal: AbortSignal,
): Promise<CriAnswer> => runtimeCall(socket, CRI, method, message, signal)

/**
 * One unary call of a service of the container runtime behind a socket: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 * Throws KubernetesError API_UNREACHABLE when nobody listens there and nothing was begun, CheckpointError
 * CHECKPOINT_FAILED when it broke off.
 */
export async function runtimeCall(
  socket: string,
  {name, namespace}: RuntimeService,
  method: string,
  message: Uint8Array,
  signal: AbortSignal,
): Promise<CriAnswer> {
  const session = connectHttp2('http://localhost', {createConnection: () => connect(socket)})
  try {
    const headers = namespace === undefined ? {} : {'containerd-namespace': namespace}
    return await exchanged(session, `/${name}/${method}`, headers, message, signal)
  } finally {
    session.destroy()
  }
}

function exchanged(
  session: ClientHttp2Session,
  path: string,
  headers: Readonly<Record<string, string>>,
  message: Uint8Array,
  signal: AbortSignal,
): Promise<CriAnswer> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    let begun = false
    const broken = (error: Error): void => {
      if (signal.aborted) reject(error)
      else if (begun)
        reject(
          new CheckpointError(
            'CHECKPOINT_FAILED',
            `the container runtime closed the connection: ${error.message}`,
            {cause: error},
          ),
        )
      else reject(runtimeAway(error.message, error))
    }
    session.on('error', broken)
    session.once('connect', () => (begun = true))
    const stream = session.request({
      [constants.HTTP2_HEADER_METHOD]: 'POST',
      [constants.HTTP2_HEADER_PATH]: path,
      [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc',
      [constants.HTTP2_HEADER_TE]: 'trailers',
      ...headers,
    })
    // The runtime ends what was asked for by a call that is cancelled.
    signal.addEventListener('abort', () => stream.close(constants.NGHTTP2_CANCEL), {once: true})
    const chunks: Buffer[] = []
    let bytes = 0
    let told: IncomingHttpHeaders = {}
    stream.on('response', (first) => (told = {...told, ...first}))
    stream.on('trailers', (last: IncomingHttpHeaders) => (told = {...told, ...last}))
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > MOST_ANSWER_BYTES) stream.close(constants.NGHTTP2_CANCEL)
      else chunks.push(chunk)
    })
    stream.on('error', broken)
    stream.on('close', () => {
      const {'grpc-status': status, 'grpc-message': words = ''} = told
      const body = Buffer.concat(chunks).subarray(PREFIX_BYTES)
      if (typeof status !== 'string') broken(new Error('its response is incomplete'))
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

/** Nobody serves the runtime just now: to be tried again. */
export const runtimeAway = (why: string, cause?: Error): KubernetesError =>
  new KubernetesError(
    'API_UNREACHABLE',
    `the container runtime does not respond: ${why}`,
    cause === undefined ? {} : {cause},
  )
