import {z} from 'zod'

const strings = z.array(z.string()).default([])

const deviceRuleSchema = z.looseObject({
  allow: z.boolean().default(false),
  type: z.string().default('a'),
  /** Absent: all. */
  major: z.int().optional(),
  minor: z.int().optional(),
  access: z.string().default('rwm'),
})

/** What a restore depends on of an OCI runtime spec: `spec.dump` of an archive, `config.json` of a bundle. */
export const ociSpecSchema = z.looseObject({
  process: z.looseObject({
    user: z.looseObject({
      uid: z.int().default(0),
      gid: z.int().default(0),
      additionalGids: z.array(z.int()).default([]),
    }),
    terminal: z.boolean().default(false),
    noNewPrivileges: z.boolean().default(false),
    capabilities: z.partialRecord(z.string(), strings).default({}),
    apparmorProfile: z.string().default(''),
    selinuxLabel: z.string().default(''),
    oomScoreAdj: z.int().optional(),
    /** Unlimited is 2^64 - 1, which JSON does not hold exactly. */
    rlimits: z.array(z.looseObject({type: z.string(), hard: z.number()})).default([]),
  }),
  root: z.looseObject({path: z.string(), readonly: z.boolean().default(false)}),
  mounts: z
    .array(
      z.looseObject({
        destination: z.string(),
        type: z.string().default('bind'),
        source: z.string().default(''),
        options: strings,
      }),
    )
    .default([]),
  annotations: z.record(z.string(), z.string()).default({}),
  linux: z.looseObject({
    namespaces: z.array(z.looseObject({type: z.string()})).default([]),
    devices: z
      .array(
        z.looseObject({
          path: z.string(),
          type: z.string(),
          major: z.int().default(0),
          minor: z.int().default(0),
        }),
      )
      .default([]),
    resources: z.looseObject({devices: z.array(deviceRuleSchema).default([])}).default({devices: []}),
    seccomp: z.looseObject({}).optional(),
    maskedPaths: strings,
    readonlyPaths: strings,
  }),
})
export type OciSpec = z.output<typeof ociSpecSchema>
