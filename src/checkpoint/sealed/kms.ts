import {CheckpointError} from '../errors.ts'
import type {KeyWrapper} from './keys.ts'

/** Bound to what is encrypted: nothing else that this key encrypted opens as a data key. */
const CONTEXT = {'clouder.dev/purpose': 'checkpoint data key'}
const ATTEMPTS = 4

export interface KmsKey {
  /** ARN, id or alias. */
  readonly keyID: string
  readonly region: string
  readonly endpoint?: string | undefined
}

/**
 * Wraps with a key of AWS KMS. Without credentials (`accessKeyId`, `secretAccessKey`, `sessionToken`) the node's own
 * identity is used, which needs `kms:Encrypt` and `kms:Decrypt` on the key.
 */
export function kmsWrapper(
  {keyID, region, endpoint}: KmsKey,
  credentials: Readonly<Record<string, string>> | undefined,
): KeyWrapper {
  const open = async () => {
    const kms = await import('@aws-sdk/client-kms')
    const client = new kms.KMSClient({
      region,
      maxAttempts: ATTEMPTS,
      ...(endpoint === undefined ? {} : {endpoint}),
      ...accessKeysOf(credentials),
    })
    return {kms, client, [Symbol.dispose]: () => client.destroy()}
  }
  return {
    kind: 'aws-kms',
    id: keyID,
    wrap: async (dataKey, abortSignal) => {
      using opened = await open()
      const {kms, client} = opened
      const command = new kms.EncryptCommand({KeyId: keyID, Plaintext: dataKey, EncryptionContext: CONTEXT})
      const {CiphertextBlob} = await client.send(command, {abortSignal}).catch((error: unknown) => {
        throw problemOf(keyID, error, abortSignal)
      })
      if (CiphertextBlob === undefined) throw new TypeError(`AWS KMS returned no ciphertext for key ${keyID}`)
      return {kind: 'aws-kms', id: keyID, wrapped: Buffer.from(CiphertextBlob).toString('base64')}
    },
    unwrap: async ({wrapped}, abortSignal) => {
      using opened = await open()
      const {kms, client} = opened
      const CiphertextBlob = Buffer.from(wrapped, 'base64')
      const command = new kms.DecryptCommand({KeyId: keyID, CiphertextBlob, EncryptionContext: CONTEXT})
      try {
        return (await client.send(command, {abortSignal})).Plaintext
      } catch (error) {
        if (error instanceof Error && FOREIGN.has(error.name)) return undefined
        throw problemOf(keyID, error, abortSignal)
      }
    },
  }
}

/** What KMS calls a text that it did not encrypt with this key, or that whoever asks may not open. */
const FOREIGN: ReadonlySet<string> = new Set([
  'InvalidCiphertextException',
  'IncorrectKeyException',
  'AccessDeniedException',
])

function problemOf(keyID: string, error: unknown, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason
  const status = statusOf(error)
  // Without a cause: errors of clients hold requests.
  const words = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  if (status !== undefined && status < 500 && status !== 429) {
    return new CheckpointError('KEY_WRONG', `AWS KMS denied access to key ${keyID}: ${words}`, {
      suggestions: [`allow the identity of the nodes to use ${keyID}: kms:Encrypt, kms:Decrypt`],
    })
  }
  return new CheckpointError('KEY_UNREACHABLE', `AWS KMS does not answer for key ${keyID}: ${words}`)
}

function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('$metadata' in error)) return undefined
  const metadata = error.$metadata
  if (typeof metadata !== 'object' || metadata === null || !('httpStatusCode' in metadata)) return undefined
  return typeof metadata.httpStatusCode === 'number' ? metadata.httpStatusCode : undefined
}

/** Access keys from the texts of a Secret; none: the node's own identity. */
function accessKeysOf(credentials: Readonly<Record<string, string>> = {}) {
  const {accessKeyId, secretAccessKey, sessionToken} = credentials
  // The Secret may be of a store that is elsewhere.
  if (accessKeyId === undefined && secretAccessKey === undefined) return {}
  if (accessKeyId === undefined || secretAccessKey === undefined) {
    throw new CheckpointError(
      'KEY_WRONG',
      'the Secret for AWS KMS must contain accessKeyId and secretAccessKey',
    )
  }
  return {credentials: {accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : {sessionToken})}}
}
