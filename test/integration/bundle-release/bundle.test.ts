import {mkdtemp, rm, writeFile} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {expect, onTestFinished, test} from 'vitest'
import {buildBundle} from '../../../src/bundle/build.ts'
import {expectedReferences} from '../../../src/bundle/catalogue.ts'
import {releaseSource} from '../../../src/bundle/release-source.ts'
import {itemsOf} from '../../../src/bundle/load.ts'
import type {BundleSource, ProducedBlob} from '../../../src/bundle/source.ts'
import type {Arch} from '../../../src/bundle/types.ts'
import {verifyBundle} from '../../../src/bundle/verify.ts'
import {publishedContent, sha256Of} from '../../support/release-content.ts'
import {startReleaseServer} from '../../support/release-server.ts'

const KUBERNETES = '1.35.4'
const {signal} = new AbortController()

/** Stands for the go source, which would compile: small content for what the release source lacks. */
function smallSource(dir: string, asked: string[]): BundleSource {
  const made = {source: 'made here', version: '1', packages: []}
  const blob = async (text: string): Promise<ProducedBlob> => {
    const path = join(dir, sha256Of(Buffer.from(text)))
    await writeFile(path, text)
    const digest = `sha256:${sha256Of(Buffer.from(text))}`
    return {path, digest, sizeBytes: text.length, mediaType: 'application/vnd.oci.image.manifest.v1+json'}
  }
  return {
    kind: 'go',
    reachable: () => Promise.resolve(true),
    has: () => true,
    inputs: () => Promise.resolve([]),
    file: async ({name}) => (asked.push(name), {...made, path: (await blob(`file ${name}`)).path}),
    image: async ({name}) => (
      asked.push(name),
      {...made, manifest: await blob(`{"image": "${name}"}`), blobs: []}
    ),
  }
}

test.for<Arch>(['amd64', 'arm64'])(
  'a bundle of published items for %s is whole, and made once',
  async (arch) => {
    const home = await mkdtemp(join(tmpdir(), 'clouder-release-'))
    const server = await startReleaseServer(await publishedContent(KUBERNETES))
    onTestFinished(async () => {
      await server[Symbol.asyncDispose]()
      await rm(home, {recursive: true})
    })
    const made: string[] = []
    const sources = {
      release: () => releaseSource({baseUrls: server.baseUrls}),
      go: () => smallSource(home, made),
    }
    const places = {
      dir: join(home, 'bundle'),
      cacheDir: join(home, 'cache'),
      packageRoot: join(import.meta.dirname, '../../..'),
    }
    const options = {
      ...places,
      kubernetes: KUBERNETES,
      arch,
      environment: {},
      report: () => undefined,
      signal,
      sources,
    }
    const bundle = await buildBundle({...options, source: 'auto'})
    await verifyBundle(bundle, {references: expectedReferences(KUBERNETES), signal})
    expect(made.toSorted()).toEqual([
      'cert-manager-crds',
      'clouder',
      'clouder-files',
      'clouder-restore',
      'criu',
      'gateway-api-crds',
      'host-tools',
      'metallb-crds',
      'shell',
      'smoke',
      'traefik-crds',
      'volume-snapshot-crds',
    ])
    const sourcesOf = itemsOf(bundle.lock).map(({name, source}) => `${name} ${source}`)
    expect(sourcesOf.filter((line) => line.endsWith('made here'))).toHaveLength(made.length)
    server.seen.length = 0
    await buildBundle({...options, source: 'release'})
    expect(server.seen).toEqual([])
  },
)
