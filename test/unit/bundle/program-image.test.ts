import {join} from 'node:path'
import {expect, test} from 'vitest'
import {nodeVersion, programDigest} from '../../../src/bundle/program-image.ts'
import {NODE_RECIPE} from '../../../src/bundle/debian-recipes.ts'
import type {DebianPackage} from '../../../src/bundle/debian.ts'
import {temporaryFolder} from '../../support/tiny-bundle.ts'

const nodejs = (version: string): readonly DebianPackage[] => [
  {name: 'nodejs', version, suite: 'testing', sizeBytes: 1, sha256: '0'.repeat(64)},
]

test.each(['24.21.0+dfsg+~cs24.13.4-1', '22.15.0-1', '22.20.1'])(
  'Node.js %s runs the programs',
  (version) => {
    expect(nodeVersion(nodejs(version))).toBe(version)
  },
)

test.each(['22.14.0-1', '20.19.2+dfsg-1', '18.20.4'])('Node.js %s is too old for them', (version) => {
  expect(() => nodeVersion(nodejs(version))).toThrow(`nodejs is ${version}, 22.15 or newer is required`)
})

test('a suite without Node.js is no base for them', () => {
  expect(() => nodeVersion([])).toThrow('nodejs is absent')
})

test('programs that are not built yet are named, with what builds them', async () => {
  await using folder = await temporaryFolder()
  const context = {
    arch: 'amd64',
    kubernetes: '1.35.4',
    workDir: folder.dir,
    packageRoot: folder.dir,
    environment: {},
    signal: new AbortController().signal,
    progress: () => undefined,
  } as const
  const recipe = {program: 'dist/programs/cluster.js', path: 'x', tools: NODE_RECIPE, entrypoint: []}
  await expect(programDigest(recipe, context)).rejects.toMatchObject({
    code: 'BUILD_FAILED',
    message: `${join(folder.dir, 'dist/programs/cluster.js')} does not exist: the programs of the cluster are not built`,
    suggestions: ['npm run build'],
  })
})
