// (a) clouder against by-hand.sh, and (b) a second init.
import {mkdtemp, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {z} from 'zod'
import {median, phaseSeconds, run, withMachines, type Bench, type Ended} from './clusters.ts'
import {prepare} from './prepare.ts'
import type {Measured} from './results.ts'

type Pair = Measured<'a'>['runs'][number]

/** Pairs of runs on fresh machines, one after the other. */
export async function againstByHand(
  {pairs, workers}: {readonly pairs: number; readonly workers: number},
  {signal, tell}: Bench,
): Promise<Measured<'a'>> {
  const onePair = async (number: number): Promise<Pair> => {
    const clouder = await withMachines({name: `bench-a${number}`, workers, signal}, (machines) =>
      machines.clouder('kubeadm', 'setup', machines.name, ...machines.spec),
    )
    const pair = pairOf(clouder, await byHand({name: `bench-b${number}`, workers, signal}))
    tell(
      `pair ${number}: clouder ${pair.clouderSeconds.toFixed(1)} s, by hand ${pair.byHandSeconds.toFixed(1)} s, ratio ${pair.ratio.toFixed(2)}`,
    )
    return pair
  }
  const runs: Measured<'a'>['runs'] = [await onePair(1)]
  for (let number = 2; number <= pairs; number += 1) runs.push(await onePair(number))
  return {runs, ratio: median(runs.map((each) => each.ratio))}
}

/** `kubeadm setup` or `init` with `--json`, and by-hand.sh. */
export const pairOf = (clouder: Ended, hand: Ended): Pair => ({
  clouderSeconds: clouder.seconds,
  byHandSeconds: hand.seconds,
  ratio: clouder.seconds / hand.seconds,
  phases: phaseSeconds(clouder.stdout),
})

/** by-hand.sh on machines of its own. */
export const byHand = (options: {
  readonly name: string
  readonly workers: number
  readonly signal: AbortSignal
}): Promise<Ended> => withMachines(options, ({home, name}) => byHandOn({home, name, signal: options.signal}))

async function byHandOn(cluster: {
  readonly home: string
  readonly name: string
  readonly signal: AbortSignal
}): Promise<Ended> {
  const folder = await mkdtemp(join(tmpdir(), 'clouder-by-hand-'))
  try {
    const {bundle, nodes} = await prepare({...cluster, folder})
    const script = join(import.meta.dirname, 'by-hand.sh')
    return await run(['bash', script, bundle, folder, ...nodes], {signal: cluster.signal})
  } finally {
    await rm(folder, {recursive: true, force: true})
  }
}

const resultSchema = z.looseObject({steps: z.array(z.unknown())})

/** A command again on a cluster that is as it should be. */
export function secondInit(
  {times, workers}: {readonly times: number; readonly workers: number},
  {signal, tell}: Bench,
): Promise<Measured<'b'>> {
  return withMachines({name: 'bench-second', workers, signal}, async ({name, clouder, spec}) => {
    await clouder('kubeadm', 'setup', name, ...spec)
    return initAgain(() => clouder('kubeadm', 'init', name, ...spec), times, tell)
  })
}

/** `init`, with `--json`, is of a cluster that is there. */
export async function initAgain(
  init: () => Promise<Ended>,
  times: number,
  tell: Bench['tell'],
): Promise<Measured<'b'>> {
  const again = async (): Promise<Ended> => {
    const ended = await init()
    const {steps} = resultSchema.parse(JSON.parse(ended.stdout.trim().split('\n').at(-1) ?? ''))
    if (steps.length !== 0) throw new Error(`a second init had something to do: ${ended.stdout}`)
    tell(`init again: ${ended.seconds.toFixed(2)} s`)
    return ended
  }
  let last = await again()
  const seconds: Measured<'b'>['seconds'] = [last.seconds]
  for (let time = 2; time <= times; time += 1) {
    last = await again()
    seconds.push(last.seconds)
  }
  return {seconds, median: median(seconds), phases: phaseSeconds(last.stdout)}
}
