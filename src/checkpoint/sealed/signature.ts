import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  sign,
  verify,
  type KeyObject,
} from 'node:crypto'
import {z} from 'zod'

const PREFIX = 'ed25519:'

/** Signs checkpoints; others know it by `publicKey`, `ed25519:…`. */
export interface Signer {
  readonly publicKey: string
  /** Base64. */
  sign(text: string): string
}

const jwkSchema = z.looseObject({x: z.string()})

/** A new signing key: a secret in PEM, and the public key that goes into lists of trust. */
export function newSigningKey(): {readonly privateKeyPem: string; readonly publicKey: string} {
  const {privateKey, publicKey} = generateKeyPairSync('ed25519')
  return {
    privateKeyPem: privateKey.export({type: 'pkcs8', format: 'pem'}).toString(),
    publicKey: nameOf(publicKey),
  }
}

/** Throws TypeError for what is no ed25519 key in PEM; the message never holds the key. */
export function signerOf(privateKeyPem: string): Signer {
  const key = parsed(privateKeyPem)
  if (key?.asymmetricKeyType !== 'ed25519')
    throw new TypeError('the signing key is not an Ed25519 key in PEM')
  return {
    publicKey: nameOf(createPublicKey(key)),
    sign: (text) => sign(null, Buffer.from(text), key).toString('base64'),
  }
}

function parsed(pem: string): KeyObject | undefined {
  try {
    return createPrivateKey(pem)
  } catch {
    return undefined
  }
}

/** Whether `signature` (base64) of the text was made with the private half of `publicKey`. */
export function isSignedBy(publicKey: string, text: string, signature: string): boolean {
  if (!publicKey.startsWith(PREFIX)) return false
  try {
    const key = createPublicKey({
      key: {kty: 'OKP', crv: 'Ed25519', x: publicKey.slice(PREFIX.length)},
      format: 'jwk',
    })
    return verify(null, Buffer.from(text), key, Buffer.from(signature, 'base64'))
  } catch {
    return false
  }
}

const nameOf = (publicKey: KeyObject): string =>
  `${PREFIX}${jwkSchema.parse(publicKey.export({format: 'jwk'})).x}`
