import {expect, test} from 'vitest'
import {parsePlan} from '../../../src/terraform/plan-json.ts'

const vpc = {address: 'aws_vpc.main', mode: 'managed', type: 'aws_vpc'}
const plan = (document: object) => parsePlan(JSON.stringify({format_version: '1.2', ...document}))

test('drift names the arguments that somebody changed, never their values', () => {
  const {drift, changes, hasChanges} = plan({
    resource_drift: [
      {
        ...vpc,
        change: {
          actions: ['update'],
          before: {tags: {a: '1'}, secret: 'before', cidr: '10.0.0.0/16', empty: null},
          after: {tags: {a: '2'}, secret: 'after', cidr: '10.0.0.0/16'},
          after_unknown: {},
        },
      },
    ],
  })
  expect(drift).toEqual([
    {address: 'aws_vpc.main', type: 'aws_vpc', actions: ['update'], attributes: ['secret', 'tags']},
  ])
  expect(changes).toEqual([])
  expect(hasChanges).toBe(true)
})

test('what is known only afterwards differs', () => {
  const change = {
    actions: ['update'],
    before: {arn: 'x', list: [{id: '1'}]},
    after: {list: [{}]},
    after_unknown: {arn: true, list: [{id: true}], other: [false]},
  }
  expect(plan({resource_changes: [{...vpc, change}]}).changes[0]?.attributes).toEqual(['arn', 'list'])
})

test('a replacement tells what cannot be changed in place', () => {
  const change = {
    actions: ['delete', 'create'],
    before: {a: 1},
    after: {a: 2},
    replace_paths: [['a', 0], ['b']],
  }
  const found = plan({
    resource_changes: [{...vpc, change, action_reason: 'replace_because_cannot_update'}],
  }).changes
  expect(found[0]).toMatchObject({actions: ['delete', 'create'], reason: 'cannot be changed in place: a, b'})
})

test('data that is only read, and what stays, is no change', () => {
  const stays = {actions: ['no-op'], before: {}, after: {}}
  const read = {actions: ['read'], before: null, after: {}}
  const found = plan({
    resource_changes: [
      {...vpc, change: stays},
      {...vpc, mode: 'data', change: read},
    ],
    output_changes: {machines: {actions: ['no-op'], after: [1]}},
  })
  expect(found).toEqual({
    changes: [],
    drift: [],
    hasChanges: false,
    outputs: {machines: [1]},
    priorOutputs: {},
  })
})

test('an output that a plan works out says what it was; one that it leaves alone is in the prior state', () => {
  const prior_state = {values: {outputs: {machines: {value: ['new']}, endpoint: {value: 'old'}}}}
  const output_changes = {
    machines: {actions: ['update'], before: ['old'], after: ['new']},
    bucket: {actions: ['create'], before: null, after: 'b'},
  }
  expect(plan({prior_state, output_changes}).priorOutputs).toEqual({machines: ['old'], endpoint: 'old'})
})

test('an output that is not known before is there without a value', () => {
  const found = plan({output_changes: {endpoint: {actions: ['create'], after_unknown: true}}})
  expect(found).toMatchObject({hasChanges: true, outputs: {endpoint: undefined}})
})
