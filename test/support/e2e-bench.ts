import {randomBytes} from 'node:crypto'
import {expect} from 'vitest'
import {moveMemoryOn} from '../bench/checkpoint.ts'
import {moveAgainstFloorOn} from '../bench/floor.ts'
import {clouderIn, type Ended} from '../bench/clusters.ts'
import {byHand, initAgain, pairOf} from '../bench/init.ts'
import {figureOf} from '../bench/measurements.ts'
import type {E2eCluster} from './e2e-cluster.ts'

/**
 * Runs the benchmarks of clusters in their smallest form, on one that was made of `config` as `moveDocument` is; `init`
 * is how that went. Only the way by hand has machines of its own, as it begins with bare ones.
 */
export async function expectFigures(
  {name, home}: E2eCluster,
  config: string,
  init: Ended,
  signal: AbortSignal,
): Promise<void> {
  const lines: string[] = []
  const bench = {signal, tell: (line: string) => void lines.push(line)}
  const clouder = clouderIn(home, signal)
  const hand = await byHand({name: `bench-${randomBytes(2).toString('hex')}`, workers: 1, signal})
  const runs = pairOf(init, hand)
  expect(Object.keys(runs.phases)).toContain('join')
  const again = await initAgain(() => clouder('kubeadm', 'init', '--config', config, '--json'), 1, bench.tell)
  const moves = await moveMemoryOn({...bench, name, home, clouder}, {mebibytes: [1], rounds: 1}, [])
  const floor = await moveAgainstFloorOn({...bench, name, home, clouder}, {mebibytes: [1], rounds: 1}, [])
  const figures = {
    a: figureOf('a', {runs: [runs], ratio: runs.ratio}),
    b: figureOf('b', again),
    g: figureOf('g', moves),
    i: figureOf('i', floor),
  }
  for (const [benchmark, figure] of Object.entries(figures))
    expect(figure, `${benchmark}: ${lines.join('\n')}`).toSatisfy(
      (value: number) => Number.isFinite(value) && value > 0,
    )
}
