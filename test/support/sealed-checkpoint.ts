import {ageWrapper, newAgeKey} from '../../src/checkpoint/sealed/age.ts'
import {sealingKeys, type KeyWrapper, type SealingKeys} from '../../src/checkpoint/sealed/keys.ts'
import {
  sealCheckpoint,
  type Sealed,
  type SealOptions,
  type UnsealedMetadata,
} from '../../src/checkpoint/sealed/seal.ts'
import {newSigningKey, signerOf, type Signer} from '../../src/checkpoint/sealed/signature.ts'
import type {Privileges} from '../../src/api/sealed-checkpoint.ts'
import type {BlobStore} from '../../src/checkpoint/stores/blob-store.ts'

export const ORDINARY: Privileges = {
  uid: 1000,
  gid: 1000,
  additionalGids: [1000],
  noNewPrivileges: true,
  capabilities: [],
  seccompSha256: 'a'.repeat(64),
  devices: [],
  readonlyRootfs: true,
  maskedPaths: ['/proc/kcore'],
  readonlyPaths: ['/proc/sys'],
  hostNamespaces: [],
  mounts: [{destination: '/data', type: 'bind', readonly: false}],
}

/** Metadata of a pod whose containers have these names. */
export const metadataOf = (containers: readonly string[]): UnsealedMetadata => ({
  version: 1,
  namespace: 'default',
  pod: 'web',
  podUid: '59002284-99ba-40ea-be82-c5dfb31d88b6',
  node: 'worker-1',
  createdAt: '2026-01-01T00:00:00Z',
  owner: 'user',
  source: {
    arch: 'amd64',
    kernel: '6.18.44',
    criu: '4.2.1',
    runtime: 'containerd 2.3.7',
    runc: '1.4.3',
    cgroupVersion: 1,
    cpuFeatures: ['avx2', 'sse4_2'],
    cpuModel: 'a processor',
  },
  podTemplate: {metadata: {}, spec: {}},
  containers: containers.map((name) => ({
    name,
    image: 'example.com/web:1',
    imageDigest: `sha256:${'1'.repeat(64)}`,
    privileges: ORDINARY,
  })),
})

export interface Keyring {
  readonly wrappers: readonly KeyWrapper[]
  readonly keys: SealingKeys
  readonly signer: Signer
}

/** A new age key with a data key, and a new signing key. */
export async function newKeyring(): Promise<Keyring> {
  const {identity, recipient} = await newAgeKey()
  const wrappers = [ageWrapper(recipient, [identity])]
  const {keys} = await sealingKeys({wrapped: undefined, wrappers, signal: new AbortController().signal})
  return {wrappers, keys, signer: signerOf(newSigningKey().privateKeyPem)}
}

/** Seals archives that are at hand, as `default-web`, or of another namespace. */
export const seal = (
  store: BlobStore,
  {keys, signer}: Pick<Keyring, 'keys' | 'signer'>,
  archives: Readonly<Record<string, Uint8Array>>,
  namespace = 'default',
  more: Pick<SealOptions, 'readBack'> = {},
): Promise<Sealed> =>
  sealCheckpoint({
    metadata: {...metadataOf(Object.keys(archives)), namespace},
    archives: new Map(Object.entries(archives).map(([name, bytes]) => [name, () => pieces(bytes)])),
    keys,
    signer,
    store,
    name: `${namespace}-web`,
    signal: new AbortController().signal,
    ...more,
  })

/** In pieces of an odd size, as a stream gives them. */
export async function* pieces(bytes: Uint8Array, pieceBytes = 60_001): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    yield await Promise.resolve(bytes.subarray(at, at + pieceBytes))
  }
}

/** The whole of a stream. */
export const whole = async (stream: AsyncIterable<Uint8Array>): Promise<Buffer> => {
  const parts: Uint8Array[] = []
  for await (const part of stream) parts.push(part)
  return Buffer.concat(parts)
}
