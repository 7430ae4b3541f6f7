/**
 * A run whose side effects are files: three phases over three hosts, a cluster step between host steps. As a program
 * it takes the lock, says `ready`, runs, and exits 0: node file-run.ts <folder>. Each effect may happen once only.
 */
import {access, link, mkdir, rm, writeFile} from 'node:fs/promises'
import {dirname, join} from 'node:path'
import {runPhases} from '../../src/bootstrap/engine/run.ts'
import type {Phase, PlannedStep, Step} from '../../src/bootstrap/engine/types.ts'
import {diskStore} from '../../src/store/disk.ts'
import {diskJournal} from '../../src/bootstrap/engine/journal.ts'
import {namedHost, runOptions, type Runner} from './engine-run.ts'
import {recordOf} from './store-contract.ts'

const HOSTS = ['cp-1', 'worker-1', 'worker-2']
const PHASES = ['kernel', 'runtime', 'join']

/** Every file of the finished state. */
export function effectsOf(folder: string): readonly string[] {
  return PHASES.flatMap((phase) => [
    ...HOSTS.flatMap((host) =>
      ['one', 'two', 'three'].map((step) => join(folder, 'hosts', host, `${phase}-${step}`)),
    ),
    join(folder, 'cluster', phase),
  ])
}

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  )
}

/** Slow on purpose, and complete or absent: link refuses to do it a second time. */
async function takeEffect(path: string): Promise<void> {
  await mkdir(dirname(path), {recursive: true})
  const temporary = `${path}.${process.pid}.tmp`
  await writeFile(temporary, path)
  for (let turn = 0; turn < 4; turn += 1) await isThere(temporary)
  await link(temporary, path)
  await rm(temporary)
}

function filePhase(id: string): Phase<string, Runner> {
  return {
    id,
    title: id,
    plan: async (folder) => {
      const steps: Step<Runner>[] = []
      const text = {summary: '', reason: 'is absent'}
      const addHostSteps = async (step: string): Promise<void> => {
        for (const host of HOSTS) {
          const path = join(folder, 'hosts', host, `${id}-${step}`)
          if (await isThere(path)) continue
          steps.push({...text, summary: step, on: namedHost(host), run: async () => await takeEffect(path)})
        }
      }
      await addHostSteps('one')
      await addHostSteps('two')
      const path = join(folder, 'cluster', id)
      if (!(await isThere(path))) steps.push({...text, summary: id, run: async () => await takeEffect(path)})
      await addHostSteps('three')
      return steps
    },
  }
}

/** Brings the folder to its finished state; gives the steps that ran, or would. */
export async function runOnFiles(
  folder: string,
  {dryRun, ready}: {dryRun: boolean; ready: () => void},
): Promise<readonly PlannedStep[]> {
  const store = diskStore({home: join(folder, 'home'), now: Date.now, pid: process.pid, hostname: 'laptop'})
  await using _lock = await store.lock('demo', 'test')
  ready()
  const {options, told} = runOptions({dryRun, concurrency: 2})
  const journal = diskJournal({
    path: store.paths('demo').journal,
    report: told.report,
    nodeWriter: undefined,
  })
  const steps: PlannedStep[] = []
  for (const phase of PHASES) {
    const summary = await runPhases([filePhase(phase)], folder, {...options, journal})
    steps.push(...summary.steps)
    if (!dryRun) await store.update('demo', () => recordOf('demo', {document: phase}))
  }
  return steps
}

const [, program, folder] = process.argv
if (program === import.meta.filename && folder !== undefined) {
  await runOnFiles(folder, {dryRun: false, ready: () => process.stdout.write('ready\n')})
}
