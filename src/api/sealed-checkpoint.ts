import {z} from 'zod'

/** A digest of a manifest or a blob, as statuses and envelopes hold it. */
export const digestSchema = z.templateLiteral(['sha256:', z.string().regex(/^[0-9a-f]{64}$/)])

/** What a process may do that a checkpoint was made of, as its OCI runtime spec said. */
export const privilegesSchema = z.strictObject({
  uid: z.int(),
  gid: z.int(),
  additionalGids: z.array(z.int()),
  noNewPrivileges: z.boolean(),
  /** Union of all sets, `CAP_…`, sorted. */
  capabilities: z.array(z.string()),
  /** Hex sha256 of the seccomp section; absent: unconfined. */
  seccompSha256: z.string().optional(),
  apparmorProfile: z.string().optional(),
  selinuxLabel: z.string().optional(),
  /** Device nodes beyond those that every container has: `/dev/fuse c 10:229`. */
  devices: z.array(z.string()),
  readonlyRootfs: z.boolean(),
  maskedPaths: z.array(z.string()),
  readonlyPaths: z.array(z.string()),
  /** Namespaces that are the host's: `pid`, `network`, `ipc`; empty: all its own. */
  hostNamespaces: z.array(z.string()),
  mounts: z.array(
    z.strictObject({
      destination: z.string(),
      type: z.string(),
      readonly: z.boolean(),
      /** Source outside the kubelet's own folder for the pod: a hostPath. */
      hostPath: z.string().optional(),
    }),
  ),
})
export type Privileges = z.output<typeof privilegesSchema>

export const nodeFeaturesSchema = z.strictObject({
  arch: z.enum(['amd64', 'arm64']),
  /** `uname -r`. */
  kernel: z.string(),
  criu: z.string(),
  /** `containerd 2.3.7`. */
  runtime: z.string(),
  runc: z.string(),
  cgroupVersion: z.union([z.literal(1), z.literal(2)]),
  /** `flags` of /proc/cpuinfo that processes may have come to rely on, sorted. */
  cpuFeatures: z.array(z.string()),
  cpuModel: z.string(),
})
/** What a node is, as far as a restore depends on it. */
export type NodeFeatures = z.output<typeof nodeFeaturesSchema>

export const containerMetadataSchema = z.strictObject({
  name: z.string(),
  /** Image as the pod named it, and by digest: a restore takes the same. */
  image: z.string(),
  imageDigest: z.string(),
  /** Size of the archive. */
  archiveBytes: z.int(),
  archiveSha256: z.string(),
  privileges: privilegesSchema,
  /** The most that any of its processes has in use of what hard limits bound; absent: not known. */
  used: z.strictObject({openFiles: z.number(), addressBytes: z.number()}).optional(),
  /** How long its processes stood still for the dump; absent: not measured. */
  frozenMs: z.number().optional(),
})

/** What a checkpoint says of itself; sealed with it. */
export const checkpointMetadataSchema = z.strictObject({
  version: z.literal(1),
  namespace: z.string(),
  pod: z.string(),
  podUid: z.string(),
  node: z.string(),
  createdAt: z.string(),
  /** Who asked: the user of the API server, `policy/nightly`, `migration/web`. */
  owner: z.string(),
  source: nodeFeaturesSchema,
  /** labels, annotations and spec of the pod, without what the server or the node wrote. */
  podTemplate: z.looseObject({
    metadata: z.looseObject({
      labels: z.record(z.string(), z.string()).optional(),
      annotations: z.record(z.string(), z.string()).optional(),
    }),
    spec: z.looseObject({}),
  }),
  containers: z.array(containerMetadataSchema).min(1),
})
export type CheckpointMetadata = z.output<typeof checkpointMetadataSchema>

/** One sealed piece of an archive. */
export const chunkSchema = z.strictObject({
  digest: digestSchema,
  /** Sealed. */
  storedBytes: z.int(),
  /** Open. */
  sizeBytes: z.int(),
})

/** The envelope: what anyone may read of a sealed checkpoint. It is the config blob of the OCI manifest. */
export const envelopeSchema = z.strictObject({
  version: z.literal(1),
  /** How the data key is wrapped, once per way to open it; empty: not encrypted. */
  keys: z.array(
    z.strictObject({
      kind: z.enum(['age', 'aws-kms', 'azure-key-vault']),
      /** Recipient, or id of the key. */
      id: z.string(),
      wrapped: z.string(),
    }),
  ),
  encryption: z.enum(['aes-256-gcm', 'none']),
  /** The namespace that the key of the pieces was derived for; absent: the data key itself seals them. */
  keyScope: z.string().optional(),
  compression: z.literal('zstd'),
  /** The sealed table of contents: metadata, and the chunks of each container's archive. */
  table: chunkSchema,
  chunks: z.array(chunkSchema),
})
export type Envelope = z.output<typeof envelopeSchema>

export const tableSchema = z.strictObject({
  metadata: checkpointMetadataSchema,
  /** Per container the chunks of its archive (an uncompressed tar), in order, as indices into the envelope's chunks. */
  archives: z.record(z.string(), z.array(z.int())),
})
export type Table = z.output<typeof tableSchema>
