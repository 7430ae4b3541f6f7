import {expect, test} from 'vitest'
import {withContext} from '../../../../src/infrastructure/contexts/with-context.ts'
import {loadSpec} from '../../../../src/spec/load.ts'

const aws = (settings: object = {}) =>
  loadSpec({
    text: JSON.stringify({
      apiVersion: 'clouder.dev/v1alpha1',
      kind: 'Cluster',
      metadata: {name: 'demo'},
      spec: {provider: {kind: 'aws', aws: settings}, access: {adminCidrs: ['192.0.2.0/24']}},
    }),
  })
const CONTEXT = {provider: 'aws', account: '123456789012', region: 'eu-central-1', profile: 'prod'} as const

test('a spec takes from the context what it does not say itself', () => {
  expect(withContext(aws(), CONTEXT).provider.aws).toMatchObject({
    account: '123456789012',
    region: 'eu-central-1',
    profile: 'prod',
  })
  expect(withContext(aws({region: 'us-east-1'}), CONTEXT).provider.aws).toMatchObject({
    account: '123456789012',
    region: 'us-east-1',
  })
})

test('nothing is taken from a context of another account, profile or provider', () => {
  for (const own of [{account: '999999999999'}, {profile: 'dev'}]) {
    const spec = aws(own)
    expect(withContext(spec, CONTEXT)).toBe(spec)
  }
  const spec = aws()
  expect(withContext(spec, {provider: 'azure', location: 'westeurope'})).toBe(spec)
  expect(withContext(spec, undefined)).toBe(spec)
})

test('what comes out cannot be changed, like every spec', () => {
  const {provider} = withContext(aws(), CONTEXT)
  expect(Object.isFrozen(provider)).toBe(true)
  expect(Object.isFrozen(provider.aws)).toBe(true)
})
