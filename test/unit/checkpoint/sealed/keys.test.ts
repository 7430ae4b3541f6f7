import {expect, test} from 'vitest'
import {ageRecipient, ageWrapper, newAgeKey} from '../../../../src/checkpoint/sealed/age.ts'
import {keyVaultWrapper} from '../../../../src/checkpoint/sealed/key-vault.ts'
import {sealingKeys, unwrapDataKey} from '../../../../src/checkpoint/sealed/keys.ts'
import {kmsWrapper} from '../../../../src/checkpoint/sealed/kms.ts'
import {isSignedBy, newSigningKey, signerOf} from '../../../../src/checkpoint/sealed/signature.ts'
import {FakeKeyVault} from '../../../support/fake-key-vault.ts'
import {keepsTheContractOfKeyWrappers} from '../../../support/key-wrapper-contract.ts'

const {signal} = new AbortController()

async function newAgeWrapper() {
  const {identity, recipient} = await newAgeKey()
  return ageWrapper(recipient, [identity])
}

test('age keeps the contract of key wrappers', async () => {
  await keepsTheContractOfKeyWrappers(await newAgeWrapper(), await newAgeWrapper())
})

const [VAULT, OTHER] = ['https://a.vault.azure.net/keys/checkpoints', 'https://a.vault.azure.net/keys/other']

test('Azure Key Vault behind our interface keeps the contract of key wrappers', async () => {
  const vault = new FakeKeyVault()
  vault.rotate(VAULT)
  vault.rotate(OTHER)
  await keepsTheContractOfKeyWrappers(keyVaultWrapper(VAULT, vault), keyVaultWrapper(OTHER, vault))
})

test('a vault key that was rotated opens what its older version closed', async () => {
  const vault = new FakeKeyVault()
  vault.rotate(VAULT)
  const wrapper = keyVaultWrapper(VAULT, vault)
  const wrapped = await wrapper.wrap(Buffer.alloc(32, 7), signal)
  vault.rotate(VAULT)
  expect(Buffer.from((await wrapper.unwrap(wrapped, signal)) ?? [])).toEqual(Buffer.alloc(32, 7))
})

test('what is stored never leads to another vault', async () => {
  const asked: string[] = []
  const wrapper = keyVaultWrapper(`${VAULT}/v1`, {
    wrapKey: () => Promise.reject(new TypeError('not requested')),
    unwrapKey: (keyId) => {
      asked.push(keyId)
      return Promise.resolve(Buffer.alloc(32))
    },
  })
  const stored = (wrapped: string) => ({kind: 'azure-key-vault' as const, id: VAULT, wrapped})
  expect(await wrapper.unwrap(stored('https://evil.example/keys/x.AAAA'), signal)).toBeUndefined()
  expect(await wrapper.unwrap(stored('../x.AAAA'), signal)).toBeUndefined()
  await wrapper.unwrap(stored('v2.AAAA'), signal)
  expect(asked).toEqual([`${VAULT}/v2`])
})

test('a vault that refuses and one that does not answer are told apart', async () => {
  const vault = new FakeKeyVault()
  vault.rotate(VAULT)
  const wrapper = keyVaultWrapper(VAULT, vault)
  vault.refuseWith = 403
  await expect(wrapper.wrap(Buffer.alloc(32), signal)).rejects.toMatchObject({code: 'KEY_WRONG'})
  vault.refuseWith = 503
  await expect(wrapper.wrap(Buffer.alloc(32), signal)).rejects.toMatchObject({code: 'KEY_UNREACHABLE'})
})

test('credentials for AWS KMS that lack a part are told without their values', async () => {
  const wrapper = kmsWrapper({keyID: 'alias/x', region: 'eu-central-1'}, {secretAccessKey: 'very-secret'})
  const failing = wrapper.wrap(Buffer.alloc(32), signal)
  await expect(failing).rejects.toMatchObject({code: 'KEY_WRONG'})
  await expect(failing).rejects.not.toThrow(/very-secret/)
})

test('the data key of a store is made once, and opened by any of its recipients', async () => {
  const wrappers = [await newAgeWrapper(), await newAgeWrapper()]
  const first = await sealingKeys({wrapped: undefined, wrappers, signal})
  const again = await sealingKeys({wrapped: first.keys.wrapped, wrappers, signal})
  expect([first.changed, again.changed]).toEqual([true, false])
  expect(again.keys.dataKey.equals(first.keys.dataKey)).toBe(true)
  for (const wrapper of wrappers) {
    expect(await unwrapDataKey(first.keys.wrapped, [wrapper], signal)).toHaveLength(32)
  }
})

test('a further recipient gets the same data key, and one that is gone ends it', async () => {
  const [one, two] = [await newAgeWrapper(), await newAgeWrapper()]
  const first = await sealingKeys({wrapped: undefined, wrappers: [one], signal})
  const both = await sealingKeys({wrapped: first.keys.wrapped, wrappers: [one, two], signal})
  expect(both.keys.dataKey.equals(first.keys.dataKey)).toBe(true)
  expect(both.keys.wrapped.map(({id}) => id)).toEqual([one.id, two.id])
  const less = await sealingKeys({wrapped: both.keys.wrapped, wrappers: [two], signal})
  expect(less.changed).toBe(true)
  expect(less.keys.dataKey.equals(first.keys.dataKey)).toBe(false)
})

test('a data key that nobody here opens is a wrong key', async () => {
  const {keys} = await sealingKeys({wrapped: undefined, wrappers: [await newAgeWrapper()], signal})
  const opening = unwrapDataKey(keys.wrapped, [await newAgeWrapper()], signal)
  await expect(opening).rejects.toMatchObject({code: 'KEY_WRONG'})
})

test('the recipient of an identity is found again', async () => {
  const {identity, recipient} = await newAgeKey()
  expect(await ageRecipient(identity)).toBe(recipient)
})

test('a signature is of one text and one key', () => {
  const {privateKeyPem, publicKey} = newSigningKey()
  const signer = signerOf(privateKeyPem)
  expect(signer.publicKey).toBe(publicKey)
  const signature = signer.sign('a text')
  expect(isSignedBy(publicKey, 'a text', signature)).toBe(true)
  expect(isSignedBy(publicKey, 'another text', signature)).toBe(false)
  expect(isSignedBy(newSigningKey().publicKey, 'a text', signature)).toBe(false)
  expect(isSignedBy('ed25519:nonsense', 'a text', signature)).toBe(false)
  expect(isSignedBy(publicKey.slice(8), 'a text', signature)).toBe(false)
})

test('what is no signing key is refused without being shown', () => {
  expect(() => signerOf('very-secret')).toThrow(/^the signing key is not an Ed25519 key in PEM$/)
})
