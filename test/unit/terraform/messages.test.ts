import {expect, test} from 'vitest'
import {parseMessage} from '../../../src/terraform/messages.ts'

const resource = {addr: 'aws_vpc.main', resource_type: 'aws_vpc'}
const line = (message: object) => JSON.stringify({'@level': 'info', ...message})

test.each([
  ['apply_start', 'started'],
  ['apply_progress', 'still'],
  ['apply_complete', 'done'],
  ['apply_errored', 'failed'],
] as const)('%s is progress: %s', (type, state) => {
  const hook = {resource, action: 'create', elapsed_seconds: 7}
  expect(parseMessage(line({type, hook}))).toEqual({
    progress: {address: 'aws_vpc.main', action: 'create', state, elapsedSeconds: 7},
  })
})

test('what is looked at while planning is progress too', () => {
  expect(parseMessage(line({type: 'refresh_complete', hook: {resource}})).progress).toMatchObject({
    action: 'refresh',
    state: 'done',
  })
})

test('an error carries its resource, a warning is left out', () => {
  const diagnostic = {severity: 'error', summary: 'creating VPC', detail: 'denied', address: 'aws_vpc.main'}
  expect(parseMessage(line({type: 'diagnostic', diagnostic})).error).toEqual({
    address: 'aws_vpc.main',
    summary: 'creating VPC',
    detail: 'denied',
  })
  expect(parseMessage(line({type: 'diagnostic', diagnostic: {...diagnostic, severity: 'warning'}}))).toEqual(
    {},
  )
})

test('lines that are no messages, and messages that nobody needs, are passed over', () => {
  for (const text of ['', 'plain words', '[1]', line({type: 'version'}), line({type: 'apply_start'})])
    expect(parseMessage(text)).toEqual({})
})
