import {expect, test} from 'vitest'
import {contextWith} from '../../../src/cli/ctx-set.ts'
import {placeOf} from '../../../src/cli/cloud-flags.ts'
import {fits} from '../../../src/cli/cloud-commands.ts'
import {memoryContexts} from '../../support/memory-contexts.ts'

const PROD = {provider: 'aws', account: '123456789012', region: 'eu-central-1', profile: 'prod'} as const

test('flags make a context, and change one without losing what it says', () => {
  expect(contextWith('prod', undefined, {provider: 'aws', region: 'eu-central-1'})).toEqual({
    provider: 'aws',
    region: 'eu-central-1',
  })
  expect(contextWith('prod', PROD, {region: 'us-east-1'})).toEqual({...PROD, region: 'us-east-1'})
  expect(contextWith('prod', PROD, {})).toEqual(PROD)
  expect(contextWith('prod', PROD, {provider: 'azure', location: 'westeurope'})).toEqual({
    provider: 'azure',
    location: 'westeurope',
  })
})

test('a new context needs a provider, and takes only what that understands', () => {
  expect(() => contextWith('prod', undefined, {region: 'x'})).toThrow(/context prod does not exist/)
  expect(() => contextWith('prod', PROD, {location: 'westeurope'})).toThrow(
    /--location cannot be used with provider aws/,
  )
  expect(() => contextWith('prod', PROD, {account: '12'})).toThrow(/--account is not an account/)
})

test('a command looks where flags say, then where the current context of that cloud says', async () => {
  const contexts = memoryContexts()
  await contexts.set('prod', PROD, {makeCurrent: true})
  expect(await placeOf('aws', {}, {contexts})).toEqual({
    kind: 'aws',
    region: 'eu-central-1',
    profile: 'prod',
    account: '123456789012',
    context: 'prod',
  })
  expect(await placeOf('aws', {region: 'us-east-1'}, {contexts})).toMatchObject({
    region: 'us-east-1',
    account: '123456789012',
  })
  // Another profile is another account.
  expect(await placeOf('aws', {profile: 'dev'}, {contexts})).toMatchObject({
    profile: 'dev',
    account: undefined,
    context: undefined,
  })
  expect(await placeOf('azure', {}, {contexts})).toMatchObject({region: undefined, context: undefined})
})

test('sizes are chosen by what they have', () => {
  const size = {name: 'x', vcpus: 4, memoryGiB: 16, gpus: 0, arch: 'amd64', zones: [], restriction: undefined}
  expect(fits(size, {})).toBe(true)
  expect(fits(size, {'min-vcpus': 4, 'min-memory': 16, arch: 'amd64'})).toBe(true)
  expect(fits(size, {'min-vcpus': 5})).toBe(false)
  expect(fits(size, {'min-memory': 17})).toBe(false)
  expect(fits(size, {gpu: true})).toBe(false)
  expect(fits(size, {arch: 'arm64'})).toBe(false)
})
