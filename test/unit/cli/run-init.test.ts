import {expect, test} from 'vitest'
import {noteNewName} from '../../../src/cli/run-init.ts'
import {recordingReport} from '../../support/recording-report.ts'

async function notesOf(name: string, known: readonly string[]): Promise<readonly string[]> {
  const recorded = recordingReport()
  await noteNewName(name, {store: {list: () => Promise.resolve(known)}, report: recorded.report})
  return recorded.of('note').map(({text}) => text)
}

test('a name that is new beside known ones is noted, as it may be mistyped', async () => {
  expect(await notesOf('dmo', ['demo', 'lab'])).toEqual([
    'dmo is a new cluster: it has no record here; recorded clusters: demo, lab',
  ])
  expect(await notesOf('demo', ['demo', 'lab'])).toEqual([])
  expect(await notesOf('demo', [])).toEqual([])
})
