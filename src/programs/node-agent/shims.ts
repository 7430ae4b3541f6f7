import {readFile} from 'node:fs/promises'
import {connect} from 'node:net'
import {join} from 'node:path'
import {z} from 'zod'
import {delimitedField as field, readMessage, type Message} from '../../checkpoint/archive/protobuf.ts'

/** Of containerd's types.v1.Status: https://github.com/containerd/containerd/blob/main/api/types/task/task.proto */
const PAUSED = [4, 5]
const TIMEOUT_MS = 10_000
const REQUEST = 1
const RESPONSE = 2
const HEADER_BYTES = 10

/**
 * The shims of containerd, one for each pod: they outlive it, and each remembers by itself whether a container is
 * paused. One that was paused by a containerd that is gone, or whose asker is, is taken for unknown by the next
 * containerd, and ended by the kubelet.
 */
export interface Shims {
  /** Whether the shim takes the container for paused; one that has no shim is not. */
  isPaused(containerId: string): Promise<boolean>
  /** Ends the pause; runc has to find the container's own freezer set. Throws with the shim's words. */
  resume(containerId: string): Promise<void>
}

const bootstrapSchema = z.looseObject({
  version: z.int(),
  address: z.string().transform((text) => text.replace(/^unix:\/\//, '')),
  protocol: z.literal('ttrpc'),
})

/** Shims whose folders are below `folder`: `<folder>/<container id>/bootstrap.json`. */
export function containerdShims(folder: string): Shims {
  const call = async (id: string, method: string): Promise<Message | undefined> => {
    if (!/^[0-9a-zA-Z._-]+$/.test(id)) throw new Error(`"${id}" is not the id of a container`)
    const text = await readFile(join(folder, id, 'bootstrap.json'), 'utf8').catch(absent)
    if (text === undefined) return undefined
    const {version, address} = bootstrapSchema.parse(JSON.parse(text))
    const service = `containerd.task.v${version}.Task`
    const payload = await callTtrpc(address, service, method, field(1, id)).catch(absent)
    return payload === undefined ? undefined : readMessage(payload)
  }
  return {
    isPaused: async (id) => PAUSED.includes((await call(id, 'State'))?.number(4) ?? 0),
    async resume(id) {
      await call(id, 'Resume')
    },
  }
}

/**
 * One call of ttrpc: a header of length, stream and kind before a protobuf.
 * https://github.com/containerd/ttrpc/blob/main/PROTOCOL.md
 */
async function callTtrpc(
  path: string,
  service: string,
  method: string,
  payload: Uint8Array,
): Promise<Uint8Array> {
  const body = Buffer.concat([field(1, service), field(2, method), field(3, payload)])
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUInt32BE(body.length, 0)
  header.writeUInt32BE(1, 4)
  header.writeUInt8(REQUEST, 8)
  const answer = readMessage(await exchanged(path, Buffer.concat([header, body])))
  const problem = answer?.message(1)
  if (problem !== undefined && (problem.number(1) ?? 0) !== 0)
    throw new Error(`${method}: ${problem.text(2) ?? 'the shim returned no error message'}`)
  return answer?.bytes(2) ?? new Uint8Array()
}

/** Sends a request, and gives the body of the answer. */
function exchanged(path: string, request: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    let got = Buffer.alloc(0)
    const socket = connect(path, () => socket.write(request))
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error(`${path} does not respond`)))
    socket.on('data', (chunk) => {
      got = Buffer.concat([got, chunk])
      if (got.length < HEADER_BYTES) return
      const end = HEADER_BYTES + got.readUInt32BE(0)
      if (got.length < end) return
      if (got.readUInt8(8) === RESPONSE) resolve(got.subarray(HEADER_BYTES, end))
      else reject(new Error(`${path} responded with message type ${got.readUInt8(8)}, expected ${RESPONSE}`))
      socket.destroy()
    })
    socket.on('error', reject)
    socket.on('close', () => reject(new Error(`${path} closed the connection before it responded`)))
  })
}

/** A shim that has ended: nothing is paused there. */
function absent(error: unknown): undefined {
  if (error instanceof Error && 'code' in error && ['ENOENT', 'ECONNREFUSED'].includes(String(error.code)))
    return undefined
  throw error
}
