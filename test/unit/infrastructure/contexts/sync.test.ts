import {expect, test} from 'vitest'
import type {CloudOptions} from '../../../../src/infrastructure/clouds/cloud.ts'
import {checkAccount} from '../../../../src/infrastructure/clouds/cloud.ts'
import {parseProfiles, syncContexts} from '../../../../src/infrastructure/contexts/sync.ts'
import {InfrastructureError} from '../../../../src/infrastructure/errors.ts'
import {FakeCloud} from '../../../support/fake-cloud.ts'
import {memoryContexts} from '../../../support/memory-contexts.ts'

/** Every credential is of account 123456789012, but those of profile `expired`. */
const openCloud = async (options: CloudOptions) => {
  if (options.profile === 'expired') throw new InfrastructureError('CREDENTIALS_EXPIRED', 'expired')
  const cloud = new FakeCloud([], {kind: options.kind})
  checkAccount(await cloud.identity(), options.account)
  return cloud
}
const tools = () => ({contexts: memoryContexts(), openCloud, signal: new AbortController().signal})

test('profiles are read from the AWS configuration, sessions of SSO are none', () => {
  const text = [
    '[default]',
    'region = us-east-1',
    '[profile Dev Team]',
    '[profile prod]',
    'sso_session = corp',
    '  region=eu-central-1',
    '[sso-session corp]',
    'sso_region = eu-west-1',
  ].join('\n')
  expect(parseProfiles(text).map(({context}) => context)).toEqual([
    {provider: 'aws', profile: 'default', region: 'us-east-1'},
    {provider: 'aws', profile: 'prod', region: 'eu-central-1'},
  ])
})

test('accounts that are found become contexts with an account; a second time nothing changes', async () => {
  const around = tools()
  const found = [
    {title: 'default', context: {provider: 'aws', profile: 'default', region: 'us-east-1'}},
    {title: 'Prod Account', context: {provider: 'aws', profile: 'prod'}},
    {title: 'expired', context: {provider: 'aws', profile: 'expired'}},
  ] as const
  const rows = await syncContexts(found, around)
  expect(rows.map(({name, change, problem}) => [name, change, problem])).toEqual([
    ['aws-default', 'created', undefined],
    ['prod-account', 'created', undefined],
    ['expired', 'failed', 'expired'],
  ])
  expect(await around.contexts.find('aws-default')).toMatchObject({
    isCurrent: false,
    context: {account: '123456789012', profile: 'default', region: 'us-east-1'},
  })
  const again = await syncContexts(found, around)
  expect(again.map(({change}) => change)).toEqual(['unchanged', 'unchanged', 'failed'])
})

test('a context gets the account that it lacks, and one of another account is told, not changed', async () => {
  const around = tools()
  await around.contexts.set('mine', {provider: 'aws', region: 'eu-central-1'}, {makeCurrent: true})
  await around.contexts.set('theirs', {provider: 'aws', account: '999999999999'}, {makeCurrent: false})
  const rows = await syncContexts([], around)
  expect(rows.map(({name, change}) => [name, change])).toEqual([
    ['mine', 'updated'],
    ['theirs', 'failed'],
  ])
  expect(await around.contexts.find('mine')).toMatchObject({
    isCurrent: true,
    context: {account: '123456789012', region: 'eu-central-1'},
  })
  expect(await around.contexts.find('theirs')).toMatchObject({context: {account: '999999999999'}})
})
