import {createHash, randomBytes} from 'node:crypto'
import {z} from 'zod'
import {SYSTEM_NAMESPACE} from '../../api/names.ts'
import type {CheckpointStore} from '../../api/resources.ts'
import {ageWrapper, newAgeKey} from '../../checkpoint/sealed/age.ts'
import {azureKeyVault, keyVaultWrapper} from '../../checkpoint/sealed/key-vault.ts'
import {sealingKeys, type KeyWrapper, type SealingKeys} from '../../checkpoint/sealed/keys.ts'
import {kmsWrapper} from '../../checkpoint/sealed/kms.ts'
import {newSigningKey, signerOf, type Signer} from '../../checkpoint/sealed/signature.ts'
import {envelopeSchema} from '../../api/sealed-checkpoint.ts'
import {KubernetesError} from '../../kubernetes/errors.ts'
import type {KubeClient} from '../../kubernetes/types.ts'

/** Holds the cluster's age identity and signing key; made once, by the agent that comes first. */
export const KEY_SECRET = 'checkpoint-key'

const clusterKeysSchema = z.looseObject({
  identity: z.string(),
  recipient: z.string(),
  'signing-key': z.string(),
  'public-key': z.string(),
  /** Between agents: who knows it may fetch sealed pieces from another node. */
  'peer-key': z.string(),
  /** Public keys of other clusters whose checkpoints are taken, one per line; an administrator writes it. */
  'trusted-keys': z.string().optional(),
})
export type ClusterKeys = z.output<typeof clusterKeysSchema>

/** What a store's checkpoints are sealed and opened with. */
export interface StoreKeys {
  readonly sealing: SealingKeys
  readonly wrappers: readonly KeyWrapper[]
  readonly signer: Signer
  readonly trust: readonly string[]
}

/** The keys of the cluster, from their Secret, which is made if there is none. */
export async function clusterKeys(kube: KubeClient): Promise<ClusterKeys> {
  const found = await readSecret(kube, KEY_SECRET)
  if (found !== undefined) return clusterKeysSchema.parse(found)
  const [age, signing] = [await newAgeKey(), newSigningKey()]
  const made = {
    identity: age.identity,
    recipient: age.recipient,
    'signing-key': signing.privateKeyPem,
    'public-key': signing.publicKey,
    'peer-key': randomBytes(32).toString('base64'),
  }
  return clusterKeysSchema.parse(await createOrRead(kube, KEY_SECRET, made))
}

const wrappedSchema = envelopeSchema.shape.keys

/** The keys of a store. Its data key is made at first use and kept, wrapped, in a Secret for just these recipients. */
export async function storeKeys(
  kube: KubeClient,
  {metadata, spec}: CheckpointStore,
  signal: AbortSignal,
): Promise<StoreKeys> {
  const cluster = await clusterKeys(kube)
  const signer = signerOf(cluster['signing-key'])
  const others = (cluster['trusted-keys'] ?? '').split('\n').map((line) => line.trim())
  const trust = [signer.publicKey, ...others.filter((line) => line !== '')]
  const own = ageWrapper(cluster.recipient, [cluster.identity])
  const named = await wrappersOf(kube, spec, cluster)
  if (named === undefined) return {sealing: {encryption: 'none'}, wrappers: [own], signer, trust}
  const ids = named.map(({kind, id}) => `${kind} ${id}`).sort()
  const digest = createHash('sha256').update(ids.join('\n')).digest('hex')
  const secret = `checkpoint-data-key-${metadata.name.slice(0, 200)}-${digest.slice(0, 10)}`
  const kept = await readSecret(kube, secret)
  const wrapped = kept === undefined ? undefined : wrappedOf(kept)
  const {keys} = await sealingKeys({wrapped, wrappers: named, signal})
  const wrappers = ids.includes(`age ${own.id}`) ? named : [...named, own]
  if (wrapped !== undefined) return {sealing: keys, wrappers, signer, trust}
  const winner = await createOrRead(kube, secret, {wrapped: JSON.stringify(keys.wrapped)})
  // Two agents may have made one at the same time: what is kept counts.
  const taken = await sealingKeys({wrapped: wrappedOf(winner), wrappers: named, signal})
  return {sealing: taken.keys, wrappers, signer, trust}
}

const wrappedOf = (secret: Record<string, string>) =>
  wrappedSchema.parse(JSON.parse(secret['wrapped'] ?? '[]'))

/** Undefined: nothing is encrypted. */
async function wrappersOf(
  kube: KubeClient,
  {encryption, credentials: access}: CheckpointStore['spec'],
  cluster: ClusterKeys,
): Promise<readonly KeyWrapper[] | undefined> {
  if (encryption === undefined) return [ageWrapper(cluster.recipient, [cluster.identity])]
  if ('none' in encryption) return undefined
  if ('age' in encryption) {
    const {recipients, identitySecretName} = encryption.age
    const identities = Object.values((await readSecret(kube, identitySecretName)) ?? {}).map((text) =>
      text.trim(),
    )
    return recipients.map((recipient) => ageWrapper(recipient, identities))
  }
  const credentials = access === undefined ? undefined : await readSecret(kube, access.secretName)
  if ('awsKms' in encryption) return [kmsWrapper(encryption.awsKms, credentials)]
  return [keyVaultWrapper(encryption.azureKeyVault.keyID, azureKeyVault(credentials))]
}

const secretSchema = z.looseObject({data: z.record(z.string(), z.string()).optional()})

/** The texts of a Secret of SYSTEM_NAMESPACE; undefined: there is none. */
export async function readSecret(
  kube: KubeClient,
  name: string,
): Promise<Record<string, string> | undefined> {
  const object = await kube.get({apiVersion: 'v1', kind: 'Secret', namespace: SYSTEM_NAMESPACE, name})
  if (object === undefined) return undefined
  const {data = {}} = secretSchema.parse(object)
  return Object.fromEntries(
    Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString('utf8')]),
  )
}

/** Makes a Secret; where somebody was quicker, theirs is what there is. */
async function createOrRead(
  kube: KubeClient,
  name: string,
  texts: Record<string, string>,
): Promise<Record<string, string>> {
  const made = await kube.create({
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'Opaque',
    metadata: {name, namespace: SYSTEM_NAMESPACE},
    data: Object.fromEntries(
      Object.entries(texts).map(([key, value]) => [key, Buffer.from(value).toString('base64')]),
    ),
  })
  if (made !== undefined) return texts
  const found = await readSecret(kube, name)
  if (found === undefined)
    throw new KubernetesError(
      'API_REJECTED',
      `Secret ${SYSTEM_NAMESPACE}/${name} was deleted right after it was created`,
    )
  return found
}
