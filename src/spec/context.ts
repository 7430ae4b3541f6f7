import {z} from 'zod'

const awsContextSchema = z.strictObject({
  provider: z.literal('aws'),
  account: z
    .string()
    .regex(/^\d{12}$/, 'is not an account ID: twelve digits, in quotes')
    .optional(),
  region: z.string().min(1).optional(),
  /** Of the AWS configuration; absent: whatever the SDK's own chain finds. */
  profile: z.string().min(1).optional(),
})

const azureContextSchema = z.strictObject({
  provider: z.literal('azure'),
  subscription: z.guid('is not a subscription ID: a UUID').optional(),
  location: z.string().min(1).optional(),
})

/** An account of a cloud and where in it: what a spec need not say. Holds no credentials. */
export const contextSchema = z.discriminatedUnion('provider', [awsContextSchema, azureContextSchema])
export type Context = Readonly<z.output<typeof contextSchema>>

/** The account, or the subscription. */
export const accountOf = (context: Context): string | undefined =>
  context.provider === 'aws' ? context.account : context.subscription

/** The region, or the location. */
export const regionOf = (context: Context): string | undefined =>
  context.provider === 'aws' ? context.region : context.location
