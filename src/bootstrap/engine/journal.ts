import {open, type FileHandle} from 'node:fs/promises'
import {dirname} from 'node:path'
import {z} from 'zod'
import {fanOut} from './fan-out.ts'
import {errorMessage, StateError} from '../../base/errors.ts'
import {HostCommandError} from '../errors.ts'
import type {Report} from '../../base/run-events.ts'
import type {Journal, JournalEntry} from './types.ts'
import type {Host} from '../hosts/host.ts'
import {makeFolder, readIfThere, unwritable} from '../../base/files.ts'
import {systemCode} from '../../base/system-errors.ts'

/** Where a node keeps the journal of what was done to it. */
export const NODE_JOURNAL = '/var/lib/clouder/journal.jsonl'

const NODE_WRITE_TIMEOUT_MS = 10_000
const FLUSH_CONCURRENCY = 50

/** Appends lines to the journal of a node. */
export type NodeWriter = (host: Host, lines: string) => Promise<void>

export interface DiskJournalOptions {
  /** `ClusterPaths.journal`. */
  readonly path: string
  /** Told, once per host, that a node does not take its part. */
  readonly report: Report
  /** Default: `appendOnNode`; undefined keeps the journal here only, as for nodes that are being reset. */
  readonly nodeWriter: NodeWriter | undefined
}

const entrySchema = z.object({
  time: z.string(),
  run: z.string(),
  phase: z.string(),
  step: z.string(),
  host: z.string().exactOptional(),
  inputHash: z.string(),
  event: z.enum(['start', 'done', 'failed']),
  durationMs: z.number().exactOptional(),
  message: z.string().exactOptional(),
})

/**
 * JSON lines on this machine, on the disk before `record` resolves, and on the node beside the run: the end of a step
 * travels with the start of the next, and no step waits for it. `record` throws StateError STATE_UNWRITABLE.
 */
export function diskJournal({path, report, nodeWriter}: DiskJournalOptions): Journal {
  const here = batched(async (lines) => await appendHere(path, lines))
  const nodes = new Map<string, NodeQueue>()
  return {
    record: async (entry, host) => {
      const line = `${JSON.stringify(entry)}\n`
      await here(line)
      if (host === undefined || nodeWriter === undefined) return
      let queue = nodes.get(host.name)
      if (queue === undefined) nodes.set(host.name, (queue = nodeQueue(host, nodeWriter, report)))
      queue.add(line)
      if (entry.event === 'start') queue.send()
    },
    flush: async () => {
      // After Ctrl-C too: the end of a run is what one wants to find on the node.
      const {signal} = new AbortController()
      await fanOut([...nodes.values()], FLUSH_CONCURRENCY, async (queue) => await queue.drain(), signal)
    },
  }
}

/** Entries of a journal; lines torn by a kill, or not understood, are left out: a journal is never the truth. */
export async function readJournal(path: string): Promise<readonly JournalEntry[]> {
  const text = (await readIfThere(path)) ?? ''
  return text.split('\n').flatMap((line) => {
    const entry = entrySchema.safeParse(parseLine(line))
    return entry.success ? [entry.data] : []
  })
}

/** Appends by dd, because it syncs and needs no shell; makes the folder when that is what was missing. */
export async function appendOnNode(host: Host, lines: string): Promise<void> {
  const timeoutMs = NODE_WRITE_TIMEOUT_MS
  const append = async (): Promise<unknown> =>
    await host.exec(['dd', `of=${NODE_JOURNAL}`, 'oflag=append', 'conv=notrunc,fsync', 'status=none'], {
      stdin: lines,
      timeoutMs,
    })
  try {
    await append()
  } catch (error) {
    if (!(error instanceof HostCommandError)) throw error
    await host.exec(['mkdir', '-p', '-m', '0700', dirname(NODE_JOURNAL)], {timeoutMs})
    await append()
  }
}

interface NodeQueue {
  add(line: string): void
  /** Starts writing what waits, unless a write is under way: then it goes with the next one. */
  send(): void
  /** Resolves when what waits was written, or could not be. */
  drain(): Promise<void>
}

function nodeQueue(host: Host, write: NodeWriter, report: Report): NodeQueue {
  let waiting: string[] = []
  let sending: Promise<void> | undefined
  let warned = false
  const writeWaiting = async (): Promise<void> => {
    const lines = waiting
    waiting = []
    try {
      await write(host, lines.join(''))
    } catch (error) {
      waiting = [...lines, ...waiting]
      if (warned) return
      warned = true
      const why = errorMessage(error)
      const text = `the journal on the node cannot be written, the local one continues: ${why}`
      report({type: 'note', level: 'warning', text, host: host.name})
    }
  }
  const send = (): Promise<void> =>
    (sending ??= writeWaiting().finally(() => {
      sending = undefined
    }))
  return {
    add: (line) => void waiting.push(line),
    send: () => void send(),
    drain: async () => {
      await sending
      if (waiting.length > 0) await send()
    },
  }
}

/** Lines that come while a write is under way share the next one, and its fsync. */
function batched(write: (lines: string) => Promise<void>): (line: string) => Promise<void> {
  let last: Promise<unknown> = Promise.resolve()
  let batch: {readonly lines: string[]; readonly written: Promise<void>} | undefined
  return async (line) => {
    if (batch === undefined) {
      const lines: string[] = []
      const written = last.then(async () => {
        batch = undefined
        await write(lines.join(''))
      })
      last = written.catch(() => undefined)
      batch = {lines, written}
    }
    batch.lines.push(line)
    await batch.written
  }
}

async function appendHere(path: string, lines: string): Promise<void> {
  try {
    await using file = await openToAppend(path)
    const torn = await endsMidLine(file)
    await file.appendFile(torn ? `\n${lines}` : lines)
    await file.sync()
  } catch (error) {
    throw error instanceof StateError ? error : unwritable(path, error)
  }
}

/** Makes the folder when that is what was missing. */
async function openToAppend(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'a+', 0o600)
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error
    await makeFolder(dirname(path))
    return open(path, 'a+', 0o600)
  }
}

/** Whether a kill left a torn last line, to which nothing must be glued. */
async function endsMidLine(file: FileHandle): Promise<boolean> {
  const {size} = await file.stat()
  if (size === 0) return false
  const {buffer} = await file.read(Buffer.alloc(1), 0, 1, size - 1)
  return buffer.toString() !== '\n'
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}
