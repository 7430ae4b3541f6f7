import {z} from 'zod'
import {CheckpointError} from '../errors.ts'
import type {Digest} from '../stores/blob-store.ts'
import {isSignedBy, type Signer} from './signature.ts'
import {chunkSchema, type Envelope} from '../../api/sealed-checkpoint.ts'

/** `artifactType` of the OCI manifest of a sealed checkpoint. */
export const ARTIFACT_TYPE = 'application/vnd.clouder.checkpoint.v1'
const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json'
const ENVELOPE_TYPE = 'application/vnd.clouder.checkpoint.envelope.v1+json'
const TABLE_TYPE = 'application/vnd.clouder.checkpoint.table.v1'
const CHUNK_TYPE = 'application/vnd.clouder.checkpoint.chunk.v1'
const TITLE = 'org.opencontainers.image.title'
const SIGNER = 'dev.clouder.signer'
const SIGNATURE = 'dev.clouder.signature'

const descriptor = <Type extends string>(mediaType: Type) =>
  z.strictObject({mediaType: z.literal(mediaType), digest: chunkSchema.shape.digest, size: z.int().min(0)})

const manifestSchema = z.strictObject({
  schemaVersion: z.literal(2),
  mediaType: z.literal(MANIFEST_TYPE),
  artifactType: z.literal(ARTIFACT_TYPE),
  config: descriptor(ENVELOPE_TYPE),
  layers: z.tuple([descriptor(TABLE_TYPE)], descriptor(CHUNK_TYPE)),
  annotations: z.strictObject({
    [TITLE]: z.string(),
    [SIGNER]: z.string(),
    [SIGNATURE]: z.string(),
  }),
})
type Manifest = z.output<typeof manifestSchema>

/** Builds the signed OCI manifest: the envelope as config, the table and the chunks as layers. */
export function writeManifest(options: {
  readonly name: string
  readonly envelope: Envelope
  readonly config: {readonly digest: Digest; readonly sizeBytes: number}
  readonly signer: Signer
}): Uint8Array {
  const {name, envelope, config, signer} = options
  const unsigned = {
    config: {mediaType: ENVELOPE_TYPE, digest: config.digest, size: config.sizeBytes},
    layers: [
      {mediaType: TABLE_TYPE, digest: envelope.table.digest, size: envelope.table.storedBytes},
      ...envelope.chunks.map(({digest, storedBytes}) => ({mediaType: CHUNK_TYPE, digest, size: storedBytes})),
    ],
  }
  const manifest = {
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    artifactType: ARTIFACT_TYPE,
    ...unsigned,
    annotations: {
      [TITLE]: name,
      [SIGNER]: signer.publicKey,
      [SIGNATURE]: signer.sign(signedText(name, unsigned)),
    },
  }
  return Buffer.from(JSON.stringify(manifest))
}

/** Reads a manifest. Throws CheckpointError SIGNATURE_INVALID, also for what is no manifest of a checkpoint. */
export function readManifest(
  bytes: Uint8Array,
  trust: readonly string[],
): {readonly name: string; readonly signer: string; readonly manifest: Manifest} {
  const manifest = parsed(bytes)
  const {[TITLE]: name, [SIGNER]: signer, [SIGNATURE]: signature} = manifest.annotations
  if (!trust.includes(signer)) {
    throw new CheckpointError(
      'SIGNATURE_INVALID',
      `checkpoint ${name} is signed by ${signer}, which is not trusted`,
      {
        suggestions: [
          `if you trust it, add ${signer} to trusted-keys: kubectl -n clouder-system edit secret checkpoint-key`,
        ],
      },
    )
  }
  if (!isSignedBy(signer, signedText(name, manifest), signature)) {
    throw new CheckpointError(
      'SIGNATURE_INVALID',
      `the signature of checkpoint ${name} does not match its contents`,
    )
  }
  return {name, signer, manifest}
}

function parsed(bytes: Uint8Array): Manifest {
  try {
    return manifestSchema.parse(JSON.parse(Buffer.from(bytes).toString()))
  } catch (cause) {
    throw new CheckpointError('SIGNATURE_INVALID', 'the stored data is not a signed checkpoint', {cause})
  }
}

/** Everything that decides what a checkpoint is: its name, and the digests of its blobs in their order. */
const signedText = (
  name: string,
  {config, layers}: {config: {digest: string}; layers: readonly {digest: string}[]},
): string =>
  [
    'clouder checkpoint v1',
    `name ${JSON.stringify(name)}`,
    `config ${config.digest}`,
    ...layers.map(({digest}) => `layer ${digest}`),
    '',
  ].join('\n')
