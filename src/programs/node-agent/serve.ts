import {chmod, mkdir, rm} from 'node:fs/promises'
import {createServer, type Server, type Socket} from 'node:net'
import {dirname} from 'node:path'
import {errorMessage} from '../../base/errors.ts'
import {
  restoredNoteSchema,
  restoreRequestSchema,
  type RestoreAnswer,
  type RestoredNote,
  type RestoreRequest,
} from '../../api/handler-protocol.ts'
import {jsonOf} from '../../base/json.ts'

const MAX_REQUEST_BYTES = 64 * 1024
/** The handler waits 110 s. */
const ANSWER_TIMEOUT_MS = 105_000

/** What becomes of what the restore handler asks and reports. */
export interface RestoreServer {
  readonly answer: (request: RestoreRequest) => Promise<RestoreAnswer>
  /** A container of a pod was restored: its processes run. */
  readonly restored: (note: RestoredNote) => void
}

/** Answers the restore handler on a socket that only root may use. Resolves once it listens. */
export async function serveRestores(path: string, restores: RestoreServer): Promise<Server> {
  await mkdir(dirname(path), {recursive: true, mode: 0o700})
  await chmod(dirname(path), 0o700)
  await rm(path, {force: true})
  const server = createServer({allowHalfOpen: true}, (socket) => void converse(socket, restores))
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, resolve)
  })
  await chmod(path, 0o600)
  return server
}

async function converse(socket: Socket, restores: RestoreServer): Promise<void> {
  socket.on('error', () => socket.destroy())
  socket.setTimeout(ANSWER_TIMEOUT_MS, () => socket.destroy())
  const reply = await answered(socket, restores)
  if (reply === undefined) socket.destroy()
  else if (!socket.destroyed) socket.end(`${JSON.stringify(reply)}\n`)
}

/** Undefined: nothing was asked. */
async function answered(socket: Socket, restores: RestoreServer): Promise<RestoreAnswer | undefined> {
  try {
    const line = jsonOf(await firstLine(socket))
    const note = restoredNoteSchema.safeParse(line).data
    if (note === undefined) return await restores.answer(restoreRequestSchema.parse(line))
    restores.restored(note)
    return undefined
  } catch (error) {
    const message = errorMessage(error)
    return {version: 1, action: 'refuse', message: `could not handle the request: ${message}`}
  }
}

function firstLine(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    socket.setEncoding('utf8')
    socket.on('data', (chunk: string) => {
      text += chunk
      const end = text.indexOf('\n')
      if (end >= 0) resolve(text.slice(0, end))
      else if (text.length > MAX_REQUEST_BYTES)
        reject(new Error(`it is larger than ${MAX_REQUEST_BYTES} bytes`))
    })
    socket.once('end', () => resolve(text))
    socket.once('close', () => reject(new Error('the connection closed before the end of the request')))
  })
}
