import {expect, test} from 'vitest'
import {checkpointSchema} from '../../../src/api/resources.ts'
import {checkpointText, inspectText} from '../../../src/cli/checkpoint-results.ts'
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
