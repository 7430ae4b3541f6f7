import {expect, test} from 'vitest'
import {checkpointSchema, migrationSchema} from '../../../src/api/resources.ts'
import {checkpointText, inspectText, migrationText} from '../../../src/cli/checkpoint-results.ts'
import {palette} from '../../../src/cli/terminal.ts'

const options = {colours: palette(false), columns: 100}

test('a checkpoint that holds what a restore will not find says so', () => {
  const message = '/logs/app.log on emptyDir volume logs'
  const checkpoint = checkpointSchema.parse({
    metadata: {name: 'saved', namespace: 'team'},
    spec: {podRef: {name: 'web'}},
    status: {
      phase: 'Ready',
      obstacles: [
        {verdict: 'Impossible', container: 'main', source: 'EmptyDir', message},
        {verdict: 'Unproven', container: 'main', source: 'HostPath', message: '/host/lib.so'},
      ],
    },
  })
  for (const text of [checkpointText(checkpoint, options), inspectText(checkpoint, options)]) {
    expect(text).toMatch(/not restorable +\/logs\/app\.log on emptyDir volume logs/)
    expect(text).toMatch(/may not be restorable +\/host\/lib\.so/)
  }
})

test.for([
  [{rounds: 3, copiedBytes: 812e6}, /pre-copy +812\.0 MB in 3 rounds/],
  [{rounds: 1, copiedBytes: 1e6}, /pre-copy +1\.0 MB in 1 round$/m],
  [
    {rounds: 0, copiedBytes: 0, message: 'the kernel of the node does not track writes'},
    /pre-copy +none, because the kernel of the node does not track writes/,
  ],
] as const)('a move tells whether memory was copied before: %o', ([preCopy, wanted]) => {
  const migration = migrationSchema.parse({
    metadata: {name: 'move-web', namespace: 'team'},
    spec: {podName: 'web', preCopy: true},
    status: {phase: 'Succeeded', way: 'Direct', targetNodeName: 'b', transferredBytes: 1024, preCopy},
  })
  expect(migrationText(migration, options)).toMatch(wanted)
  const without = migrationSchema.parse({...migration, status: {...migration.status, preCopy: undefined}})
  expect(migrationText(without, options)).not.toContain('pre-copy')
})
