import type {ChildProcess} from 'node:child_process'
import {afterAll, expect} from 'vitest'
import {z} from 'zod'
import {
  checkpointOf,
  expectSame,
  identityOf,
  kubectl,
  makeNamespace,
  NAMESPACE,
  nodeOf,
  run,
  startTraveller,
} from '../support/e2e-checkpoints.ts'
import {nodeFilesWith} from '../support/e2e-canary.ts'
import type {E2eCluster} from '../support/e2e-cluster.ts'
import {
  agentsBack,
  cutOff,
  expectClean,
  expectKept,
  expectOne,
  openCluster,
  settled,
  startNode,
  strikeAt,
  victims,
  type Place,
  type Stage,
  type Victim,
} from '../support/e2e-faults.ts'
import {randomOf} from '../support/e2e-kill.ts'
import {medianOf, moveAtRandom} from '../support/e2e-moves.ts'
import type {CliResult} from '../support/cli.ts'
import {endOf, lastLine} from '../support/e2e-results.ts'
import {interruptLazily} from '../support/e2e-lazy.ts'
import {moveFourGibibytes} from '../support/e2e-room.ts'
import {scenario} from '../support/e2e-scenario.ts'
import {startNodeStore} from '../support/e2e-store.ts'

/** `migrate,network`: only strokes with these words, of all that there are; `node|network` is either. */
const ONLY = process.env['CLOUDER_CHAOS_ONLY']?.split(',')
const WHOLE = process.env['CLOUDER_CHAOS'] === 'all'
const SEEDS = WHOLE && ONLY === undefined ? [1, 2] : [1]
const MOVES = WHOLE ? 50 : 8
const MEBIBYTES = 48

/** `stop`: a checkpoint that ends its pod, whose memory is stored while it is dumped. */
type Deed = 'create' | 'stop' | 'migrate' | 'restore'

interface Stroke {
  readonly deed: Deed
  readonly victim: Victim
  readonly stage: Stage
  readonly on: 'source' | 'target'
}

const source = {criuOn: 'source'} as const
const target = {criuOn: 'target'} as const
const at = (kind: 'Checkpoint' | 'Migration' | 'Restore', phase: string, has?: string): Stage => ({
  ...{kind, phase},
  ...(has === undefined ? {} : {has}),
})

/** Every stage of every deed that takes long enough to be struck in, and the node that it happens on. */
const stages: readonly (readonly [Deed, Stage, on: 'source' | 'target'])[] = [
  ['create', source, 'source'],
  ['create', at('Checkpoint', 'Storing'), 'source'],
  ['stop', source, 'source'],
  ['stop', at('Checkpoint', 'Storing'), 'source'],
  ['migrate', at('Migration', 'Checkpointing'), 'source'],
  // The target is asked whether it has room.
  ['migrate', at('Checkpoint', 'Dumping'), 'source'],
  ['migrate', source, 'source'],
  ['migrate', at('Checkpoint', 'Dumped'), 'source'],
  ['migrate', at('Migration', 'Preparing'), 'target'],
  ['migrate', at('Migration', 'Moving'), 'source'],
  ['migrate', at('Migration', 'Verifying'), 'target'],
  ['migrate', target, 'target'],
  ['migrate', at('Migration', 'Verifying', 'runningTime'), 'target'],
  ['restore', at('Restore', 'Starting'), 'target'],
  ['restore', target, 'target'],
]

const both = ['source', 'target'] as const
const isMove = ({deed}: Stroke): boolean => deed === 'migrate'

/** In a move either node is lost at each stage; only a move needs the network between nodes. */
const every: readonly Stroke[] = stages.flatMap(([deed, stage, on]) =>
  victims
    .flatMap((victim): Stroke[] =>
      victim === 'node' && deed === 'migrate'
        ? both.map((side) => ({deed, stage, on: side, victim}))
        : [{deed, stage, on, victim}],
    )
    .filter((stroke) => stroke.victim !== 'network' || isMove(stroke)),
)

const OUTAGE_MS: Partial<Readonly<Record<Victim, number>>> = {
  // Long enough to be noticed, and for most of it to be over with when it comes back.
  store: 5000,
  node: 5000,
  'control plane': 5000,
  // Longer than a transfer may stand.
  network: 40_000,
}

/** Each victim, each deed, and a stroke on either node; `npm run test:chaos` has the product. */
const chosen: readonly (readonly [Deed, Victim, Stage])[] = [
  ['create', 'containerd', source],
  ['create', 'store', at('Checkpoint', 'Storing')],
  ['stop', 'agent', source],
  ['migrate', 'agent', source],
  ['migrate', 'cli', at('Migration', 'Preparing')],
  ['migrate', 'controller', at('Migration', 'Moving')],
  ['migrate', 'kubelet', target],
  ['migrate', 'network', source],
  ['migrate', 'node', at('Migration', 'Preparing')],
  ['migrate', 'control plane', at('Checkpoint', 'Dumped')],
  ['restore', 'agent', at('Restore', 'Starting')],
  ['restore', 'node', target],
]

const isChosen = ({deed, victim, stage}: Stroke): boolean =>
  chosen.some((one) => JSON.stringify(one) === JSON.stringify([deed, victim, stage]))

const isWanted = (stroke: Stroke): boolean => {
  if (ONLY === undefined) return WHOLE || isChosen(stroke)
  const words = [stroke.deed, stroke.victim, stroke.on, ...Object.values(stroke.stage)]
  return ONLY.every((either) => either.split('|').some((word) => words.includes(word)))
}

const wordsOf = (stage: Stage): string =>
  'criuOn' in stage
    ? `while CRIU is at work on the ${stage.criuOn}`
    : `when the ${stage.kind} is ${stage.phase}${stage.has === undefined ? '' : ` with a ${stage.has}`}`

scenario('checkpoints while things are killed', {prefix: 'e2e-fault', workers: 2}, (chapter) => {
  let place: Place | undefined
  const here = async (cluster: E2eCluster): Promise<Place> => {
    place ??= {cluster, kube: await openCluster(cluster), store: await startNodeStore(cluster)}
    return place
  }

  afterAll(async () => {
    place?.kube.close()
    await place?.store[Symbol.asyncDispose]()
  })

  chapter('a cluster with a store that nodes reach', async (cluster) => {
    const made = await cluster.init()
    expect(made.exitCode, endOf(made)).toBe(0)
    await makeNamespace(cluster, NAMESPACE)
    await here(cluster)
    await startTraveller(cluster, 'struck', {node: 'worker-1', mebibytes: MEBIBYTES})
  })

  for (const seed of SEEDS)
    for (const stroke of every.filter(isWanted))
      chapter(
        `${stroke.deed}: the ${stroke.victim}${stroke.victim === 'node' ? ` (${stroke.on})` : ''} is killed ${wordsOf(stroke.stage)} (seed ${seed})`,
        async (cluster) => {
          await hold(await here(cluster), stroke, randomOf(seed * 100 + every.indexOf(stroke)))
        },
      )

  chapter('of a pod whose moves were broken off nothing is in clear anywhere', async (cluster) => {
    const {token} = await identityOf(cluster, 'struck')
    // That the search finds what is there: an archive that is kept is in clear.
    const kept = await checkpointOf(cluster, 'struck', ' --keep-archive')
    const found = await nodeFilesWith(cluster, await nodeOf(cluster, 'struck'), [token])
    expect(found.map(({path}) => path)).toContainEqual(
      expect.stringMatching(/^\/var\/lib\/clouder\/(archives|memory)\//),
    )
    await kubectl(cluster, `delete ckpt ${kept} -n ${NAMESPACE}`)
    for (const machine of cluster.machines)
      expect(await nodeFilesWith(cluster, machine, [token]), machine).toEqual([])
  })

  chapter('a node is lost, and its pod goes on elsewhere from an object store', async (cluster) => {
    const {store} = await here(cluster)
    const lost = await nodeOf(cluster, 'struck')
    const other = otherThan(lost)
    const before = await identityOf(cluster, 'struck')
    const name = await checkpointOf(cluster, 'struck', ` --store ${store.name}`)
    await cutOff(cluster, lost)
    const restored = await run(cluster, `checkpoint restore ${NAMESPACE}/${name} --to ${other} --as heir`)
    expect(restored.exitCode, endOf(restored)).toBe(0)
    expectSame(await identityOf(cluster, 'heir'), before)
    await startNode({cluster}, lost)
    await kubectl(cluster, `delete pod struck heir -n ${NAMESPACE}`)
  })

  chapter(`${MOVES} random moves under load lose nobody`, async (cluster) => {
    const moved = await moveAtRandom(await here(cluster), {
      moves: MOVES,
      random: randomOf(7),
    })
    const {moves, done, direct, stayed, killed, cancelled, answers, downtimesMs} = moved
    const [median, most] = [medianOf(downtimesMs), Math.max(...downtimesMs)]
    process.stderr.write(
      `${moves} moves, ${done} brought the pod over (${direct} directly), ${stayed} were cancelled in time; ${cancelled} cancelled, ${killed} commands killed; ${answers} answers; downtime: median ${median} ms, most ${most} ms\n`,
    )
    expect(answers).toBeGreaterThan(moves)
    expect(killed + cancelled).toBeGreaterThan(0)
  })

  if (WHOLE) {
    interruptLazily(chapter)
    moveFourGibibytes(chapter)
  }

  chapter('nothing is left to do, and nothing is left over', async (cluster) => {
    const scene = await here(cluster)
    await expectClean(scene)
    expect(await cluster.plan()).toMatchObject({steps: [], machineChanges: []})
    const collected = await run(cluster, 'checkpoint gc --keep-last 1')
    expect(collected.exitCode, endOf(collected)).toBe(0)
  })
})

const otherThan = (node: string): string => (node === 'worker-1' ? 'worker-2' : 'worker-1')

/** One stroke, and the law: the pod is kept, the same asked for again ends well, and no trace is left. */
async function hold(place: Place, {deed, stage, victim, on}: Stroke, random: () => number): Promise<void> {
  const {cluster, store} = place
  const before = await identityOf(cluster, 'struck')
  const from = await nodeOf(cluster, 'struck')
  const to = otherThan(from)
  // What a node has not stored is lost with it: what it stored before is not.
  const first = victim === 'node' || deed === 'restore' ? await saved(place, deed === 'restore') : ''
  const words = {
    create: `checkpoint create ${NAMESPACE}/struck --store ${store.name}`,
    stop: `checkpoint create ${NAMESPACE}/struck --store ${store.name} --stop`,
    migrate: `checkpoint migrate ${NAMESPACE}/struck --to ${to} --store ${store.name}`,
    restore: `checkpoint restore ${NAMESPACE}/${first} --to ${to}`,
  }[deed]
  let cli: ChildProcess | undefined
  const blow = {
    victim,
    node: on === 'source' ? from : to,
    ...('criuOn' in stage ? {criuNode: stage.criuOn === 'source' ? from : to} : {}),
    afterMs: Math.round(random() * 150),
    cli: () => cli,
  }
  const asked = () =>
    run(cluster, words, {
      onStart: (child) => {
        cli = child
      },
    })
  let working: Promise<CliResult> | undefined
  const back = await strikeAt(place, stage, blow, () => (working = asked()))
  expect(back, `the stage came: ${wordsOf(stage)}`).toBeDefined()
  await new Promise((resolve) => setTimeout(resolve, OUTAGE_MS[victim] ?? 0))
  await back?.()
  await agentsBack(place)
  const ended = await working
  await settled(place)
  const kept = await expectKept(place, 'struck', before)
  const how = ended?.signal ?? `exit code ${ended?.exitCode ?? 'none'}`
  await expectOne(place, String(MEBIBYTES))
  process.stderr.write(`${deed}, ${victim} (${on}) killed ${wordsOf(stage)}: ${how}, ${kept}\n`)
  await expectAgain(place, {deed, to, words, kept})
  expectSame(await identityOf(cluster, 'struck'), before)
  await expectClean(place)
}

/** A checkpoint of the pod as it is, after which it is there or gone. */
const saved = ({cluster, store}: Place, stop: boolean): Promise<string> =>
  checkpointOf(cluster, 'struck', ` --store ${store.name}${stop ? ' --stop' : ''}`)

const checkpointSchema = z.looseObject({
  checkpoint: z.looseObject({metadata: z.looseObject({name: z.string()})}),
})

interface Asked {
  readonly deed: Deed
  readonly to: string
  readonly words: string
  readonly kept: 'runs' | 'restored'
}

/** The same command again ends well. A pod that was made by hand of its checkpoint is not where that command left it. */
async function expectAgain({cluster}: Place, {deed, to, words, kept}: Asked): Promise<void> {
  if (kept === 'restored' && deed === 'restore') await kubectl(cluster, `delete pod struck -n ${NAMESPACE}`)
  const elsewhere = kept === 'restored' && deed === 'migrate' && (await nodeOf(cluster, 'struck')) === to
  const target = elsewhere ? otherThan(to) : to
  const again = await run(cluster, words.replace(`--to ${to}`, `--to ${target}`))
  expect(again.exitCode, endOf(again)).toBe(0)
  if (deed === 'stop') {
    const {checkpoint} = lastLine(again, checkpointSchema)
    const restored = await run(cluster, `checkpoint restore ${NAMESPACE}/${checkpoint.metadata.name}`)
    expect(restored.exitCode, endOf(restored)).toBe(0)
  } else if (deed !== 'create') expect(await nodeOf(cluster, 'struck')).toBe(target)
}
