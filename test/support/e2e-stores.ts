import {execFile} from 'node:child_process'
import {mkdtemp, readFile, rm, truncate, writeFile} from 'node:fs/promises'
import {BlockList} from 'node:net'
import {networkInterfaces, tmpdir} from 'node:os'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {gzip} from 'node:zlib'
import {CreateKeyCommand, KMSClient} from '@aws-sdk/client-kms'
import {CreateBucketCommand, S3Client} from '@aws-sdk/client-s3'
import type {TestContext} from 'vitest'
import {z} from 'zod'
import {API_VERSION, SYSTEM_NAMESPACE} from '../../src/api/names.ts'
import type {StoreSpec} from '../../src/api/resources.ts'
import {ageWrapper, newAgeKey} from '../../src/checkpoint/sealed/age.ts'
import {sealingKeys} from '../../src/checkpoint/sealed/keys.ts'
import {openCheckpoint, type OpenedCheckpoint} from '../../src/checkpoint/sealed/open.ts'
import {sealCheckpoint} from '../../src/checkpoint/sealed/seal.ts'
import {signerOf, type Signer} from '../../src/checkpoint/sealed/signature.ts'
import type {CheckpointMetadata} from '../../src/api/sealed-checkpoint.ts'
import {azureBlobObjects} from '../../src/checkpoint/stores/azure-blob.ts'
import type {BlobStore, Digest} from '../../src/checkpoint/stores/blob-store.ts'
import type {Objects} from '../../src/checkpoint/stores/objects.ts'
import {openStore} from '../../src/checkpoint/stores/open.ts'
import {s3Objects} from '../../src/checkpoint/stores/s3.ts'
import {CLUSTER_LABEL, containerName} from '../../src/infrastructure/providers/local-decision.ts'
import {kubectl} from './e2e-checkpoints.ts'
import type {E2eCluster} from './e2e-cluster.ts'
import {needMoto} from './moto.ts'
import {startAzurite} from './with-azurite.ts'
import {needRegistry, type Registry} from './with-registry.ts'

const run = promisify(execFile)
const compress = promisify(gzip)
const REGION = 'eu-central-1'
const AWS_LOGIN = {accessKeyId: 'testing', secretAccessKey: 'testing'}
const {signal} = new AbortController()

/** A place for checkpoints that this machine serves to the nodes. */
export interface ServedStore {
  /** Of its CheckpointStore. */
  readonly name: string
  readonly open: () => Promise<BlobStore>
}

export interface ServedStores extends AsyncDisposable {
  /** A registry; sealed for the cluster's own age key. */
  readonly oci: ServedStore & {readonly registry: Registry}
  /** S3; sealed with a key of AWS KMS. */
  readonly bucket: ServedStore & {readonly objects: Objects}
  /** Azure Blob; sealed for an age key of somebody else's, whose identity is in Secret `blobs-identity`. */
  readonly blobs: ServedStore & {readonly objects: Objects}
  /** S3, in clear. */
  readonly clear: ServedStore & {readonly objects: Objects}
}

/** Secret that holds the age identity of store `blobs`, under `identity`. */
export const BLOBS_IDENTITY = 'blobs-identity'

/** This machine's address in the network of the nodes: their pods reach what listens there. */
export async function addressAmong({engine, name}: E2eCluster): Promise<string> {
  const networks = await engine.listNetworks({[CLUSTER_LABEL]: name})
  const own = new BlockList()
  for (const subnet of networks.flatMap(({subnets}) => subnets)) {
    const [first = '', bits] = subnet.split('/')
    own.addSubnet(first, Number(bits), 'ipv4')
  }
  const found = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({family, address}) => family === 'IPv4' && own.check(address))
  if (found === undefined) throw new Error(`this machine has no address in the network of cluster ${name}`)
  return found.address
}

/** Starts a registry, S3 with a KMS and Azure Blob on this machine, and makes CheckpointStores of them. */
export async function serveStores(cluster: E2eCluster, context: TestContext): Promise<ServedStores> {
  await using starting = new AsyncDisposableStack()
  const address = await addressAmong(cluster)
  const registry = starting.use(await needRegistry(context, {address}))
  const moto = starting.use(await needMoto(context, {address}))
  const azurite = starting.use(await startAzurite(address))
  // Clients write into the credentials that they are given.
  const aws = {region: REGION, endpoint: moto.url, credentials: {...AWS_LOGIN}}
  await new S3Client({...aws, forcePathStyle: true}).send(
    new CreateBucketCommand({
      Bucket: 'checkpoints',
      CreateBucketConfiguration: {LocationConstraint: REGION},
    }),
  )
  const {KeyMetadata} = await new KMSClient(aws).send(new CreateKeyCommand({}))
  await azurite.client.getContainerClient('checkpoints').create()
  const age = await newAgeKey()

  const s3 = {bucket: 'checkpoints', region: REGION, endpoint: moto.url, forcePathStyle: true}
  const azure = {connectionString: azurite.connectionString}
  const specs = {
    oci: {registry: {repository: `${registry.host}/team/checkpoints`, insecure: true}},
    bucket: {
      s3: {...s3, prefix: 'sealed'},
      credentials: {secretName: 'bucket-login'},
      encryption: {awsKms: {keyID: KeyMetadata?.KeyId ?? '', region: REGION, endpoint: moto.url}},
    },
    blobs: {
      azureBlob: {endpoint: azurite.endpoint, container: 'checkpoints', prefix: 'sealed'},
      credentials: {secretName: 'blobs-login'},
      encryption: {age: {recipients: [age.recipient], identitySecretName: BLOBS_IDENTITY}},
    },
    clear: {
      s3: {...s3, prefix: 'clear'},
      credentials: {secretName: 'bucket-login'},
      encryption: {none: {}},
    },
    disks: {node: {}},
  } satisfies Record<string, StoreSpec>
  await applyAll(cluster, [
    secret('bucket-login', AWS_LOGIN),
    secret('blobs-login', azure),
    secret(BLOBS_IDENTITY, {identity: age.identity}),
    ...Object.entries(specs).map(([name, spec]) => ({
      apiVersion: API_VERSION,
      kind: 'CheckpointStore',
      metadata: {name},
      spec: {...spec, allowedNamespaces: {matchLabels: {}}},
    })),
  ])
  const served = (name: keyof typeof specs, credentials: Readonly<Record<string, string>> = {}) => ({
    name,
    open: () =>
      openStore(specs[name], {
        nodeDir: '/nonexistent',
        ...(Object.keys(credentials).length === 0 ? {} : {credentials}),
      }),
  })
  const stack = starting.move()
  return {
    oci: {...served('oci'), registry},
    bucket: {...served('bucket', AWS_LOGIN), objects: await s3Objects(specs.bucket.s3, AWS_LOGIN)},
    blobs: {...served('blobs', azure), objects: await azureBlobObjects(specs.blobs.azureBlob, azure)},
    clear: {...served('clear', AWS_LOGIN), objects: await s3Objects(specs.clear.s3, AWS_LOGIN)},
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

/** A Secret where the programs of the cluster are. */
export const secret = (name: string, stringData: Readonly<Record<string, string>>) => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: {name, namespace: SYSTEM_NAMESPACE},
  stringData,
})

export async function applyAll(cluster: E2eCluster, items: readonly object[]): Promise<void> {
  await kubectl(cluster, 'apply -f -', JSON.stringify({apiVersion: 'v1', kind: 'List', items}))
}

const keysSchema = z.object({
  identity: z.string(),
  recipient: z.string(),
  'signing-key': z.string(),
  'public-key': z.string(),
})

/** The keys of the cluster, as whoever may read its Secrets has them. */
export async function keysOf(cluster: E2eCluster) {
  const read = async (key: string): Promise<string> => {
    const path = `get secret checkpoint-key -n ${SYSTEM_NAMESPACE} -o 'jsonpath={.data.${key}}'`
    return Buffer.from(await kubectl(cluster, path), 'base64').toString()
  }
  const names = Object.keys(keysSchema.shape)
  const entries = await Promise.all(names.map(async (name) => [name, await read(name)] as const))
  const keys = keysSchema.parse(Object.fromEntries(entries))
  return {
    wrapper: ageWrapper(keys.recipient, [keys.identity]),
    signer: signerOf(keys['signing-key']),
    trust: [keys['public-key']],
  }
}
export type ClusterKeys = Awaited<ReturnType<typeof keysOf>>

/** A checkpoint of a store, opened with keys of the cluster. */
export const openedBy = (keys: ClusterKeys, store: BlobStore, digest: Digest): Promise<OpenedCheckpoint> =>
  openCheckpoint({store, digest, keys: [keys.wrapper], trust: keys.trust, signal})

/** Seals a checkpoint once more into a store, with other metadata or by another signer; gives its digest. */
export async function sealAnew(
  {name, archive, metadata: before}: OpenedCheckpoint,
  options: {
    readonly store: BlobStore
    readonly keys: ClusterKeys
    readonly signer?: Signer
    readonly metadata?: Partial<CheckpointMetadata>
  },
): Promise<Digest> {
  const {store, keys, signer = keys.signer, metadata = {}} = options
  const {keys: sealing} = await sealingKeys({wrapped: undefined, wrappers: [keys.wrapper], signal})
  const containers = before.containers.map(({archiveBytes, archiveSha256, ...container}) => container)
  const {digest} = await sealCheckpoint({
    metadata: {...before, ...metadata, containers},
    archives: new Map(before.containers.map((container) => [container.name, () => archive(container.name)])),
    keys: sealing,
    signer,
    store,
    name,
    signal,
  })
  return digest
}

/** Where `shareFolder` mounts. */
export const SHARED = '/srv/shared'

/**
 * One file system below SHARED on every node, as a network share would be: that of a loop device, which all nodes see as
 * they share a kernel. It goes with the nodes.
 */
export async function shareFolder(cluster: E2eCluster): Promise<void> {
  const {engine, name, machines} = cluster
  const [first = ''] = machines.slice(1)
  await engine.putFile(containerName(name, first), {
    path: '/srv/shared.gz.base64',
    content: (await compress(await emptyFileSystem())).toString('base64'),
    mode: 0o600,
  })
  const nodes =
    '[ -e /dev/loop-control ] || mknod -m 600 /dev/loop-control c 10 237; for number in {0..31}; do [ -e /dev/loop$number ] || mknod -m 600 /dev/loop$number b 7 $number; done'
  const device = await cluster.read(
    first,
    `set -euo pipefail; ${nodes}; cd /srv; base64 -d shared.gz.base64 | gunzip | dd of=shared.ext4 bs=64k conv=sparse status=none; losetup --find --show shared.ext4`,
  )
  for (const machine of machines)
    await cluster.read(
      machine,
      `set -e; ${nodes}; mkdir -p ${SHARED}; mount -t ext4 ${device.trim()} ${SHARED}`,
    )
  // From now on it ends with the last mount of it.
  await cluster.read(first, `losetup --detach ${device.trim()}`)
}

const SHARED_BYTES = 512 * 2 ** 20

/** An ext4 without a journal: nothing but zeros, mostly. */
async function emptyFileSystem(): Promise<Buffer> {
  const folder = await mkdtemp(join(tmpdir(), 'clouder-shared-'))
  try {
    const file = join(folder, 'image')
    await writeFile(file, '')
    await truncate(file, SHARED_BYTES)
    const argv = ['-q', '-F', '-O', '^has_journal', '-E', 'nodiscard,lazy_itable_init=1', file]
    await run('mkfs.ext4', argv, {
      env: {...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`},
    })
    return await readFile(file)
  } finally {
    await rm(folder, {recursive: true, force: true})
  }
}
