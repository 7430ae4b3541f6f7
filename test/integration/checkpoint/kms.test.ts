import {CreateKeyCommand, KMSClient} from '@aws-sdk/client-kms'
import {expect, test} from 'vitest'
import {kmsWrapper} from '../../../src/checkpoint/sealed/kms.ts'
import {keepsTheContractOfKeyWrappers} from '../../support/key-wrapper-contract.ts'
import {needMoto} from '../../support/moto.ts'

const region = 'eu-central-1'
const credentials = {accessKeyId: 'testing', secretAccessKey: 'testing'}

test('AWS KMS keeps the contract of key wrappers', async (context) => {
  await using moto = await needMoto(context)
  const client = new KMSClient({region, endpoint: moto.url, credentials})
  const newKey = async () => {
    const {KeyMetadata} = await client.send(new CreateKeyCommand({}))
    const key = {keyID: KeyMetadata?.KeyId ?? '', region, endpoint: moto.url}
    return kmsWrapper(key, credentials)
  }
  await keepsTheContractOfKeyWrappers(await newKey(), await newKey())
  const unknown = kmsWrapper(
    {keyID: '00000000-0000-0000-0000-000000000000', region, endpoint: moto.url},
    credentials,
  )
  const {signal} = new AbortController()
  await expect(unknown.wrap(Buffer.alloc(32), signal)).rejects.toMatchObject({code: 'KEY_WRONG'})
})

test('an AWS KMS that does not answer is told as that', async () => {
  const nowhere = kmsWrapper({keyID: 'alias/x', region, endpoint: 'http://127.0.0.1:9'}, credentials)
  const {signal} = new AbortController()
  await expect(nowhere.wrap(Buffer.alloc(32), signal)).rejects.toMatchObject({code: 'KEY_UNREACHABLE'})
})
