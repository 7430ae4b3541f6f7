// The figures as results.json keeps them.
import {z} from 'zod'
import {clientNameSchema} from './client-names.ts'

const seconds = z.number().positive()
const secondsBy = z.record(z.string(), seconds)
const phases = z.record(z.string(), z.number().nonnegative())
const ratio = z.number().positive()
const bytes = z.int().positive()

const takenSchema = z.strictObject({
  date: z.iso.date(),
  machine: z.strictObject({
    cores: z.int().positive(),
    memoryGiB: z.int().positive(),
    system: z.string(),
    node: z.string(),
    /** Of the minute before: what else ran there. */
    loadAverage: z.number().nonnegative(),
  }),
})
/** When and where something was measured. */
export type Taken = Readonly<z.output<typeof takenSchema>>

const byHand = takenSchema.extend({
  runs: z.array(z.strictObject({clouderSeconds: seconds, byHandSeconds: seconds, ratio, phases})).nonempty(),
  ratio,
})
const secondInit = takenSchema.extend({seconds: z.array(seconds).nonempty(), median: seconds, phases})
const startUp = takenSchema.extend({medians: secondsBy, ratios: z.record(z.string(), ratio)})
const growth = takenSchema.extend({seconds: secondsBy, ratio})
const synth = takenSchema.extend({medians: secondsBy, slowest: seconds})
const apply = takenSchema.extend({
  pairs: z.array(z.strictObject({clouderSeconds: seconds, terraformSeconds: seconds})).nonempty(),
  beyond: z.number(),
})
const checkpoint = takenSchema.extend({
  sizes: z
    .array(
      z.strictObject({
        mebibytes: z.int().positive(),
        pairs: z
          .array(
            z.strictObject({
              clouderSeconds: seconds,
              byHandSeconds: seconds,
              moveSeconds: seconds,
              downtimeSeconds: seconds,
              ratio,
              moveRatio: ratio,
            }),
          )
          .nonempty(),
        ratio,
        moveRatio: ratio,
        downtimeSeconds: seconds,
        residentBytes: bytes,
        archiveBytes: bytes,
        storedBytes: bytes,
      }),
    )
    .nonempty(),
  worst: ratio,
  worstMove: ratio,
})

export const callCostSchema = z.strictObject({
  requestsPerSecond: z.number().positive(),
  /** Of one call. */
  cpuMilliseconds: z.number().positive(),
  peakBytes: bytes,
  connections: z.int().positive(),
})
/** What the calls of one client cost in one round. */
export type CallCost = Readonly<z.output<typeof callCostSchema>>
const callRatios = z.strictObject({requestsPerSecond: ratio, cpuMilliseconds: ratio, peakBytes: ratio})
const requests = takenSchema.extend({
  rounds: z.array(z.record(clientNameSchema, callCostSchema)).nonempty(),
  /** Of clouder to each. */
  ratios: z.strictObject({clientNode: callRatios, https: callRatios}),
  worst: ratio,
})

/** What a move may take compared with the floor; `from`: the least size, in MiB, of which a ratio is judged. */
export const FLOOR_LIMITS = {
  total: 1.5,
  /** Seconds of a whole move of less than that. */
  smallSeconds: 2,
  downtime: 1.3,
  pause: 3,
  resume: 3,
  from: {total: 200, pause: 1024},
} as const
const floorRound = z.strictObject({
  floor: z.strictObject({
    dumpSeconds: seconds,
    copySeconds: seconds,
    restoreSeconds: seconds,
    totalSeconds: seconds,
    downtimeSeconds: seconds,
    /** The images to the disk of the node, synced. */
    writeSeconds: seconds,
  }),
  move: z.strictObject({totalSeconds: seconds, downtimeSeconds: seconds, reportedSeconds: seconds}),
  pauseSeconds: seconds,
  resumeSeconds: seconds,
})
const floor = takenSchema.extend({
  sizes: z
    .array(
      z.strictObject({
        mebibytes: z.int().positive(),
        rounds: z.array(floorRound).nonempty(),
        totalSeconds: seconds,
        total: ratio,
        downtime: ratio,
        pause: ratio,
        resume: ratio,
      }),
    )
    .nonempty(),
  /** The highest share of a limit. */
  worst: ratio,
})

/** What is in the memory that (j) seals. */
export const SEALED_KINDS = ['random', 'compressible', 'mixed'] as const
const sealing = takenSchema.extend({
  kinds: z
    .array(
      z.strictObject({
        kind: z.enum(SEALED_KINDS),
        mebibytes: z.int().positive(),
        rounds: z
          .array(
            z.strictObject({
              sealSeconds: seconds,
              unpackSeconds: seconds,
              storedBytes: bytes,
              plainSealSeconds: seconds,
              plainUnpackSeconds: seconds,
            }),
          )
          .nonempty(),
        /** Medians of the ratios of each round. */
        seal: ratio,
        unpack: ratio,
      }),
    )
    .nonempty(),
  worst: ratio,
})

/** results.json: what was not measured is not there. */
export const resultsSchema = z.strictObject({
  a: byHand.optional(),
  b: secondInit.optional(),
  c: startUp.optional(),
  d: growth.optional(),
  e: synth.optional(),
  f: apply.optional(),
  g: checkpoint.optional(),
  h: requests.optional(),
  i: floor.optional(),
  j: sealing.optional(),
})
export type Results = Readonly<z.output<typeof resultsSchema>>
export type MeasurementName = keyof Results

export const MEASUREMENT_NAMES = resultsSchema.keyof().options

/** What results.json holds of a measurement. */
export type Result<Name extends MeasurementName> = NonNullable<Results[Name]>

/** The same before it is told when and where it was taken. */
export type Measured<Name extends MeasurementName> = Omit<Result<Name>, keyof Taken>
