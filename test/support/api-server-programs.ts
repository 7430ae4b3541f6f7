import {execFile} from 'node:child_process'
import {createReadStream, createWriteStream, existsSync} from 'node:fs'
import {chmod, mkdir, mkdtemp, readFile, rename, rm, stat, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {pipeline} from 'node:stream/promises'
import {promisify} from 'node:util'
import {createGunzip, createZstdDecompress} from 'node:zlib'
import {extract} from 'tar-stream'
import {stringify} from 'yaml'
import {z} from 'zod'
import {lockCache} from '../../src/bundle/build-lock.ts'
import type {Bundle} from '../../src/bundle/types.ts'

/** A third of what kubeadm's certificates are valid for. */
const CREDENTIALS_MAX_AGE_MS = 120 * 86_400_000
const {signal} = new AbortController()
const manifestSchema = z.looseObject({
  layers: z.array(z.looseObject({mediaType: z.string(), digest: z.string()})),
})

export type Program = 'etcd' | 'kube-apiserver' | 'kube-controller-manager'

export interface ControlPlaneFiles {
  /** Path of a program. */
  readonly programs: Readonly<Record<Program, string>>
  /** Folder with kubeadm's certificates. */
  readonly pki: string
  /** Of a member of system:masters; its server is an address of documentation. */
  readonly kubeconfig: string
}

/**
 * What a control plane is run from as processes, out of a bundle: programs unpacked once for each digest, certificates
 * made once, both kept below `cacheDir`.
 */
export async function controlPlaneFiles(bundle: Bundle, cacheDir: string): Promise<ControlPlaneFiles> {
  const dir = join(cacheDir, 'control-plane')
  await mkdir(dir, {recursive: true, mode: 0o700})
  await using _lock = await lockCache(dir, bundle.lock.arch, signal, () => undefined)
  const kubeadm = await kept(dir, `kubeadm-${kubeadmOf(bundle).sha256}`, async (path) => {
    const file = join(bundle.dir, kubeadmOf(bundle).path)
    await pipeline(createReadStream(file), createGunzip(), createWriteStream(path, {mode: 0o755}))
  })
  const program = (name: Program): Promise<string> => {
    const {manifestDigest} = imageOf(bundle, name)
    return kept(dir, `${name}-${manifestDigest.replace('sha256:', '')}`, (path) =>
      unpackFromImage(bundle, name, path),
    )
  }
  const [etcd, apiServer, controllerManager] = await Promise.all([
    program('etcd'),
    program('kube-apiserver'),
    program('kube-controller-manager'),
  ])
  const credentials = await kept(
    dir,
    `credentials-${kubeadmOf(bundle).sha256}`,
    (path) => makeCredentials(kubeadm, bundle.lock.kubernetes, path),
    CREDENTIALS_MAX_AGE_MS,
  )
  return {
    programs: {etcd, 'kube-apiserver': apiServer, 'kube-controller-manager': controllerManager},
    pki: join(credentials, 'pki'),
    kubeconfig: await readFile(join(credentials, 'super-admin.conf'), 'utf8'),
  }
}

/** Gives what has a name in a folder, made beside it first when it is missing or too old. */
async function kept(
  dir: string,
  name: string,
  make: (path: string) => Promise<void>,
  maxAgeMs = Infinity,
): Promise<string> {
  const path = join(dir, name)
  if (existsSync(path) && Date.now() - (await stat(path)).mtimeMs < maxAgeMs) return path
  const partial = await mkdtemp(join(dir, '.partial-'))
  try {
    await make(join(partial, name))
    await rm(path, {recursive: true, force: true})
    await rename(join(partial, name), path)
  } finally {
    await rm(partial, {recursive: true, force: true})
  }
  return path
}

function kubeadmOf(bundle: Bundle) {
  const found = bundle.lock.files.find(({name}) => name === 'kubeadm')
  if (found === undefined) throw new Error(`the bundle ${bundle.dir} has no kubeadm`)
  return found
}

function imageOf(bundle: Bundle, name: string) {
  const found = bundle.lock.images.find((image) => image.name === name)
  if (found === undefined) throw new Error(`the bundle ${bundle.dir} has no image ${name}`)
  return found
}

/** Takes the program that an image is named after out of its layers. */
async function unpackFromImage(bundle: Bundle, name: Program, path: string): Promise<void> {
  const blob = (digest: string): string => join(bundle.dir, 'oci/blobs', digest.replace(':', '/'))
  const manifest = await readFile(blob(imageOf(bundle, name).manifestDigest), 'utf8')
  for (const {mediaType, digest} of manifestSchema.parse(JSON.parse(manifest)).layers) {
    const tar = extract()
    const unpacked = (async () => {
      for await (const entry of tar) {
        if (!entry.header.name.endsWith(`/${name}`) || entry.header.type !== 'file') entry.resume()
        else await pipeline(entry, createWriteStream(path))
      }
    })()
    const decompress = mediaType.endsWith('+zstd') ? createZstdDecompress() : createGunzip()
    await pipeline(createReadStream(blob(digest)), decompress, tar)
    await unpacked
  }
  await chmod(path, 0o755)
}

/** kubeadm makes the certificates as on a control plane. */
async function makeCredentials(kubeadm: string, kubernetes: string, dir: string): Promise<void> {
  await mkdir(dir, {recursive: true})
  const config = join(dir, 'kubeadm.yaml')
  const pki = join(dir, 'pki')
  const documents = [
    {
      kind: 'InitConfiguration',
      // Of documentation: kubeadm takes no loopback address, and the name in the certificate is what counts.
      localAPIEndpoint: {advertiseAddress: '192.0.2.1'},
      nodeRegistration: {criSocket: 'unix:///run/none.sock'},
    },
    {kind: 'ClusterConfiguration', kubernetesVersion: `v${kubernetes}`, certificatesDir: pki},
  ]
  const text = documents.map((document) => stringify({apiVersion: 'kubeadm.k8s.io/v1beta4', ...document}))
  await writeFile(config, text.join('---\n'))
  const phase = async (...args: string[]): Promise<unknown> =>
    promisify(execFile)(kubeadm, ['init', 'phase', ...args])
  for (const name of ['ca', 'apiserver']) await phase('certs', name, `--config=${config}`)
  await phase('certs', 'sa', `--cert-dir=${pki}`)
  await phase('kubeconfig', 'super-admin', `--kubeconfig-dir=${dir}`, `--config=${config}`)
}
