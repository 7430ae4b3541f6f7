import {once} from 'node:events'
import {createServer} from 'node:http2'
import {
  delimitedField,
  numberField,
  readMessage,
  type Message,
} from '../../src/checkpoint/archive/protobuf.ts'

/** What a CRI answers: an end of a command, another message, or a status of gRPC. */
export type RuntimeAnswer =
  | {readonly exitCode: number; readonly stdout?: string; readonly stderr?: string}
  | {readonly body: Uint8Array}
  | {readonly status: number; readonly message: string}

/** A container runtime at a socket; `answer` may never come, as of a command that does not end. */
export async function serveRuntime(
  socket: string,
  answer: (request: Message, path: string) => RuntimeAnswer | Promise<RuntimeAnswer>,
): Promise<AsyncDisposable & {readonly cancelled: () => number; readonly breakOff: () => void}> {
  let cancelled = 0
  const server = createServer()
  server.on('stream', (stream, headers) => {
    const chunks: Buffer[] = []
    let told: RuntimeAnswer = {status: 0, message: ''}
    stream.on('aborted', () => (cancelled += 1))
    stream.on('error', () => undefined)
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('wantTrailers', () =>
      stream.sendTrailers({
        'grpc-status': String('status' in told ? told.status : 0),
        ...('status' in told ? {'grpc-message': encodeURIComponent(told.message)} : {}),
      }),
    )
    stream.on('end', () => {
      const request = readMessage(Buffer.concat(chunks).subarray(5))
      if (request === undefined) throw new Error('it asks with no message')
      void Promise.resolve(answer(request, String(headers[':path']))).then((given) => {
        told = given
        stream.respond({':status': 200, 'content-type': 'application/grpc'}, {waitForTrailers: true})
        stream.end('status' in given ? Buffer.alloc(0) : framed(given))
      })
    })
  })
  const sessions = new Set<{destroy(): void}>()
  server.on('session', (session) => {
    sessions.add(session)
    session.on('error', () => undefined)
  })
  server.listen(socket)
  await once(server, 'listening')
  const breakOff = (): void => {
    for (const session of sessions) session.destroy()
  }
  return {
    cancelled: () => cancelled,
    breakOff,
    [Symbol.asyncDispose]: async () => {
      breakOff()
      server.close()
      await once(server, 'close')
    },
  }
}

function framed(answer: Exclude<RuntimeAnswer, {readonly status: number}>): Buffer {
  const message = 'body' in answer ? answer.body : endOf(answer)
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(message.length, 1)
  return Buffer.concat([prefix, message])
}

const endOf = ({
  exitCode,
  stdout = '',
  stderr = '',
}: {
  readonly exitCode: number
  readonly stdout?: string
  readonly stderr?: string
}): Buffer => Buffer.concat([delimitedField(1, stdout), delimitedField(2, stderr), numberField(3, exitCode)])
