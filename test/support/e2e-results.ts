import {z} from 'zod'
import type {CliResult} from './cli.ts'

const stepSchema = z.looseObject({
  phase: z.string(),
  step: z.string(),
  host: z.string().optional(),
  reason: z.string(),
})

/** The last line of `init --json` and `plan --json`. */
export const runSchema = z.looseObject({
  type: z.literal('result'),
  steps: z.array(stepSchema),
  machineChanges: z.array(z.looseObject({what: z.string()})),
  nodes: z.array(z.looseObject({name: z.string(), status: z.string()})),
  kubeconfig: z.string().optional(),
})
export type RunResult = z.output<typeof runSchema>

export const errorSchema = z.looseObject({type: z.literal('error'), code: z.string()})

/** The last line of a `--json` run that ended well. Throws with what the run said when it did not. */
export function resultOf<T>(run: CliResult, schema: z.ZodType<T>): T {
  if (run.exitCode !== 0) throw new Error(`the run failed: ${endOf(run)}`)
  return lastLine(run, schema)
}

/** The last line of a `--json` run, however it ended. */
export function lastLine<T>(run: CliResult, schema: z.ZodType<T>): T {
  const parsed = schema.safeParse(run.events.at(-1))
  if (!parsed.success) throw new Error(`${parsed.error.message} in ${endOf(run)}`)
  return parsed.data
}

/** How a run ended, and the ends of what it wrote. */
export function endOf({exitCode, signal, stdout, stderr}: CliResult): string {
  const lines = stdout.split('\n').filter((line) => !line.includes('"step-progress"'))
  return `${signal ?? `exit code ${exitCode ?? 'none'}`}\n${lines.join('\n').slice(-3000)}\n${stderr.slice(-2000)}`
}

/** `phase host` of each step of a result, in order. */
export const placesOf = ({steps}: RunResult): readonly string[] =>
  steps.map(({phase, host}) => `${phase} ${host ?? 'cluster'}`)
