// Every measurement with its size, and with the smallest size that still ends with a figure.
import type {Bench} from './clusters.ts'
import type {Measured, MeasurementName} from './results.ts'

export interface Size {
  /** As little as shows that it runs: its figure says nothing. */
  readonly smallest: boolean
  /** Pairs or rounds of a, f, g, h, i and j. */
  readonly count?: number | undefined
  /** MiB of g and i; of j the first. */
  readonly mebibytes?: readonly number[] | undefined
}

interface Measurement<Name extends MeasurementName> {
  /** Whether it starts what `npm run build` makes. */
  readonly built: boolean
  readonly measure: (size: Size, bench: Bench) => Promise<Measured<Name>>
  /** The figure that its target is about. */
  readonly figure: (measured: Measured<Name>) => number
}

// Each is loaded alone: what the others need is a second of every start.
const MEASUREMENTS: {readonly [Name in MeasurementName]: Measurement<Name>} = {
  a: {
    built: true,
    measure: async ({smallest, count = 3}, bench) =>
      (await import('./init.ts')).againstByHand(
        smallest ? {pairs: 1, workers: 1} : {pairs: count, workers: 2},
        bench,
      ),
    figure: ({ratio}) => ratio,
  },
  b: {
    built: true,
    measure: async ({smallest}, bench) =>
      (await import('./init.ts')).secondInit(
        smallest ? {times: 1, workers: 1} : {times: 5, workers: 2},
        bench,
      ),
    figure: ({median}) => median,
  },
  c: {
    built: true,
    measure: async ({smallest}, bench) =>
      (await import('./start-up.ts')).startUp({rounds: smallest ? 1 : 20}, bench),
    figure: ({ratios}) => Math.max(...Object.values(ratios)),
  },
  d: {
    built: false,
    measure: async ({smallest}, bench) =>
      (await import('./fresh-processes.ts')).growth(
        smallest ? {workers: [1, 2], latencyShare: 0.01} : {workers: [2, 5, 10], latencyShare: 1},
        bench,
      ),
    figure: ({ratio}) => ratio,
  },
  e: {
    built: false,
    measure: async ({smallest}, bench) =>
      (await import('./fresh-processes.ts')).synth(
        smallest ? {times: 1, controlPlanes: 1, workers: 1} : {times: 5, controlPlanes: 3, workers: 50},
        bench,
      ),
    figure: ({slowest}) => slowest,
  },
  f: {
    built: true,
    measure: async ({smallest, count = 3}, bench) =>
      (await import('./apply.ts')).againstTerraform(
        smallest ? {pairs: 1, workers: 1} : {pairs: count, workers: 2},
        bench,
      ),
    figure: ({beyond}) => beyond,
  },
  g: {
    built: true,
    measure: async ({smallest, count = 3, mebibytes = [10, 200, 1024]}, bench) =>
      (await import('./checkpoint.ts')).moveMemory(
        smallest ? {mebibytes: [1], rounds: 1} : {mebibytes, rounds: count},
        bench,
      ),
    figure: ({worstMove}) => worstMove,
  },
  h: {
    built: false,
    measure: async ({smallest, count = 8}, bench) =>
      (await import('./requests.ts')).requests(
        smallest ? {rounds: 1, calls: 20} : {rounds: count, calls: 2000},
        bench,
      ),
    figure: ({worst}) => worst,
  },
  i: {
    built: true,
    measure: async ({smallest, count = 3, mebibytes}, bench) => {
      const {floorSizes, moveAgainstFloor} = await import('./floor.ts')
      return moveAgainstFloor(
        smallest
          ? {mebibytes: [1], rounds: 1}
          : {mebibytes: mebibytes ?? (await floorSizes()), rounds: count},
        bench,
      )
    },
    figure: ({worst}) => worst,
  },
  j: {
    built: false,
    measure: async ({smallest, count = 3, mebibytes = [1024]}, bench) =>
      (await import('./sealing.ts')).sealing(
        smallest ? {mebibytes: 5, rounds: 1} : {mebibytes: mebibytes[0] ?? 1024, rounds: count},
        bench,
      ),
    figure: ({worst}) => worst,
  },
}

/** Whether a measurement starts what `npm run build` makes. */
export const needsBuild = (name: MeasurementName): boolean => MEASUREMENTS[name].built

/** Measures; gives what results.json keeps of it, and the figure that its target is about. */
export async function measure<Name extends MeasurementName>(
  name: Name,
  size: Size,
  bench: Bench,
): Promise<{readonly measured: Measured<Name>; readonly figure: number}> {
  const measurement: Measurement<Name> = MEASUREMENTS[name]
  const measured = await measurement.measure(size, bench)
  return {measured, figure: measurement.figure(measured)}
}

/** The figure that a measurement's target is about. */
export function figureOf<Name extends MeasurementName>(name: Name, measured: Measured<Name>): number {
  const measurement: Measurement<Name> = MEASUREMENTS[name]
  return measurement.figure(measured)
}
