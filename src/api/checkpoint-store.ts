import {z} from 'zod'

/** Of an object of the cluster: a DNS subdomain, as the API server has it. */
export const objectNameSchema = z
  .string()
  .min(1)
  .max(253)
  .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/)
const name = objectNameSchema

/** A duration, in a field named …Seconds: what fits into 32 bits, as in the API of Kubernetes. */
export const secondsSchema = z.int().min(1).max(2_147_483_647)

/** Which checkpoints are kept. */
export const retentionSchema = z.strictObject({
  keepLast: z
    .int()
    .min(1)
    .optional()
    .describe('newest checkpoints kept, per pod (of one owner and container set)'),
  maxAgeSeconds: secondsSchema
    .optional()
    .describe('seconds after which checkpoints are deleted, for example 604800 for a week'),
  maxBytes: z
    .int()
    .min(1)
    .optional()
    .describe('stored bytes, per namespace and store; the oldest are deleted first'),
})
export type Retention = z.output<typeof retentionSchema>

/**
 * Text of at most 1000 characters, which the API server has to know of what it compares in a rule. Not by `max`, which
 * counts UTF-16 units, where the server counts characters.
 */
const boundedText = z
  .string()
  .regex(/^[\s\S]{0,1000}$/u)
  .meta({maxLength: 1000})

const places = {
  node: z.strictObject({}).describe('the disk of the node that created the checkpoint'),
  directory: z
    .strictObject({
      path: z
        .string()
        .regex(/^\/[\s\S]{0,999}$/u)
        .meta({maxLength: 1000})
        .describe('a folder that every node mounts'),
    })
    .describe('a folder'),
  persistentVolumeClaim: z
    .strictObject({claimName: name.describe('a claim of namespace clouder-system, ReadWriteMany')})
    .describe('a volume'),
  registry: z
    .strictObject({
      repository: boundedText.describe('`registry.example.com/team/checkpoints`'),
      insecure: z.boolean().optional().describe('plain HTTP; for a registry on the nodes’ own network'),
    })
    .describe('an OCI registry'),
  s3: z
    .strictObject({
      bucket: boundedText.describe('name of the bucket'),
      region: z.string().describe('its region'),
      prefix: boundedText.optional().describe('put before every key'),
      endpoint: boundedText.optional().describe('URL of an S3-compatible service other than AWS'),
      forcePathStyle: z.boolean().optional().describe('bucket in the path instead of the host name'),
    })
    .describe('S3 or a compatible service'),
  azureBlob: z
    .strictObject({
      endpoint: boundedText.describe('`https://account.blob.core.windows.net`'),
      container: boundedText.describe('name of the container'),
      prefix: boundedText.optional().describe('put before every name'),
    })
    .describe('Azure Blob storage'),
}

/** Kinds of places; a store is exactly one of them. */
export const storeKinds = [
  'node',
  'directory',
  'persistentVolumeClaim',
  'registry',
  's3',
  'azureBlob',
] as const satisfies readonly (keyof typeof places)[]
export type StoreKind = (typeof storeKinds)[number]

/** Where checkpoints are kept and how they are sealed; credentials are named, never held. */
export const storeSpecSchema = z.strictObject({
  node: places.node.optional(),
  directory: places.directory.optional(),
  persistentVolumeClaim: places.persistentVolumeClaim.optional(),
  registry: places.registry.optional(),
  s3: places.s3.optional(),
  azureBlob: places.azureBlob.optional(),
  credentials: z
    .strictObject({secretName: name.describe('a Secret of namespace clouder-system')})
    .optional()
    .describe('default: the cloud identity of the node'),
  encryption: z
    .union(
      [
        z.strictObject({
          age: z
            .strictObject({
              recipients: z.array(z.string()).min(1).describe('public keys, `age1…`'),
              identitySecretName: name.describe('a Secret of namespace clouder-system with the private key'),
            })
            .describe('keys of age'),
        }),
        z.strictObject({
          awsKms: z
            .strictObject({
              keyID: z.string().describe('id or ARN of the key'),
              region: z.string().describe('its region'),
              endpoint: z.string().optional().describe('of a KMS that is not Amazon’s'),
            })
            .describe('a key of AWS KMS'),
        }),
        z.strictObject({
          azureKeyVault: z
            .strictObject({keyID: z.string().describe('URL of the key')})
            .describe('a key of Azure Key Vault'),
        }),
        z.strictObject({none: z.strictObject({}).describe('stored unencrypted')}),
      ],
      'is not exactly one of age, awsKms, azureKeyVault and none, as a mapping',
    )
    .optional()
    .describe(
      '`age`, `awsKms`, `azureKeyVault` or `none`; default: age, with a key that the cluster generates and stores',
    ),
  allowedNamespaces: z
    .strictObject({
      names: z.array(z.string().min(1).max(63)).max(256).optional().describe('namespaces by name'),
      matchLabels: z
        .record(z.string(), z.string())
        .optional()
        .describe('labels of namespaces; `{}`: every namespace'),
    })
    .optional()
    .describe(
      'who may use it; default: namespaces with the label `stores.clouder.dev/NAME=true`, and all namespaces for the store `default`',
    ),
  retention: retentionSchema.optional().describe('which checkpoints are kept; default: all'),
})
export type StoreSpec = z.output<typeof storeSpecSchema>
