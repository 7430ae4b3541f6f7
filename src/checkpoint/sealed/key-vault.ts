import {errorMessage} from '../../base/errors.ts'
import {CheckpointError} from '../errors.ts'
import type {KeyWrapper} from './keys.ts'

const ALGORITHM = 'RSA-OAEP-256'

/** What is asked of Azure Key Vault. */
export interface KeyVaultClient {
  /** With the key, or with one version of it, by its id; says which version it was. */
  wrapKey(
    keyId: string,
    bytes: Uint8Array,
    signal: AbortSignal,
  ): Promise<{keyId: string; wrapped: Uint8Array}>
  unwrapKey(keyId: string, wrapped: Uint8Array, signal: AbortSignal): Promise<Uint8Array>
}

/**
 * Wraps with an RSA key of Azure Key Vault, `https://vault.vault.azure.net/keys/name`. The version that wrapped is kept,
 * so that a key that was rotated opens what older versions closed.
 */
export function keyVaultWrapper(keyId: string, client: KeyVaultClient): KeyWrapper {
  const base = keyId.replace(/\/+$/, '').replace(/(\/keys\/[^/]+)\/.*$/, '$1')
  return {
    kind: 'azure-key-vault',
    id: keyId,
    wrap: async (dataKey, signal) => {
      const made = await client.wrapKey(keyId, dataKey, signal).catch((error: unknown) => {
        throw problemOf(keyId, error, signal)
      })
      const version = made.keyId.slice(made.keyId.lastIndexOf('/') + 1)
      return {
        kind: 'azure-key-vault',
        id: keyId,
        wrapped: `${version}.${Buffer.from(made.wrapped).toString('base64')}`,
      }
    },
    unwrap: async ({wrapped}, signal) => {
      const [version = '', text = ''] = wrapped.split('.')
      // Only the version is taken from what is stored: it must never lead to another vault.
      if (!/^[0-9a-zA-Z]+$/.test(version)) return undefined
      try {
        return await client.unwrapKey(`${base}/${version}`, Buffer.from(text, 'base64'), signal)
      } catch (error) {
        // Another key's, or one whose version is not in this vault.
        if (statusOf(error) === 400 || statusOf(error) === 404) return undefined
        throw problemOf(keyId, error, signal)
      }
    },
  }
}

/** The real Azure Key Vault, as the node's own identity or the one that `clientId` of the credentials names. */
export function azureKeyVault(credentials: Readonly<Record<string, string>> | undefined): KeyVaultClient {
  const open = async (keyId: string) => {
    const [{CryptographyClient}, {DefaultAzureCredential}] = await Promise.all([
      import('@azure/keyvault-keys'),
      import('@azure/identity'),
    ])
    const clientId = credentials?.['clientId']
    const identity = clientId === undefined ? {} : {managedIdentityClientId: clientId}
    return new CryptographyClient(keyId, new DefaultAzureCredential(identity))
  }
  return {
    wrapKey: async (keyId, bytes, abortSignal) => {
      const client = await open(keyId)
      const made = await client.wrapKey(ALGORITHM, bytes, {abortSignal})
      return {keyId: made.keyID ?? keyId, wrapped: made.result}
    },
    unwrapKey: async (keyId, wrapped, abortSignal) => {
      const client = await open(keyId)
      return (await client.unwrapKey(ALGORITHM, wrapped, {abortSignal})).result
    },
  }
}

function problemOf(keyId: string, error: unknown, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason
  const status = statusOf(error)
  // Without a cause: errors of clients hold requests.
  const words = errorMessage(error)
  if (status !== undefined && status < 500 && status !== 429) {
    return new CheckpointError('KEY_WRONG', `Azure Key Vault denied access to key ${keyId}: ${words}`, {
      suggestions: ['assign the role Key Vault Crypto User to the identity of the nodes'],
    })
  }
  return new CheckpointError('KEY_UNREACHABLE', `Azure Key Vault does not answer for key ${keyId}: ${words}`)
}

const statusOf = (error: unknown): number | undefined =>
  error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number'
    ? error.statusCode
    : undefined
