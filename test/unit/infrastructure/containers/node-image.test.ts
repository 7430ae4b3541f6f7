import {mkdir, readdir, writeFile} from 'node:fs/promises'
import {dirname, join} from 'node:path'
import {zstdCompressSync} from 'node:zlib'
import {expect, test} from 'vitest'
import {ensureNodeImage, hasNodeImage} from '../../../../src/infrastructure/containers/node-image.ts'
import {
  NODE_IMAGE_LABEL,
  nodeImageRecipe,
} from '../../../../src/infrastructure/containers/node-image-recipe.ts'
import {InfrastructureError} from '../../../../src/infrastructure/errors.ts'
import {fakeEngine, type FakeEngine} from '../../../support/fake-engine.ts'
import {recordingReport} from '../../../support/recording-report.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const renderer = {
  render: (name: string, view: Readonly<Record<string, unknown>>) => `${name} ${JSON.stringify(view)}`,
}
const recipe = nodeImageRecipe('debian-13', renderer)

const withBench =
  (
    use: (bench: {
      engine: FakeEngine
      dir: string
      ensure: () => Promise<string>
      made: string[]
      texts: () => readonly string[]
    }) => Promise<void>,
  ) =>
  () =>
    withTempFolder(async (dir) => {
      const engine = fakeEngine()
      const recorded = recordingReport()
      const made: string[] = []
      const ensure = () =>
        ensureNodeImage({
          engine,
          os: 'debian-13',
          renderer,
          cacheDir: dir,
          environment: {},
          report: recorded.report,
          signal: AbortSignal.timeout(5000),
          makeRootfs: async ({file}) => {
            made.push(file)
            await mkdir(dirname(file), {recursive: true})
            await writeFile(file, zstdCompressSync('a tar'))
          },
        })
      await use({engine, dir, ensure, made, texts: () => recorded.of('task-done').map(({text = ''}) => text)})
    })

test('a recipe’s tag holds the operating system and the hash of its content', () => {
  expect(recipe.tag).toBe(`clouder-node:debian-13-${recipe.hash.slice(0, 12)}`)
  expect(nodeImageRecipe('debian-13', renderer)).toEqual(recipe)
  expect(nodeImageRecipe('debian-12', renderer).hash).not.toBe(recipe.hash)
  expect(nodeImageRecipe('debian-13', {render: () => 'changed'}).hash).not.toBe(recipe.hash)
})

test(
  'where no registry answers the image is made of packages once, and its file serves an engine that lost it',
  withBench(async ({engine, ensure, made, texts}) => {
    expect(await ensure()).toBe(recipe.tag)
    expect(await hasNodeImage({engine, os: 'debian-13', renderer})).toBe(true)
    expect(await ensure()).toBe(recipe.tag)
    expect(engine.changes).toEqual([`importImage ${recipe.tag}`])
    await engine.removeImage(recipe.tag)
    await ensure()
    expect(made).toHaveLength(1)
    expect(texts()).toEqual([`${recipe.tag}, from Debian packages`, `${recipe.tag}, from the cache`])
  }),
)

test(
  'where the base image is at hand the image is built from the Dockerfile',
  withBench(async ({engine, ensure, made}) => {
    engine.addImage('debian:13', {})
    await ensure()
    expect(engine.changes).toEqual([`buildImage ${recipe.tag}`])
    expect(made).toEqual([])
  }),
)

test(
  'a cached file that cannot be unpacked is thrown away and made again',
  withBench(async ({dir, ensure, made}) => {
    const file = join(dir, 'node-images', `clouder-node-debian-13-${recipe.hash.slice(0, 12)}.tar.zst`)
    await mkdir(dirname(file), {recursive: true})
    await writeFile(file, 'half a file')
    await ensure()
    expect(made).toEqual([file])
    expect(await readdir(dirname(file))).toHaveLength(1)
  }),
)

test(
  'an image of the right name with another recipe’s label is made again',
  withBench(async ({engine, ensure}) => {
    engine.addImage(recipe.tag, {[NODE_IMAGE_LABEL]: 'old'})
    await ensure()
    expect((await engine.findImage(recipe.tag))?.labels).toEqual({[NODE_IMAGE_LABEL]: recipe.hash})
  }),
)

test('a failure is told once, with its message, and thrown', async () => {
  await withTempFolder(async (dir) => {
    const recorded = recordingReport()
    const failure = new InfrastructureError('NODE_IMAGE_FAILED', 'mmdebstrap is not installed')
    await expect(
      ensureNodeImage({
        engine: fakeEngine(),
        os: 'debian-12',
        renderer,
        cacheDir: dir,
        environment: {},
        report: recorded.report,
        signal: AbortSignal.timeout(5000),
        makeRootfs: () => Promise.reject(failure),
      }),
    ).rejects.toBe(failure)
    expect(recorded.of('task-failed')).toMatchObject([{message: 'mmdebstrap is not installed'}])
  })
})
