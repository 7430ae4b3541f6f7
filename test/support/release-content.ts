import {createHash} from 'node:crypto'
import {buffer} from 'node:stream/consumers'
import {gzipSync} from 'node:zlib'
import {pack} from 'tar-stream'
import {catalogueFor} from '../../src/bundle/catalogue.ts'
import type {CatalogueFile, CatalogueImage} from '../../src/bundle/catalogue-items.ts'

export interface Published {
  readonly body: Buffer
  /** Of a manifest; its digest is sent as a header then. */
  readonly mediaType?: string
  readonly redirected?: boolean
}

export type Arch = 'amd64' | 'arm64'
const ARCHES: readonly Arch[] = ['amd64', 'arm64']

const INDEX = 'application/vnd.oci.image.index.v1+json'
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
const DOCKER_INDEX = 'application/vnd.docker.distribution.manifest.list.v2+json'
const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json'

/** Bytes that differ per name and cannot be compressed: a stand-in for a published file. */
export function contentOf(name: string, sizeBytes: number): Buffer {
  return createHash('shake256', {outputLength: sizeBytes}).update(name).digest()
}

export const sha256Of = (content: Uint8Array) => createHash('sha256').update(content).digest('hex')

/** Content of a program as the server publishes it, inside an archive or not. */
export const programOf = (name: string, arch: Arch) => contentOf(`${name} ${arch}`, 300_000)

/** Everything a release host and a registry publish for the catalogue of a Kubernetes version, by path. */
export async function publishedContent(kubernetes: string): Promise<ReadonlyMap<string, Published>> {
  return new Map([...(await publishRelease(kubernetes)), ...publishImages(kubernetes)])
}

/** The files of dl.k8s.io and GitHub releases with their checksum files, each in the format its project uses. */
async function publishRelease(kubernetes: string): Promise<Map<string, Published>> {
  const {files, tools} = catalogueFor(kubernetes)
  const published = new Map<string, Published>()
  const add = (path: string, body: Buffer) => published.set(path, {body, redirected: true})
  const text = (path: string, content: string) => published.set(path, {body: Buffer.from(content)})
  for (const arch of ARCHES) {
    for (const name of ['kubeadm', 'kubelet', 'kubectl']) {
      const path = `/dl/release/v${kubernetes}/bin/linux/${arch}/${name}`
      add(path, programOf(name, arch))
      text(`${path}.sha256`, sha256Of(programOf(name, arch)))
    }
    const containerd = versionOf(files, 'containerd')
    const programs = ['containerd', 'containerd-shim-runc-v2', 'ctr', 'containerd-stress']
    const tarball = `containerd-${containerd}-linux-${arch}.tar.gz`
    const members = programs.map((name) => ({name: `bin/${name}`, content: programOf(name, arch)}))
    const archive = await tarGz([{name: 'bin/'}, ...members])
    const folder = `/github/containerd/containerd/releases/download/v${containerd}`
    add(`${folder}/${tarball}`, archive)
    text(`${folder}/${tarball}.sha256sum`, `${sha256Of(archive)}  ${tarball}\n`)
    await publishPlugins(files, arch, {add, text})
    const helm = `helm-v${versionOf(tools, 'helm')}-linux-${arch}.tar.gz`
    const program = {name: `linux-${arch}/helm`, content: programOf('helm', arch)}
    const packed = await tarGz([{name: `linux-${arch}/`}, program])
    add(`/helm/${helm}`, packed)
    text(`/helm/${helm}.sha256sum`, `${sha256Of(packed)}  ${helm}\n`)
  }
  const runc = `/github/opencontainers/runc/releases/download/v${versionOf(files, 'runc')}`
  for (const arch of ARCHES) add(`${runc}/runc.${arch}`, programOf('runc', arch))
  const sums = ARCHES.map((arch) => `${sha256Of(programOf('runc', arch))} *runc.${arch}\n`)
  text(`${runc}/runc.sha256sum`, `${'0'.repeat(64)}  runc.386\n${sums.join('')}`)
  return published
}

async function publishPlugins(
  files: readonly CatalogueFile[],
  arch: Arch,
  publish: {add: (path: string, body: Buffer) => unknown; text: (path: string, content: string) => unknown},
): Promise<void> {
  const item = files.find(({name}) => name === 'cni-plugins')
  if (item?.recipe.from !== 'go') throw new Error('the catalogue has no CNI plugins')
  const file = `cni-plugins-linux-${arch}-v${item.version}.tgz`
  const programs = item.recipe.binaries.map((name) => ({name: `./${name}`, content: programOf(name, arch)}))
  const archive = await tarGz([
    {name: './'},
    {name: './LICENSE', content: Buffer.from('a licence')},
    ...programs,
  ])
  const folder = `/github/containernetworking/plugins/releases/download/v${item.version}`
  publish.add(`${folder}/${file}`, archive)
  publish.text(`${folder}/${file}.sha256`, `${sha256Of(archive)}  ${file}\n`)
}

/** Every catalogue image that somebody publishes, as index, manifest, configuration and two layers per architecture. */
function publishImages(kubernetes: string): Map<string, Published> {
  const published = new Map<string, Published>()
  for (const image of catalogueFor(kubernetes).images) {
    if (!image.reference.startsWith('clouder.dev/')) publishImage(published, image, ARCHES)
  }
  return published
}

/** Publishes, or publishes anew, one image for some architectures; the layout of Docker's types when asked for. */
export function publishImage(
  published: Map<string, Published>,
  image: Pick<CatalogueImage, 'reference' | 'name'>,
  arches: readonly Arch[],
  options: {docker?: boolean; withoutIndex?: boolean} = {},
): void {
  const {folder, tag} = placeOf(image.reference)
  const manifests = arches.map((arch) => {
    const body = publishManifest(published, folder, image.name, arch, options.docker === true)
    const mediaType = options.docker === true ? DOCKER_MANIFEST : MANIFEST
    const digest = `sha256:${sha256Of(body)}`
    published.set(`${folder}/manifests/${digest}`, {body, mediaType})
    if (options.withoutIndex === true) published.set(`${folder}/manifests/${tag}`, {body, mediaType})
    const platform = {os: 'linux', architecture: arch, ...(arch === 'arm64' ? {variant: 'v8'} : {})}
    return {mediaType, digest, size: body.length, platform}
  })
  if (options.withoutIndex === true) return
  const attestation = {
    ...{mediaType: MANIFEST, digest: `sha256:${'0'.repeat(64)}`, size: 1},
    platform: {os: 'unknown', architecture: 'unknown'},
  }
  const mediaType = options.docker === true ? DOCKER_INDEX : INDEX
  const index = {schemaVersion: 2, mediaType, manifests: [attestation, ...manifests]}
  published.set(`${folder}/manifests/${tag}`, {
    body: Buffer.from(JSON.stringify(index, undefined, 3)),
    mediaType,
  })
}

function publishManifest(
  published: Map<string, Published>,
  folder: string,
  name: string,
  arch: Arch,
  docker: boolean,
): Buffer {
  const blob = (mediaType: string, body: Buffer) => {
    const digest = `sha256:${sha256Of(body)}`
    published.set(`${folder}/blobs/${digest}`, {body, redirected: true})
    return {mediaType, size: body.length, digest}
  }
  const kind = docker ? 'application/vnd.docker' : 'application/vnd.oci'
  const layerType = docker ? `${kind}.image.rootfs.diff.tar.gzip` : `${kind}.image.layer.v1.tar+gzip`
  const config = Buffer.from(
    JSON.stringify({architecture: arch, os: 'linux', config: {Entrypoint: [`/${name}`]}}),
  )
  const manifest = {
    schemaVersion: 2,
    mediaType: docker ? DOCKER_MANIFEST : MANIFEST,
    config: blob(docker ? `${kind}.container.image.v1+json` : `${kind}.image.config.v1+json`, config),
    // The lower layer is the same in every image, as with a common base.
    layers: [
      blob(layerType, gzipSync(contentOf(`base ${arch}`, 200_000))),
      blob(layerType, gzipSync(contentOf(`${name} ${arch}`, 400_000))),
    ],
  }
  // Odd white space: whoever parses and prints it anew changes its digest.
  return Buffer.from(`${JSON.stringify(manifest, undefined, 5)}\n\n`)
}

/** Where the server keeps an image: the folder of its repository. */
export function placeOf(reference: string): {folder: string; tag: string} {
  const [, host = '', repository = '', tag = ''] = /^([^/]+)\/(.+):([^:]+)$/.exec(reference) ?? []
  return {folder: `/registry/${host}/v2/${repository}`, tag}
}

export async function tarGz(members: readonly {name: string; content?: Buffer}[]): Promise<Buffer> {
  const tar = pack()
  for (const {name, content} of members) {
    if (content === undefined) tar.entry({name, type: 'directory'})
    else tar.entry({name, mode: 0o755}, content)
  }
  tar.finalize()
  return gzipSync(await buffer(tar))
}

function versionOf(files: readonly Pick<CatalogueFile, 'name' | 'version'>[], name: string): string {
  const found = files.find((file) => file.name === name)
  if (found === undefined) throw new Error(`the catalogue has no ${name}`)
  return found.version
}
