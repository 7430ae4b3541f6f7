import {createPublicKey, verify} from 'node:crypto'

/** Whether a text was signed with the private half of an ed25519 key (DER, in base64). */
export function isSignedBy(publicKey: string | undefined, text: Buffer, proof: Buffer): boolean {
  if (publicKey === undefined) return false
  try {
    const key = createPublicKey({key: Buffer.from(publicKey, 'base64'), format: 'der', type: 'spki'})
    return key.asymmetricKeyType === 'ed25519' && verify(null, text, key, proof)
  } catch {
    return false
  }
}
