import {expect, test} from 'vitest'
import {ConfigError} from '../../../src/base/errors.ts'
import {documentOf, loadSpec, specFromDocument} from '../../../src/spec/load.ts'

const HEAD = 'apiVersion: clouder.dev/v1alpha1\nkind: Cluster\nmetadata: {name: demo}\n'
const problemsIn = (spec: string): unknown => {
  try {
    loadSpec({text: `${HEAD}spec: ${spec}`})
    return []
  } catch (error) {
    return error instanceof ConfigError ? error.problems : error
  }
}

test.each([
  [
    'checkpoint: {store: {node: {}, retention: {maxAge: 7d}}}',
    'maxAge',
    'maxAgeSeconds, a number of seconds',
  ],
  [
    'checkpoint: {store: {node: {}, encryption: {awsKms: {keyId: alias/x, region: eu-west-1}}}}',
    'keyId',
    'keyID',
  ],
])('a field by its old name is refused with the new one, and with nothing else: %s', (spec, from, to) => {
  expect(problemsIn(`{${spec}}`)).toEqual([
    {path: expect.stringMatching(`\\.${from}$`) as string, value: undefined, problem: `was renamed to ${to}`},
  ])
})

test('a record that was written with old names is read as if it had the new ones', () => {
  const spec = loadSpec({
    text: `${HEAD}spec: {checkpoint: {store: {node: {}, retention: {maxAgeSeconds: 604800}}}}`,
  })
  const recorded = JSON.stringify(documentOf(spec)).replace('"maxAgeSeconds":604800', '"maxAge":"7d"')
  expect(recorded).toContain('"maxAge":"7d"')
  expect(specFromDocument(JSON.parse(recorded))).toEqual(spec)
})
