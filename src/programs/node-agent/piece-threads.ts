import {Worker} from 'node:worker_threads'
import type {Ciphers} from '../../checkpoint/sealed/pieces.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import {asBuffer, handedOver, PIECE_THREAD, type PieceResult, type PieceTask} from './piece-thread.ts'

type Unnumbered<T> = T extends unknown ? Omit<T, 'id'> : never

/**
 * Seals and opens pieces on threads of their own, so that all processors are at it and this thread stays free for what
 * else the agent is asked. They are started when there is work, and stay. `script` runs one.
 */
export function threadedCiphers(script: URL, count: number): Ciphers {
  const threads = new Threads(script, count)
  return (dataKey) => ({
    seal: async (plain, kind) => {
      const {bytes, digest} = await threads.work({work: 'seal', dataKey, kind, bytes: plain})
      if (digest === undefined) throw new TypeError('the digest of the sealed data is missing')
      return {bytes, digest}
    },
    open: async ({bytes, digest, sizeBytes, kind}) =>
      (await threads.work({work: 'open', dataKey, kind, bytes, digest, sizeBytes})).bytes,
  })
}

type Answered = Extract<PieceResult, {bytes: unknown}>

interface Waiting {
  readonly resolve: (result: Answered & {readonly bytes: Buffer}) => void
  readonly reject: (error: Error) => void
}

class Threads {
  readonly #script: URL
  readonly #count: number
  readonly #threads = new Map<Worker, Map<number, Waiting>>()
  #last = 0

  constructor(script: URL, count: number) {
    this.#script = script
    this.#count = count
  }

  work(task: Unnumbered<PieceTask>): Promise<Answered & {readonly bytes: Buffer}> {
    const [worker, waiting] = this.#least()
    const id = ++this.#last
    return new Promise((resolve, reject) => {
      waiting.set(id, {resolve, reject})
      worker.ref()
      worker.postMessage({...task, id}, handedOver(task.bytes))
    })
  }

  /** The thread with the least to do. */
  #least(): readonly [Worker, Map<number, Waiting>] {
    const [first] = [...this.#threads].sort(([, one], [, other]) => one.size - other.size)
    if (first !== undefined && (first[1].size === 0 || this.#threads.size >= this.#count)) return first
    return this.#start()
  }

  #start(): readonly [Worker, Map<number, Waiting>] {
    const waiting = new Map<number, Waiting>()
    const worker = new Worker(this.#script, {argv: [PIECE_THREAD]})
    this.#threads.set(worker, waiting)
    worker.on('message', (result: PieceResult) => {
      const asked = waiting.get(result.id)
      waiting.delete(result.id)
      // Without work it is no reason for the program to stay.
      if (waiting.size === 0) worker.unref()
      if ('bytes' in result) asked?.resolve({...result, bytes: asBuffer(result.bytes)})
      else asked?.reject(errorOf(result))
    })
    const broken = (error: Error): void => {
      this.#threads.delete(worker)
      for (const {reject} of waiting.values()) reject(error)
      waiting.clear()
    }
    worker.on('error', (error) => broken(error instanceof Error ? error : new Error(String(error))))
    worker.on('exit', (code) => broken(new Error(`an encryption thread exited with code ${code}`)))
    return [worker, waiting]
  }
}

const errorOf = ({tampered, message}: Exclude<PieceResult, Answered>): Error =>
  tampered ? new CheckpointError('BLOB_TAMPERED', message) : new Error(message)
