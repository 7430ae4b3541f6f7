import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {access, readdir} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {fanOut} from '../../../../src/bootstrap/engine/fan-out.ts'
import {diskStore} from '../../../../src/store/disk.ts'
import {readJournal} from '../../../../src/bootstrap/engine/journal.ts'
import {effectsOf, runOnFiles} from '../../../support/file-run.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const PROGRAM = join(import.meta.dirname, '../../../support/file-run.ts')
const SEEDS = Array.from({length: 20}, (_, index) => index + 1)

/** Park and Miller's generator: the same moments for the same seed. */
function randomOf(seed: number): () => number {
  let state = seed * 7919
  return () => {
    state = (state * 48271) % 2147483647
    return state / 2147483647
  }
}

/** Runs the program, kills it that long after it said it was ready; gives how it ended. */
async function runKilled(folder: string, killAfterMs: number | undefined): Promise<string> {
  const child = spawn(process.execPath, [PROGRAM, folder], {stdio: ['ignore', 'pipe', 'inherit']})
  const exited = once(child, 'exit')
  await once(child.stdout, 'data')
  const timer = killAfterMs === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), killAfterMs)
  const [code, signal] = (await exited) as [number | null, string | null]
  clearTimeout(timer)
  return signal ?? `exit ${code ?? ''}`
}

/** Two runs killed at random moments, then one to the end; gives how many kills hit. */
async function killAndConverge(seed: number): Promise<number> {
  const random = randomOf(seed)
  let kills = 0
  await withTempFolder(async (folder) => {
    for (const spreadMs of [60, 60]) {
      const end = await runKilled(folder, random() * spreadMs)
      expect(['SIGKILL', 'exit 0']).toContain(end)
      if (end === 'SIGKILL') kills += 1
    }
    expect(await runKilled(folder, undefined)).toBe('exit 0')
    for (const path of effectsOf(folder)) await access(path)
    expect(await runOnFiles(folder, {dryRun: true, ready: () => undefined})).toEqual([])

    const store = diskStore({home: join(folder, 'home'), now: Date.now, pid: process.pid, hostname: 'laptop'})
    const {dir, journal} = store.paths('demo')
    expect((await store.load('demo'))?.document).toBe('join')
    expect((await readdir(dir)).filter((entry) => entry.startsWith('lock'))).toEqual([])
    const entries = await readJournal(journal)
    const done = entries
      .filter(({event}) => event === 'done')
      .map(({step, host, phase}) => `${phase} ${host ?? ''} ${step}`)
    expect(new Set(done).size).toBe(done.length)
    expect(entries.filter(({event}) => event === 'failed')).toEqual([])
  })
  return kills
}

test('a run that is killed at random moments and started again converges, and repeats nothing it had done', async () => {
  const {signal} = new AbortController()
  const outcomes = await fanOut(SEEDS, 3, killAndConverge, signal)
  const failed = outcomes.flatMap((outcome) =>
    'error' in outcome ? [`seed ${outcome.item}: ${outcome.error.message}`] : [],
  )
  expect(failed).toEqual([])
  const kills = outcomes.map((outcome) => ('value' in outcome ? outcome.value : 0))
  expect(kills.reduce((sum, count) => sum + count, 0)).toBeGreaterThan(SEEDS.length / 2)
})
