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

test('a plan tells what it only makes, and that there is more to a change than its line says', () => {
  const planned = (action: string, addr = 'aws_vpc.main') =>
    parseMessage(line({type: 'planned_change', change: {resource: {addr, resource_type: 'aws_vpc'}, action}}))
  expect(planned('create')).toEqual({
    planned: {address: 'aws_vpc.main', type: 'aws_vpc', actions: ['create']},
  })
  for (const action of ['update', 'replace', 'delete', 'move', 'import'])
    expect(planned(action)).toEqual({planned: 'other'})
  for (const action of ['read', 'noop']) expect(planned(action, 'data.aws_ami.x86_64')).toEqual({})
  expect(parseMessage(line({type: 'resource_drift', change: {resource, action: 'update'}}))).toEqual({
    planned: 'other',
  })
})

test('an apply tells outputs with values, a plan without', () => {
  const outputs = {list: {sensitive: false, value: [1]}, none: {sensitive: false, value: null}}
  expect(parseMessage(line({type: 'outputs', outputs}))).toEqual({outputs: {list: [1], none: null}})
  const planned = {list: {sensitive: false, action: 'create'}}
  expect(parseMessage(line({type: 'outputs', outputs: planned}))).toEqual({outputs: 'untold'})
})

test('a data source that was read tells the id of what it found', () => {
  const data = {addr: 'data.aws_ami.x86_64', resource_type: 'aws_ami'}
  const read = (hook: object) => parseMessage(line({type: 'apply_complete', hook: {action: 'read', ...hook}}))
  expect(read({resource: data, id_value: 'ami-1'}).read).toEqual({
    address: 'data.aws_ami.x86_64',
    id: 'ami-1',
  })
  expect(read({resource: data}).read).toBeUndefined()
  expect(read({resource, id_value: 'vpc-1'}).read).toBeUndefined()
})
