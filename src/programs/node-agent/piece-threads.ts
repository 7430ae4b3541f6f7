import {Worker} from 'node:worker_threads'
import type {Ciphers} from '../../checkpoint/sealed/pieces.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import {asBuffer, handedOver, PIECE_THREAD, type PieceResult, type PieceTask} from './piece-thread.ts'

type Unnumbered<T> = T extends unknown ? Omit<T, 'id'> : never
type Unasked<Work extends PieceTask['work']> = Omit<Extract<PieceTask, {work: Work}>, 'id' | 'work'>

/**
 * Seals and opens pieces on threads of their own, so that all processors are at it and this thread stays free for what
 * else the agent is asked. They are started when there is work, and stay. `script` runs one.
 */
export function threadedCiphers(script: URL, count: number): Ciphers {
  const threads = new Threads(script, count)
  return (dataKey) => ({
    seal: async (plain, kind) => {
      const {bytes, digest, compression} = await threads.seal({dataKey, kind, bytes: plain})
      return {bytes: asBuffer(bytes), digest, compression}
    },
    open: async (piece) => asBuffer((await threads.open({dataKey, ...piece})).bytes),
  })
}

type Answered<Work extends PieceTask['work']> = Extract<PieceResult, {work: Work}>

interface Waiting {
  readonly resolve: (result: Answered<PieceTask['work']>) => void
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

  async seal(task: Unasked<'seal'>): Promise<Answered<'seal'>> {
    const result = await this.#work({...task, work: 'seal'})
    return result.work === 'seal' ? result : mixedUp()
  }

  async open(task: Unasked<'open'>): Promise<Answered<'open'>> {
    const result = await this.#work({...task, work: 'open'})
    return result.work === 'open' ? result : mixedUp()
  }

  #work(task: Unnumbered<PieceTask>): Promise<Answered<PieceTask['work']>> {
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
      if (result.work === 'failed') asked?.reject(errorOf(result))
      else asked?.resolve(result)
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

const errorOf = ({isTampered, message}: Extract<PieceResult, {work: 'failed'}>): Error =>
  isTampered ? new CheckpointError('BLOB_TAMPERED', message) : new Error(message)

const mixedUp = (): never => {
  throw new TypeError('an encryption thread returned the result of another task')
}
