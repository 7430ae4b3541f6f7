import {mkdtemp, rm, writeFile} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import type {JournalEntry} from '../../src/bootstrap/engine/types.ts'
import {NODE_JOURNAL, readJournal} from '../../src/bootstrap/engine/journal.ts'
import type {E2eCluster} from './e2e-cluster.ts'

/** The journal a machine keeps of itself. */
export async function nodeJournal(cluster: E2eCluster, machine: string): Promise<readonly JournalEntry[]> {
  const dir = await mkdtemp(join(tmpdir(), 'clouder-journal-'))
  try {
    const path = join(dir, 'journal.jsonl')
    await writeFile(path, await cluster.read(machine, `cat ${NODE_JOURNAL}`))
    return await readJournal(path)
  } finally {
    await rm(dir, {recursive: true, force: true})
  }
}

/** `phase host: step` of what was done, once for each time. */
export const doneSteps = (entries: readonly JournalEntry[]): readonly string[] =>
  entries
    .filter(({event}) => event === 'done')
    .map(({phase, host, step}) => `${phase} ${host ?? 'cluster'}: ${step}`)

/** What occurs more than once. */
export const repeated = (items: readonly string[]): readonly string[] => [
  ...new Set(items.filter((item, index) => items.indexOf(item) !== index)),
]
