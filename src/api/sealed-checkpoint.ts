import {z} from 'zod'

/** A digest of a manifest or a blob, as statuses and envelopes hold it. */
export const digestSchema = z.templateLiteral(['sha256:', z.string().regex(/^[0-9a-f]{64}$/)])

/** What a process may do that a checkpoint was made of, as its OCI runtime spec said. */
export const privilegesSchema = z.strictObject({
  uid: z.int().describe('uid is the user id of the processes.'),
  gid: z.int().describe('gid is their group id.'),
  additionalGids: z.array(z.int()).describe('additionalGids are their supplementary groups.'),
  noNewPrivileges: z.boolean().describe('noNewPrivileges is whether they are kept from gaining privileges.'),
  capabilities: z
    .array(z.string())
    .describe('capabilities is the union of all their sets of Linux capabilities, sorted.'),
  seccompSha256: z
    .string()
    .optional()
    .describe(
      'seccompSha256 is the SHA-256 of their seccomp profile in hex. If absent, they are unconfined.',
    ),
  apparmorProfile: z.string().optional().describe('apparmorProfile is their AppArmor profile.'),
  selinuxLabel: z.string().optional().describe('selinuxLabel is their SELinux label.'),
  devices: z
    .array(z.string())
    .describe(
      'devices are the device nodes beyond those that every container has, for example /dev/fuse c 10:229.',
    ),
  readonlyRootfs: z.boolean().describe('readonlyRootfs is whether their root file system is read-only.'),
  maskedPaths: z.array(z.string()).describe('maskedPaths are the paths that are hidden from them.'),
  readonlyPaths: z.array(z.string()).describe('readonlyPaths are the paths that are read-only for them.'),
  hostNamespaces: z
    .array(z.string())
    .describe('hostNamespaces are the namespaces of the host that they are in: pid, network, ipc.'),
  mounts: z
    .array(
      z.strictObject({
        destination: z.string().describe('destination is the path of the mount.'),
        type: z.string().describe('type is the type of its file system.'),
        readonly: z.boolean().describe('readonly is whether it is read-only.'),
        // A source outside the kubelet's own folder for the pod.
        hostPath: z.string().optional().describe('hostPath is the path on the node, if it is a hostPath.'),
      }),
    )
    .describe('mounts are their mounts.'),
})
export type Privileges = z.output<typeof privilegesSchema>

export const nodeFeaturesSchema = z.strictObject({
  arch: z.enum(['amd64', 'arm64']).describe('arch is the architecture of the node. One of amd64 and arm64.'),
  kernel: z.string().describe('kernel is the release of its kernel.'),
  criu: z.string().describe('criu is its version of CRIU.'),
  runtime: z.string().describe('runtime is its container runtime, for example containerd 2.3.7.'),
  runc: z.string().describe('runc is its version of runc.'),
  // As an integer: the API server takes 1.5 for one of the numbers 1 and 2.
  cgroupVersion: z
    .literal([1, 2])
    .meta({type: 'integer'})
    .describe('cgroupVersion is its version of cgroups. One of 1 and 2.'),
  // Of /proc/cpuinfo.
  cpuFeatures: z
    .array(z.string())
    .describe('cpuFeatures are the features of its CPU that processes may rely on, sorted.'),
  cpuModel: z.string().describe('cpuModel is the name of its CPU.'),
  dump: z
    .enum(['Direct', 'Runtime'])
    .optional()
    .describe(
      'dump is how it dumps containers. One of Direct (CRIU writes to a folder of the node agent) and Runtime (the container runtime makes an archive, which takes longer). If absent, it is not known.',
    ),
  directMoves: z
    .boolean()
    .optional()
    .describe(
      'directMoves is whether it can send and receive the memory of a pod directly, from node to node. If absent, it cannot.',
    ),
  precopy: z
    .boolean()
    .optional()
    .describe(
      'precopy is whether its kernel tracks which pages a process writes, so that memory could be copied before the dump. If absent, it is not known.',
    ),
  postcopy: z
    .boolean()
    .optional()
    .describe(
      'postcopy is whether its kernel and its limits allow memory to be copied after the restore, when it is used. If absent, it is not known.',
    ),
})
/** What a node is, as far as a restore depends on it. */
export type NodeFeatures = z.output<typeof nodeFeaturesSchema>

/** What is sealed of them with a checkpoint: programs of an earlier release, which know no others, open it too. */
export const sealedFeatures = ({
  arch,
  kernel,
  criu,
  runtime,
  runc,
  cgroupVersion,
  cpuFeatures,
  cpuModel,
}: NodeFeatures): NodeFeatures => ({
  ...{arch, kernel, criu, runtime, runc, cgroupVersion, cpuFeatures, cpuModel},
})

export const containerMetadataSchema = z.strictObject({
  name: z.string(),
  /** Image as the pod named it, and by digest: a restore takes the same. */
  image: z.string(),
  imageDigest: z.string(),
  /** Size of the archive. */
  archiveBytes: z.int(),
  /** Of checkpoints of version 1 only: of the archive. Later ones have the digest of each piece, and its tag. */
  archiveSha256: z.string().optional(),
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
  /** The piece is as it was, since it does not compress; absent: it is compressed as the envelope says. */
  compression: z.literal('none').optional(),
})

/** The envelope: what anyone may read of a sealed checkpoint. It is the config blob of the OCI manifest. */
export const envelopeSchema = z.strictObject({
  /** Since 2 a piece may be uncompressed. What is written is 2; 1 is read for ever. */
  version: z.literal([1, 2]),
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
