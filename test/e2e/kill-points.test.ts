import {readdir} from 'node:fs/promises'
import {expect, test} from 'vitest'
import {isLockFile} from '../../src/store/lock.ts'
import {readJournal} from '../../src/bootstrap/engine/journal.ts'
import {stepsOf, type CliResult} from '../support/cli.ts'
import {thingsOf, type E2eCluster} from '../support/e2e-cluster.ts'
import {doneSteps, nodeJournal, repeated} from '../support/e2e-journal.ts'
import {
  IdentityWatch,
  initBesideAnother,
  initKilledAfter,
  initKilledAfterNews,
  initSignalled,
  randomOf,
} from '../support/e2e-kill.ts'
import {endOf, errorSchema, lastLine, resultOf, runSchema} from '../support/e2e-results.ts'
import {scenario, withCluster} from '../support/e2e-scenario.ts'
import {needEngine} from '../support/with-engine.ts'

const MAX_RUNS = 60
const WHOLE = process.env['CLOUDER_CHAOS'] === 'all'
/** Every change of an init is killed after on simulated machines; here, where a run takes a while, one of some. */
const STRIDE = WHOLE ? 1 : 5
const SIX_HOURS_MS = 6 * 60 * 60_000

/** Steps that a run after a kill may do again, each with why. */
const MAY_REPEAT: Readonly<Record<string, string>> = {
  'join cluster: create a join token valid for 15 minutes':
    'a token is in the memory of its run only, and ended with it; the next join needs another',
  'join cluster: delete the join token': 'each of these tokens is deleted',
}

scenario('a run that is ended again and again', {prefix: 'e2e-kill', workers: 1}, (chapter) => {
  const identity = new IdentityWatch()

  chapter('ends with 130 at Ctrl-C, tears nothing down and gives the lock back', async (cluster) => {
    // The second thing begun, after the machines, is the longest step: bringing the files of the bundle.
    const run = await initSignalled(cluster, {n: 2, afterMs: 500, signal: 'SIGINT'})
    expect(run, endOf(run)).toMatchObject({exitCode: 130, signal: null})
    expect(lastLine(run, errorSchema).code).toBe('INTERRUPTED')
    expect(stepsOf(run, 'step-done')).toEqual([])
    expect((await readdir(cluster.paths.dir)).filter(isLockFile)).toEqual([])
    expect(
      (await thingsOf(cluster.engine, cluster.name)).filter((thing) => thing.startsWith('container')),
    ).toEqual(cluster.machines.map((machine) => `container clouder-${cluster.name}-${machine}`))
    expect(await identity.changesOf(cluster)).toEqual([])
  })

  for (const seed of [1, 2]) {
    chapter(`survives a kill at a random moment (seed ${seed})`, async (cluster) => {
      const random = randomOf(seed)
      const run = await initSignalled(cluster, moment(random, 12))
      expect(run.signal, endOf(run)).toBe('SIGKILL')
      expect(await identity.changesOf(cluster)).toEqual([])
    })
  }

  chapter('refuses a second run at the same time, while the first goes on', async (cluster) => {
    const {first, second} = await initBesideAnother(cluster)
    expect(second.exitCode).toBe(9)
    expect(lastLine(second, errorSchema).code).toBe('LOCKED')
    expect(stepsOf(second, 'step-started')).toEqual([])
    expect(first.signal, endOf(first)).toBe('SIGKILL')
    expect(await identity.changesOf(cluster)).toEqual([])
  })

  chapter(`goes on where it was killed, after each ${STRIDE} new steps, to the end`, async (cluster) => {
    const known = new Set<string>()
    let kills = 0
    let last: CliResult | undefined
    while (last === undefined || last.signal === 'SIGKILL') {
      if (kills > MAX_RUNS)
        throw new Error(`not done after ${kills} runs, the last did ${[...known].slice(-3).join(', ')}`)
      last = await initKilledAfterNews(cluster, known, STRIDE)
      if (last.signal === 'SIGKILL') kills += 1
      expect(await identity.changesOf(cluster), `after kill ${kills}`).toEqual([])
    }
    resultOf(last, runSchema)
    expect(kills).toBeGreaterThan(1)
    expect(identity.has('etcd')).toBe(true)
  })

  chapter('ends at a working cluster', expectConverged)
  chapter('repeats nothing that was done', expectNoRepeats)
})

/** A moment inside one of the next `steps` steps. */
function moment(random: () => number, steps: number) {
  return {n: 1 + Math.floor(random() * steps), afterMs: random() * 2000, signal: 'SIGKILL' as const}
}

/** Every node is Ready, the plan is empty and a second init does nothing. */
async function expectConverged(cluster: E2eCluster): Promise<void> {
  expect(await cluster.plan()).toMatchObject({steps: [], machineChanges: []})
  const again = await cluster.init()
  const {nodes} = resultOf(again, runSchema)
  expect(stepsOf(again, 'step-started')).toEqual([])
  expect(nodes.map(({name, status}) => `${name} ${status}`)).toEqual(
    cluster.machines.map((name) => `${name} Ready`),
  )
}

async function expectNoRepeats(cluster: E2eCluster): Promise<void> {
  const notAllowed = (steps: readonly string[]) => repeated(steps).filter((step) => !(step in MAY_REPEAT))
  const here = doneSteps(await readJournal(cluster.paths.journal))
  expect(here.length).toBeGreaterThan(20)
  expect(notAllowed(here)).toEqual([])
  for (const machine of cluster.machines) {
    // Of a step that ended just before a kill the node knows the start only: its end travels with the next one's start.
    const journal = await nodeJournal(cluster, machine)
    expect(journal.length, machine).toBeGreaterThan(5)
    const there = doneSteps(journal)
    expect(notAllowed(there), machine).toEqual([])
    expect(
      there.filter((step) => !here.includes(step)),
      `${machine} knows no more than this machine`,
    ).toEqual([])
  }
}

if (WHOLE) {
  /** Kills one run, or more, on a cluster of its own, and holds what comes of it to the law; gives what `kill` gave. */
  const onFreshCluster = (
    context: Parameters<typeof needEngine>[0],
    kill: (cluster: E2eCluster) => Promise<CliResult>,
  ): Promise<CliResult> =>
    needEngine(context).then((engine) =>
      withCluster(engine, {prefix: 'e2e-whole', workers: 1}, async (cluster) => {
        const identity = new IdentityWatch()
        const killed = await kill(cluster)
        await identity.changesOf(cluster)
        resultOf(await cluster.init(), runSchema)
        expect(await identity.changesOf(cluster)).toEqual([])
        await expectConverged(cluster)
        await expectNoRepeats(cluster)
        return killed
      }),
    )

  test(
    'a run killed once, after any of its steps, converges when it is run again',
    async (context) => {
      const failures: string[] = []
      for (let point = 1; point <= MAX_RUNS; point += 1) {
        process.stderr.write(`kill point ${point}\n`)
        try {
          const killed = await onFreshCluster(context, (cluster) => initKilledAfter(cluster, point))
          if (killed.signal === null) break
        } catch (error) {
          failures.push(`kill point ${point}: ${String(error)}`)
        }
      }
      expect(failures).toEqual([])
    },
    SIX_HOURS_MS,
  )

  test.for(Array.from({length: 20}, (_, index) => index + 1))(
    'a run killed at random moments converges when it is run again (seed %i)',
    async (seed, context) => {
      const random = randomOf(seed)
      await onFreshCluster(context, async (cluster) => {
        await initSignalled(cluster, moment(random, 25))
        return initSignalled(cluster, moment(random, 15))
      })
    },
  )
}
