import {expect, test} from 'vitest'
import {checkAccount} from '../../../../src/infrastructure/clouds/cloud.ts'
import {overlapProblems, sizeProblems} from '../../../../src/infrastructure/clouds/problems.ts'
import {awsFailure} from '../../../../src/infrastructure/clouds/aws/errors.ts'
import {azureFailure} from '../../../../src/infrastructure/clouds/azure/errors.ts'
import {InfrastructureError} from '../../../../src/infrastructure/errors.ts'

const {signal} = new AbortController()
const awsError = (name: string, message: string): Error =>
  Object.assign(new Error(message), {name, $metadata: {}})
const codeOf = (error: unknown): string => (error instanceof InfrastructureError ? error.code : 'other')

test.each([
  ['CredentialsProviderError', 'CREDENTIALS_MISSING'],
  ['ExpiredToken', 'CREDENTIALS_EXPIRED'],
  ['RequestExpired', 'CREDENTIALS_EXPIRED'],
  ['AuthFailure', 'CREDENTIALS_EXPIRED'],
  ['UnauthorizedOperation', 'CLOUD_REFUSED'],
  ['TimeoutError', 'CLOUD_UNREACHABLE'],
  ['InternalError', 'CLOUD_FAILED'],
])('what AWS calls %s is %s', (name, code) => {
  expect(codeOf(awsFailure(awsError(name, 'x'), 'ec2:DescribeVpcs', signal))).toBe(code)
})

test.each([
  ['Throttling', 400],
  ['RequestLimitExceeded', 503],
  ['InternalError', 500],
])('AWS that answers %s with %i may answer later', (name, httpStatusCode) => {
  const error = Object.assign(new Error('x'), {name, $metadata: {httpStatusCode}})
  expect(codeOf(awsFailure(error, 'ec2:DescribeVpcs', signal))).toBe('CLOUD_UNREACHABLE')
})

test.each([
  [429, 'CLOUD_UNREACHABLE'],
  [503, 'CLOUD_UNREACHABLE'],
  [400, 'CLOUD_FAILED'],
])('an answer of Azure with %i is %s', (statusCode, code) => {
  const error = Object.assign(new Error('x'), {statusCode, code: 'X'})
  expect(codeOf(azureFailure(error, 'Microsoft.X/y/read', signal))).toBe(code)
})

test('a refusal names the permission that is missing, which need not be the call', () => {
  const message = 'User: arn:aws:iam::1:user/x is not authorized to perform: kms:Decrypt on resource: y'
  const error = awsFailure(awsError('AccessDenied', message), 's3:GetObject', signal)
  expect(error).toMatchObject({message: 'AWS denied s3:GetObject: the permission kms:Decrypt is missing'})
})

test('a call that was interrupted is no failure of the cloud', () => {
  const reason = new Error('stopped')
  expect(awsFailure(awsError('AbortError', 'x'), 'a:b', AbortSignal.abort(reason))).toBe(reason)
})

test('a bug stays a bug', () => {
  const bug = 'text'
  expect(awsFailure(bug, 'a:b', signal)).toBe(bug)
})

test('credentials of another account are refused, and of the right one or of any accepted', () => {
  const identity = {kind: 'aws', account: '123456789012', principal: 'me', region: 'r'} as const
  checkAccount(identity, undefined)
  checkAccount(identity, '123456789012')
  expect(() => checkAccount(identity, '999999999999')).toThrow(/belong to account 123456789012 \(me\)/)
})

test('whatever the command, the way to a profile is one that it takes', () => {
  const missing = awsFailure(awsError('CredentialsProviderError', 'x'), 'a:b', signal)
  const other = (): unknown => {
    try {
      checkAccount({kind: 'aws', account: '1', principal: 'me', region: 'r'}, '2')
    } catch (error) {
      return error
    }
    return undefined
  }
  for (const error of [missing, other()]) {
    if (!(error instanceof InfrastructureError)) throw error
    const told = error.suggestions.join('\n')
    expect(told).toContain('AWS_PROFILE=NAME')
    // The AWS CLI has the flag, commands on clusters have not.
    expect(told.replaceAll('aws sso login --profile NAME', '')).not.toContain('--profile')
  }
})

test('a size is judged by its region, then by the zones that are meant, and each is told once', () => {
  const zones = new Map([['t3.large', ['a', 'b']]])
  const machine = {size: 't3.large', count: 1, spot: false, zones: ['a']}
  const judge = (machines: readonly (typeof machine)[]) =>
    sizeProblems(machines, zones, {region: 'r', list: 'clouder aws vm-sizes'}).map(({message}) => message)
  expect(judge([machine, {...machine, zones: []}])).toEqual([])
  const odd = {...machine, size: 't9.x'}
  expect(judge([odd, odd, {...machine, zones: ['a', 'c']}])).toEqual([
    'machine size t9.x is not offered in r',
    'machine size t3.large is not offered in zone c',
  ])
})

test('only networks that really overlap are told', () => {
  expect(overlapProblems(['10.244.0.0/16', 'fd00::/64'], ['10.0.0.0/16'], 'VPC v')).toEqual([])
  expect(overlapProblems(['10.0.128.0/17'], ['172.16.0.0/12', '10.0.0.0/16'], 'VPC v')).toMatchObject([
    {code: 'NETWORK_OVERLAP'},
  ])
})
