import {constants, generateKeyPairSync, privateDecrypt, publicEncrypt, type KeyObject} from 'node:crypto'
import type {KeyVaultClient} from '../../src/checkpoint/sealed/key-vault.ts'

class VaultError extends Error {
  readonly statusCode: number

  constructor(statusCode: number, message: string) {
    super(message)
    this.statusCode = statusCode
  }
}

/** A vault in memory: keys by id, each with versions; the newest wraps. */
export class FakeKeyVault implements KeyVaultClient {
  readonly #versions = new Map<
    string,
    {readonly version: string; readonly privateKey: KeyObject; readonly publicKey: KeyObject}[]
  >()
  /** What it answers instead: an HTTP status. */
  refuseWith: number | undefined = undefined

  rotate(keyId: string): void {
    const versions = this.#versions.get(keyId) ?? []
    const version = `v${versions.length + 1}`
    this.#versions.set(keyId, [...versions, {version, ...keyPairOf(`${keyId}/${version}`)}])
  }

  wrapKey(keyId: string, bytes: Uint8Array): Promise<{keyId: string; wrapped: Uint8Array}> {
    return this.#answer(() => {
      const newest = this.#versions.get(keyId)?.at(-1)
      if (newest === undefined) throw new VaultError(404, `KeyNotFound: ${keyId}`)
      const wrapped = publicEncrypt({key: newest.publicKey, ...PADDING}, bytes)
      return {keyId: `${keyId}/${newest.version}`, wrapped}
    })
  }

  unwrapKey(keyId: string, wrapped: Uint8Array): Promise<Uint8Array> {
    return this.#answer(() => {
      const slash = keyId.lastIndexOf('/')
      const versions = this.#versions.get(keyId.slice(0, slash)) ?? []
      const found = versions.find(({version}) => version === keyId.slice(slash + 1))
      if (found === undefined) throw new VaultError(404, `KeyNotFound: ${keyId}`)
      try {
        return privateDecrypt({key: found.privateKey, ...PADDING}, wrapped)
      } catch {
        throw new VaultError(400, 'BadParameter')
      }
    })
  }

  #answer<T>(work: () => T): Promise<T> {
    return new Promise((resolve) => {
      if (this.refuseWith !== undefined) throw new VaultError(this.refuseWith, 'as the test wants')
      resolve(work())
    })
  }
}

const keyPairs = new Map<string, {readonly privateKey: KeyObject; readonly publicKey: KeyObject}>()

/** Another for each version of each key, made once for all vaults: making one takes longer than most tests. */
function keyPairOf(version: string): {readonly privateKey: KeyObject; readonly publicKey: KeyObject} {
  const made = keyPairs.get(version) ?? generateKeyPairSync('rsa', {modulusLength: 2048})
  keyPairs.set(version, made)
  return made
}

const PADDING = {padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256'}
