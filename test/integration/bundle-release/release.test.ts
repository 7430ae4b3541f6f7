import {mkdtemp, readdir, readFile, rm, stat, writeFile} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {buffer} from 'node:stream/consumers'
import {Readable} from 'node:stream'
import {extract} from 'tar-stream'
import {expect, onTestFinished, test} from 'vitest'
import {catalogueFor} from '../../../src/bundle/catalogue.ts'
import type {CatalogueFile, CatalogueImage} from '../../../src/bundle/catalogue-items.ts'
import {sha256OfFile} from '../../../src/bundle/download.ts'
import {releaseSource} from '../../../src/bundle/release-source.ts'
import type {BundleSource, SourceContext} from '../../../src/bundle/source.ts'
import type {Arch} from '../../../src/bundle/types.ts'
import {BundleError} from '../../../src/bundle/errors.ts'
import {waitFor} from '../../../src/base/waiting.ts'
import {
  contentOf,
  placeOf,
  programOf,
  publishedContent,
  publishImage,
  sha256Of,
} from '../../support/release-content.ts'
import {startReleaseServer, type ReleaseServer} from '../../support/release-server.ts'

const KUBERNETES = '1.35.4'
const {files, images} = catalogueFor(KUBERNETES)
const content = await publishedContent(KUBERNETES)

interface Round {
  readonly server: ReleaseServer
  readonly source: BundleSource
  readonly told: string[]
  context(arch?: Arch, signal?: AbortSignal): SourceContext
}

async function startRound(): Promise<Round> {
  const workDir = await mkdtemp(join(tmpdir(), 'clouder-release-'))
  const server = await startReleaseServer(content)
  onTestFinished(async () => {
    await server[Symbol.asyncDispose]()
    await rm(workDir, {recursive: true})
  })
  const told: string[] = []
  return {
    server,
    told,
    source: newSource(server),
    context: (arch = 'amd64', signal = new AbortController().signal) => ({
      arch,
      kubernetes: KUBERNETES,
      workDir,
      packageRoot: workDir,
      environment: {},
      signal,
      progress: (text) => told.push(text),
    }),
  }
}

function newSource(server: ReleaseServer): BundleSource {
  return releaseSource({
    baseUrls: server.baseUrls,
    http: {retryIntervalMs: 5, attempts: 4, stallMs: 400},
  })
}

function fileNamed(name: string): CatalogueFile {
  const found = files.find((file) => file.name === name)
  if (found === undefined) throw new Error(`no file ${name}`)
  return found
}

function imageNamed(name: string): CatalogueImage {
  const found = images.find((image) => image.name === name)
  if (found === undefined) throw new Error(`no image ${name}`)
  return found
}

/** Every file below the round's folder. */
async function filesIn(round: Round): Promise<readonly string[]> {
  const found = await readdir(round.context().workDir, {recursive: true, withFileTypes: true})
  return found.flatMap((entry) => (entry.isFile() ? [join(entry.parentPath, entry.name)] : []))
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (!(error instanceof BundleError)) throw new Error(`not a BundleError: ${String(error)}`)
  return `${error.code}: ${error.message}`
}

test.for<Arch>(['amd64', 'arm64'])(
  'every item of the catalogue arrives as published for %s',
  async (arch) => {
    const round = await startRound()
    const context = round.context(arch)
    const has = (item: CatalogueFile | CatalogueImage) => round.source.has(item)
    const produced = await Promise.all(
      files.filter(has).map(async (item) => ({item, result: await round.source.file(item, context)})),
    )
    for (const {item, result} of produced) {
      expect(result.source).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/(dl|github)\/.*(amd64|arm64)/)
      expect(result.version).toBe(item.version)
      if (item.kind === 'binary')
        expect(await sha256OfFile(result.path)).toBe(sha256Of(programOf(item.name, arch)))
      else expect(await namesAndDigests(result.path)).toEqual(pluginsOf(item, arch))
    }
    for (const item of images.filter(has)) {
      const {manifest, blobs, source} = await round.source.image(item, context)
      expect(source).toMatch(new RegExp(`^${item.reference.replaceAll('.', '\\.')}@sha256:[0-9a-f]{64}$`))
      const bytes = await readFile(manifest.path)
      // Byte for byte: the digest of what lies here is one that the registry publishes under.
      expect(
        round.server.published.get(`${placeOf(item.reference).folder}/manifests/sha256:${sha256Of(bytes)}`)
          ?.body,
      ).toEqual(bytes)
      expect(manifest).toMatchObject({digest: `sha256:${sha256Of(bytes)}`, sizeBytes: bytes.length})
      expect(blobs).toHaveLength(3)
      for (const blob of blobs) expect(`sha256:${await sha256OfFile(blob.path)}`).toBe(blob.digest)
      const config = JSON.parse(await readFile(blobs[0]?.path ?? '', 'utf8')) as unknown
      expect(config).toMatchObject({architecture: arch, os: 'linux'})
    }
    expect((await filesIn(round)).filter((path) => /\.(part|tmp)$/.test(path))).toEqual([])
  },
)

function pluginsOf(item: CatalogueFile, arch: Arch): Record<string, string> {
  const names = item.recipe.from === 'go' ? item.recipe.binaries : []
  return Object.fromEntries(names.map((name) => [name, sha256Of(programOf(name, arch))]))
}

async function namesAndDigests(tar: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  const entries = extract()
  entries.end(await readFile(tar))
  for await (const entry of entries) found[entry.header.name] = sha256Of(await buffer(Readable.from(entry)))
  return found
}

test('items out of one archive, and images over one base, fetch the common part once', async () => {
  const round = await startRound()
  const context = round.context()
  await Promise.all(
    ['containerd', 'containerd-shim-runc-v2', 'ctr'].map((name) =>
      round.source.file(fileNamed(name), context),
    ),
  )
  const archives = round.server.seen.filter(({path, redirected}) => redirected && path.endsWith('.tar.gz'))
  expect(archives).toHaveLength(1)
  const [first, second] = [imageNamed('kube-apiserver'), imageNamed('kube-scheduler')]
  const pulled = await Promise.all([round.source.image(first, context), round.source.image(second, context)])
  const base = pulled[0].blobs[1]?.digest ?? 'no base'
  expect(pulled[1].blobs[1]?.digest).toBe(base)
  expect(round.server.seen.filter(({path, redirected}) => redirected && path.includes(base))).toHaveLength(1)
})

test('a second round fetches checksums and manifests only', async () => {
  const round = await startRound()
  const items = [fileNamed('kubelet'), fileNamed('containerd')]
  for (const item of items) await round.source.file(item, round.context())
  await round.source.image(imageNamed('etcd'), round.context())
  round.server.seen.length = 0
  const again = newSource(round.server)
  for (const item of items) await again.file(item, round.context())
  await again.image(imageNamed('etcd'), round.context())
  expect(
    round.server.seen.map(({path}) => path.replace(/.*\//, '').replace(/sha256:.*/, 'by digest')),
  ).toEqual(['kubelet.sha256', expect.stringMatching(/sha256sum$/), '3.6.6-0', 'by digest'])
})

test('a file that is not what its checksum says is refused and not left behind', async () => {
  const round = await startRound()
  round.server.faults.push({path: /\/kubelet$/, kind: 'corrupt', times: 9})
  expect(await codeOf(round.source.file(fileNamed('kubelet'), round.context()))).toMatch(
    /^BUNDLE_DIGEST_WRONG: kubelet 1\.35\.4 from http.*has sha256 [0-9a-f]{64}, expected [0-9a-f]{64}$/,
  )
  expect(await filesIn(round)).toEqual([])
})

test('a layer or a manifest that is not what its digest says is refused and not left behind', async () => {
  const round = await startRound()
  const etcd = imageNamed('etcd')
  round.server.faults.push({path: /\/etcd\/manifests\//, kind: 'corrupt'})
  expect(await codeOf(round.source.image(etcd, round.context()))).toMatch(
    /^BUNDLE_DIGEST_WRONG: manifest .*3\.6\.6-0/,
  )
  expect(await filesIn(round)).toEqual([])
  round.server.faults.push({path: /\/etcd\/blobs\//, kind: 'corrupt'})
  expect(await codeOf(round.source.image(etcd, round.context()))).toMatch(
    /^BUNDLE_DIGEST_WRONG: registry\.k8s\.io\/etcd/,
  )
  expect(await filesIn(round)).toEqual([])
})

test('a cached file that was changed on disk is fetched again', async () => {
  const round = await startRound()
  const {path} = await round.source.file(fileNamed('kubectl'), round.context())
  await writeFile(path, 'something else')
  await round.source.file(fileNamed('kubectl'), round.context())
  expect(await sha256OfFile(path)).toBe(sha256Of(programOf('kubectl', 'amd64')))
})

test('a connection cut in the middle goes on where it stopped', async () => {
  const round = await startRound()
  const arrived = (sizeBytes: number) => () =>
    waitFor({
      what: `${sizeBytes} bytes on disk`,
      check: async () =>
        (await partBytes(round)) === sizeBytes ? {value: true, seen: 'all'} : {seen: 'less'},
      timeoutMs: 10_000,
      intervalMs: 5,
      signal: new AbortController().signal,
    })
  for (const sizeBytes of [100_000, 200_000]) {
    round.server.faults.push({
      path: /\/runc\.amd64$/,
      kind: 'cut',
      afterBytes: 100_000,
      when: arrived(sizeBytes),
    })
  }
  const {path} = await round.source.file(fileNamed('runc'), round.context())
  expect(await sha256OfFile(path)).toBe(sha256Of(programOf('runc', 'amd64')))
  expect(round.server.sentBytes(/\/runc\.amd64$/)).toBe(programOf('runc', 'amd64').length)
  const connections = round.server.seen.filter(
    (entry) => entry.redirected && entry.path.endsWith('/runc.amd64'),
  )
  expect(connections.map(({range}) => range)).toEqual([undefined, 'bytes=100000-', 'bytes=200000-'])
})

async function partBytes(round: Round): Promise<number> {
  const parts = (await filesIn(round)).filter((path) => path.endsWith('.part'))
  const sizes = await Promise.all(parts.map(async (path) => (await stat(path)).size))
  return sizes.reduce((sum, size) => sum + size, 0)
}

test('a download ended by the user is continued by the next run', async () => {
  const round = await startRound()
  const controller = new AbortController()
  round.server.faults.push({path: /\/runc\.amd64$/, kind: 'stall', afterBytes: 120_000})
  const context = {
    ...round.context('amd64', controller.signal),
    progress: () => controller.abort(new Error('Ctrl-C')),
  }
  await expect(round.source.file(fileNamed('runc'), context)).rejects.toThrow('Ctrl-C')
  const left = await filesIn(round)
  expect(left).toEqual([expect.stringMatching(/runc\.amd64\.part$/)])
  const kept = (await readFile(left[0] ?? '')).length
  expect(kept).toBeGreaterThan(0)
  const {path} = await newSource(round.server).file(fileNamed('runc'), round.context())
  expect(await sha256OfFile(path)).toBe(sha256Of(programOf('runc', 'amd64')))
  expect(round.server.seen.at(-1)).toMatchObject({range: `bytes=${kept}-`, status: 206})
})

test('what a killed process left is continued, what a living one writes is not touched', async () => {
  const round = await startRound()
  const {path} = await round.source.file(fileNamed('runc'), round.context())
  await rm(path)
  const half = programOf('runc', 'amd64').subarray(0, 150_000)
  await writeFile(`${path}.999999999-0123abcd.part`, half)
  const living = `${path}.${process.pid}-0123abcd.part`
  await writeFile(living, 'of somebody else')
  await round.source.file(fileNamed('runc'), round.context())
  expect(round.server.seen.at(-1)?.range).toBe('bytes=150000-')
  expect(await readFile(living, 'utf8')).toBe('of somebody else')
})

test('a part file of something else is thrown away, not blamed on the server', async () => {
  const round = await startRound()
  const {path} = await round.source.file(fileNamed('runc'), round.context())
  for (const left of [contentOf('another version', 50_000), contentOf('longer', 900_000)]) {
    await rm(path)
    await writeFile(`${path}.part`, left)
    await round.source.file(fileNamed('runc'), round.context())
    expect(await sha256OfFile(path)).toBe(sha256Of(programOf('runc', 'amd64')))
  }
})

test('a server that ignores ranges gives the whole file again', async () => {
  const round = await startRound()
  round.server.faults.push(
    {path: /\/runc\.amd64$/, kind: 'cut', afterBytes: 100_000},
    {path: /\/runc\.amd64$/, kind: 'ignore-range'},
  )
  const {path} = await round.source.file(fileNamed('runc'), round.context())
  expect(await sha256OfFile(path)).toBe(sha256Of(programOf('runc', 'amd64')))
})

test('503 twice is waited out, 503 for ever is SOURCE_UNREACHABLE', async () => {
  const round = await startRound()
  round.server.faults.push(
    {path: /runc/, kind: 'status', status: 503, times: 2},
    {path: /etcd/, kind: 'status', status: 503, times: 2},
  )
  await round.source.file(fileNamed('runc'), round.context())
  await round.source.image(imageNamed('etcd'), round.context())
  round.server.faults.push({path: /kubeadm/, kind: 'status', status: 503, times: 99})
  expect(await codeOf(round.source.file(fileNamed('kubeadm'), round.context()))).toMatch(
    /^SOURCE_UNREACHABLE: http.*kubeadm\.sha256 answered 503$/,
  )
})

test('a connection that brings nothing any more is dropped and continued', async () => {
  const round = await startRound()
  round.server.faults.push({path: /\/runc\.amd64$/, kind: 'stall', afterBytes: 100_000})
  const {path} = await round.source.file(fileNamed('runc'), round.context())
  expect(await sha256OfFile(path)).toBe(sha256Of(programOf('runc', 'amd64')))
  expect(round.server.sentBytes(/\/runc\.amd64$/)).toBe(programOf('runc', 'amd64').length)
})

test('a host that is gone, and a folder that cannot be written, are told apart', async () => {
  const round = await startRound()
  const inFile = {...round.context(), workDir: join(round.context().workDir, 'a-file')}
  await writeFile(inFile.workDir, '')
  expect(await codeOf(round.source.file(fileNamed('runc'), inFile))).toMatch(
    /^BUILD_FAILED: .*cannot be saved: ENOTDIR/,
  )
  await round.server[Symbol.asyncDispose]()
  expect(await codeOf(round.source.file(fileNamed('runc'), round.context()))).toMatch(
    /^SOURCE_UNREACHABLE: http.*runc\.sha256sum cannot be read: ECONN/,
  )
})

test('what is not published is one clear error, at once', async () => {
  const round = await startRound()
  const item = {...fileNamed('kubelet'), version: '1.99.0'}
  expect(await codeOf(round.source.file(item, round.context()))).toMatch(
    /^BUILD_FAILED: .*v1\.99\.0.* answered 404/,
  )
  expect(round.server.seen).toHaveLength(1)
})

test('a registry that asks for a token gets one, and no other host ever sees it', async () => {
  const round = await startRound()
  const flannel = imageNamed('flannel')
  await round.source.image(flannel, round.context())
  const {seen} = round.server
  expect(seen.filter(({path}) => path.startsWith('/token'))).toHaveLength(1)
  expect(seen.find(({path}) => path.startsWith('/token'))?.path).toContain(
    encodeURIComponent('repository:flannel-io/flannel:pull'),
  )
  const redirected = seen.filter((entry) => entry.redirected)
  expect(redirected.length).toBeGreaterThan(2)
  expect(redirected.filter(({authorization}) => authorization !== undefined)).toEqual([])
})

test('a token that ran out is replaced', async () => {
  const round = await startRound()
  const flannel = imageNamed('flannel')
  await round.source.image(flannel, round.context())
  round.server.expireTokens()
  await round.source.image(flannel, round.context('arm64'))
  expect(round.server.seen.filter(({path}) => path.startsWith('/token'))).toHaveLength(2)
})

test('an index without the wanted architecture says which ones there are', async () => {
  const round = await startRound()
  publishImage(round.server.published, imageNamed('etcd'), ['amd64'])
  expect(await codeOf(round.source.image(imageNamed('etcd'), round.context('arm64')))).toBe(
    'BUILD_FAILED: registry.k8s.io/etcd:3.6.6-0 is not published for linux/arm64, only for linux/amd64',
  )
})

test('a tag without an index is taken for its own architecture only', async () => {
  const round = await startRound()
  publishImage(round.server.published, imageNamed('etcd'), ['amd64'], {withoutIndex: true})
  expect((await round.source.image(imageNamed('etcd'), round.context())).blobs).toHaveLength(3)
  expect(await codeOf(round.source.image(imageNamed('etcd'), round.context('arm64')))).toBe(
    'BUILD_FAILED: registry.k8s.io/etcd:3.6.6-0 is for linux/amd64, linux/arm64 was requested',
  )
})

test("an image in Docker's types keeps them", async () => {
  const round = await startRound()
  publishImage(round.server.published, imageNamed('pause'), ['amd64', 'arm64'], {docker: true})
  const {manifest, blobs} = await round.source.image(imageNamed('pause'), round.context())
  expect(manifest.mediaType).toBe('application/vnd.docker.distribution.manifest.v2+json')
  expect(blobs[1]?.mediaType).toBe('application/vnd.docker.image.rootfs.diff.tar.gzip')
})

test('progress names the item, what came and the whole in MB', async () => {
  const round = await startRound()
  await round.source.file(fileNamed('kubelet'), round.context())
  expect(round.told[0]).toMatch(/^kubelet 1\.35\.4: 0\.\d of 0\.3 MB$/)
})

test('it is reachable when both hosts answer as themselves, and only then', async () => {
  const round = await startRound()
  expect(await round.source.reachable(round.context())).toBe(true)
  round.server.faults.push({path: /kubelet\.sha256/, kind: 'corrupt'})
  expect(await round.source.reachable(round.context())).toBe(false)
  round.server.faults.push({path: /kubelet\.sha256/, kind: 'stall', afterBytes: 3})
  const started = performance.now()
  expect(await round.source.reachable(round.context())).toBe(false)
  expect(performance.now() - started).toBeLessThan(3_000)
  await round.server[Symbol.asyncDispose]()
  expect(await round.source.reachable(round.context())).toBe(false)
})

test('it lacks only what nobody publishes for every distribution', async () => {
  const round = await startRound()
  const lacking = [...files, ...images].filter((item) => !round.source.has(item)).map(({name}) => name)
  expect(lacking).toEqual([
    'clouder-restore',
    'clouder-files',
    'criu',
    'host-tools',
    'smoke',
    'clouder',
    'shell',
  ])
  expect(await codeOf(round.source.file(fileNamed('criu'), round.context()))).toMatch(
    /^BUILD_FAILED: criu has no published release/,
  )
  expect(await codeOf(round.source.image(imageNamed('smoke'), round.context()))).toMatch(
    /^BUILD_FAILED: smoke has no published release/,
  )
  expect(round.server.seen).toEqual([])
})

test('its inputs are the public names, wherever the content is fetched from', async () => {
  const round = await startRound()
  expect(await round.source.inputs(fileNamed('kubelet'), round.context('arm64'))).toEqual([
    'https://dl.k8s.io/release/v1.35.4/bin/linux/arm64/kubelet',
  ])
  expect(await round.source.inputs(imageNamed('pause'), round.context())).toEqual([
    'registry.k8s.io/pause:3.10.1',
  ])
})
