import {z} from 'zod'

/** Announcements that a machine will be taken away: the value of INTERRUPTION_ANNOTATION. */
export const noticesSchema = z
  .array(
    z.strictObject({
      /** The same one has the same id, each time the cloud is asked. */
      id: z.string().max(1024),
      kind: z.enum(['terminate', 'rebalance']),
    }),
  )
  .max(64)
export type Notice = z.output<typeof noticesSchema>[number]
