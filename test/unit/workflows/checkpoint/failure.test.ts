import {expect, test} from 'vitest'
import {failureOf} from '../../../../src/workflows/checkpoint/checkpoint.ts'

test.for(['TOO_LARGE', 'TRANSFER_FAILED', 'RESTORE_IMPOSSIBLE'])(
  'a move that ended with %s is reported with that code',
  (reason) => {
    expect(failureOf(reason, 'MIGRATION_FAILED', 'the node has no room.')).toMatchObject({
      code: reason,
      message: 'the node has no room',
    })
  },
)

test.for([undefined, 'Evicted', 'toString'])('%s is no code of an error', (reason) => {
  expect(failureOf(reason, 'MIGRATION_FAILED', 'it ended')).toMatchObject({code: 'MIGRATION_FAILED'})
})
