// What `npm run bench` is told.
import {parseArgs} from 'node:util'
import {z} from 'zod'
import type {Size} from './measurements.ts'
import {MEASUREMENT_NAMES, type MeasurementName} from './results.ts'

const natural = z.coerce.number<string>().pipe(z.int().positive())
const naturals = z
  .string()
  .transform((list) => list.split(','))
  .pipe(z.array(natural).nonempty())
const wordsSchema = z.union([
  z.tuple([z.enum(MEASUREMENT_NAMES).optional()]),
  z.tuple([z.enum(['a', 'f', 'h']), natural]),
  z.tuple([z.enum(['g', 'i', 'j']), natural, naturals.optional()]),
])

/** Which measurements, and how much of them. Throws when the words mean nothing. */
export function readArguments(words: readonly string[]): {
  readonly chosen: readonly MeasurementName[]
  readonly size: Size
} {
  const {values, positionals} = parseArgs({
    args: [...words],
    options: {smallest: {type: 'boolean', default: false}},
    allowPositionals: true,
  })
  const read = wordsSchema.safeParse(positionals)
  if (!read.success)
    throw new Error(
      `${positionals.join(' ')}: expected ${MEASUREMENT_NAMES.join(', ')}, a PAIRS, f PAIRS, g, i or j ROUNDS MIB,…, or h ROUNDS`,
    )
  const [wanted, count, mebibytes] = read.data
  return {
    chosen: wanted === undefined ? MEASUREMENT_NAMES : [wanted],
    size: {smallest: values.smallest, count, mebibytes},
  }
}
