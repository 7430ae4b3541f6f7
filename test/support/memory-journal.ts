import type {Journal, JournalEntry} from '../../src/bootstrap/engine/types.ts'

export interface MemoryJournal extends Journal {
  readonly entries: readonly JournalEntry[]
  /** How often `flush` was called. */
  readonly flushes: () => number
}

export function memoryJournal(): MemoryJournal {
  const entries: JournalEntry[] = []
  let flushes = 0
  return {
    entries,
    flushes: () => flushes,
    record: (entry) => {
      entries.push(entry)
      return Promise.resolve()
    },
    flush: () => {
      flushes += 1
      return Promise.resolve()
    },
  }
}
