import {z} from 'zod'

/** Path by which a node agent tells the processor time of its pods. */
export const USAGE_PATH = '/v1/usage'

/** Processor time of the pods of a node, as its agent tells it. */
export interface Usage {
  /** Milliseconds since the epoch, by the clock of the node. */
  readonly atMs: number
  /** Milliseconds of processor time since each began, by uid. */
  readonly pods: Readonly<Record<string, number>>
}

export const usageSchema: z.ZodType<Usage> = z.strictObject({
  atMs: z.number(),
  pods: z.record(z.string(), z.number()),
})
