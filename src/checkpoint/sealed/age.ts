import {Decrypter, Encrypter, generateX25519Identity, identityToRecipient} from 'age-encryption'
import type {KeyWrapper} from './keys.ts'

/** A new age key: the identity is a secret, the recipient is not. */
export async function newAgeKey(): Promise<{readonly identity: string; readonly recipient: string}> {
  const identity = await generateX25519Identity()
  return {identity, recipient: await identityToRecipient(identity)}
}

/** The recipient, `age1…`, of an identity, `AGE-SECRET-KEY-1…`. */
export const ageRecipient = (identity: string): Promise<string> => identityToRecipient(identity)

/** Wraps for one age recipient; unwraps with the identities that are at hand, if any. */
export function ageWrapper(recipient: string, identities: readonly string[]): KeyWrapper {
  return {
    kind: 'age',
    id: recipient,
    wrap: async (dataKey) => {
      const encrypter = new Encrypter()
      encrypter.addRecipient(recipient)
      const wrapped = Buffer.from(await encrypter.encrypt(dataKey)).toString('base64')
      return {kind: 'age', id: recipient, wrapped}
    },
    unwrap: async ({wrapped}) => {
      const decrypter = new Decrypter()
      for (const identity of identities) decrypter.addIdentity(identity)
      try {
        return await decrypter.decrypt(Buffer.from(wrapped, 'base64'))
      } catch {
        // It throws for a foreign file and for a broken one alike.
        return undefined
      }
    },
  }
}
