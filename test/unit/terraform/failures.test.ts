import {expect, test} from 'vitest'
import {failureOf, StateLockedError, type FailedRun} from '../../../src/terraform/failures.ts'
import {isLockOf} from '../../../src/terraform/leftover.ts'

const run = (more: Partial<FailedRun>): FailedRun => ({
  program: 'terraform',
  operation: 'apply',
  dir: '/c/terraform',
  exitCode: 1,
  diagnostics: [],
  stderr: '',
  ...more,
})
const said = (summary: string, detail = '', address?: string) =>
  run({diagnostics: [{summary, detail, ...(address === undefined ? {} : {address})}]})

const lockDetail = `Error message: resource temporarily unavailable
Lock Info:
  ID:        75e3c92c-5175-4f2d-dc8a-e47c0ea9240d
  Path:      terraform.tfstate
  Operation: OperationTypeApply
  Who:       ann@laptop
  Version:   1.11.4
  Created:   2026-11-21 12:59:47.429775093 +0000 UTC
  Info:      

Terraform acquires a state lock to protect the state.`

test('a locked state names lock, owner and time', () => {
  const error = failureOf(said('Error acquiring the state lock', lockDetail))
  if (!(error instanceof StateLockedError)) throw error
  expect(error).toMatchObject({code: 'STATE_LOCKED', exitCode: 5})
  expect(error.lock).toEqual({
    id: '75e3c92c-5175-4f2d-dc8a-e47c0ea9240d',
    who: 'ann@laptop',
    operation: 'OperationTypeApply',
    created: '2026-11-21T12:59:47.429Z',
  })
  expect(error.suggestions.join('\n')).toContain('force-unlock 75e3c92c-5175-4f2d-dc8a-e47c0ea9240d')
})

test.each([
  ['ExpiredToken: The security token included in the request is expired', 'CREDENTIALS_EXPIRED'],
  ['No valid credential sources found', 'CREDENTIALS_MISSING'],
  ['VcpuLimitExceeded: You have requested more vCPU capacity than your current limit', 'QUOTA_EXCEEDED'],
  [
    'Operation could not be completed as it results in exceeding approved Total Cores quota',
    'QUOTA_EXCEEDED',
  ],
  ["InvalidAMIID.NotFound: The image id '[ami-0]' does not exist", 'IMAGE_MISSING'],
  [
    'Unsupported: Your requested instance type (t3.huge) is not supported in your requested Availability Zone',
    'SIZE_NOT_OFFERED',
  ],
  ['UnauthorizedOperation: You are not authorized to perform this operation', 'CLOUD_REFUSED'],
  ['Something else altogether', 'TERRAFORM_FAILED'],
] as const)('what a cloud says through its provider has a code of ours: %s', (detail, code) => {
  const error = failureOf(said('creating EC2 Instance', `api error ${detail}`, 'aws_instance.cp-1'))
  expect(error).toMatchObject({code, diagnostics: [{address: 'aws_instance.cp-1'}]})
  expect(error.message).toBe('terraform apply failed on aws_instance.cp-1: creating EC2 Instance')
  expect(error.suggestions.length).toBeGreaterThan(0)
})

test('a thing that is gone, and a provider that cannot say so without a newer Terraform, are told', () => {
  const error = failureOf(said('Missing Resource Identity After Read', 'always an issue in the provider'))
  expect(error).toMatchObject({code: 'TERRAFORM_FAILED'})
  expect(error.suggestions.join()).toContain('use Terraform 1.12 or newer')
})

test('an error that is told once for each that waited is told once', () => {
  const diagnostic = {summary: 'execution halted', detail: ''}
  expect(failureOf(run({diagnostics: [diagnostic, diagnostic]})).diagnostics).toHaveLength(1)
})

test('text for people is understood as well: the frame and the preface go', () => {
  const stderr = `╷
│ Error: Terraform encountered problems during initialisation, including problems
│ with the configuration, described below.
╵
╷
│ Error: Failed to query available provider packages
│
│ Could not retrieve the list of available versions for provider hashicorp/aws
╵
`
  const error = failureOf(run({operation: 'init', stderr}))
  expect(error).toMatchObject({
    code: 'TERRAFORM_FAILED',
    message: 'terraform init failed: Failed to query available provider packages',
  })
})

test('a run that ended without a word says at least how', () => {
  expect(failureOf(run({exitCode: 137})).message).toBe('terraform apply was killed, exit code 137')
  expect(failureOf(run({})).message).toBe('terraform apply exited with code 1 and printed no error')
})

test('only a lock that was taken here, while the dead run took its own, is taken off', () => {
  const lock = {id: '1', who: 'ann@laptop', operation: 'apply', created: '2026-11-21T12:00:02.000Z'}
  const dead = {
    pid: 7,
    identity: 'boot/1',
    startedAt: '2026-11-21T12:00:00.000Z',
    lastSeenMs: Date.parse('2026-11-21T12:05:00.000Z'),
  }
  expect(isLockOf(lock, dead, 'laptop')).toBe(true)
  expect(isLockOf(lock, dead, 'top')).toBe(false)
  expect(isLockOf(lock, dead, 'ci')).toBe(false)
  expect(isLockOf({...lock, created: '2026-11-21T11:59:00.000Z'}, dead, 'laptop')).toBe(false)
  expect(isLockOf({...lock, created: '2026-11-21T12:06:00.000Z'}, dead, 'laptop')).toBe(false)
  expect(isLockOf({...lock, created: 'some day'}, dead, 'laptop')).toBe(false)
})

test('what an earlier cluster of the name left is told with a way around it', () => {
  const summary =
    'A resource with the ID "/subscriptions/1/resourceGroups/clouder-prod" already exists - to be managed via Terraform this resource needs to be imported into the State.'
  const error = failureOf(said(summary, '', 'azurerm_resource_group.cluster'))
  expect(error.code).toBe('TERRAFORM_FAILED')
  expect(error.suggestions.join()).toContain('spec.provider.azure.resourceGroup')
})
