// (d) and (e): programs that print the seconds they took, each time in a process that has loaded nothing yet.
import {join} from 'node:path'
import {z} from 'zod'
import {median, run, type Bench} from './clusters.ts'
import type {Measured} from './results.ts'

const secondsSchema = z.coerce.number().positive()

async function printed(program: string, args: readonly string[], signal: AbortSignal): Promise<number> {
  const {stdout} = await run([process.execPath, join(import.meta.dirname, program), ...args], {signal})
  return secondsSchema.parse(stdout.trim())
}

/** An init per number of workers, the last against the first; `latencyShare` 1: hosts as slow as real ones. */
export async function growth(
  size: {readonly workers: readonly number[]; readonly latencyShare: number},
  {signal, tell}: Bench,
): Promise<Measured<'d'>> {
  const found: [workers: number, seconds: number][] = []
  for (const workers of size.workers) {
    const seconds = await printed('growth.ts', [String(workers), String(size.latencyShare)], signal)
    tell(`${workers} workers: ${seconds.toFixed(1)} s`)
    found.push([workers, seconds])
  }
  const [fewest, most] = [found[0], found.at(-1)]
  if (fewest === undefined || most === undefined) throw new RangeError('no number of workers is given')
  return {
    seconds: Object.fromEntries(found.map(([workers, seconds]) => [String(workers), seconds])),
    ratio: most[1] / fewest[1],
  }
}

/** A synthesis per cloud, the median of some. */
export async function synth(
  size: {readonly times: number; readonly controlPlanes: number; readonly workers: number},
  {signal, tell}: Bench,
): Promise<Measured<'e'>> {
  const of = async (kind: 'aws' | 'azure'): Promise<number> => {
    const seconds: number[] = []
    for (let time = 0; time < size.times; time += 1)
      seconds.push(
        await printed('synth.ts', [kind, String(size.controlPlanes), String(size.workers)], signal),
      )
    tell(`${kind}: ${median(seconds).toFixed(2)} s`)
    return median(seconds)
  }
  const medians = {aws: await of('aws'), azure: await of('azure')}
  return {medians, slowest: Math.max(medians.aws, medians.azure)}
}
