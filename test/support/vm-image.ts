import {spawn} from 'node:child_process'
import {createHash} from 'node:crypto'
import {createReadStream} from 'node:fs'
import {access, copyFile, mkdir, mkdtemp, readdir, rename, rm} from 'node:fs/promises'
import {join} from 'node:path'
import {pipeline} from 'node:stream/promises'
import {createZstdDecompress} from 'node:zlib'
import {nodeImageRecipe} from '../../src/infrastructure/containers/node-image-recipe.ts'
import {makeRootfs} from '../../src/infrastructure/containers/node-rootfs.ts'
import {localOptions} from './with-engine.ts'

/** What a virtual machine boots from. */
export interface VmImage {
  readonly kernel: string
  /** ext4, without a partition table. */
  readonly disk: string
}

/** What Debian's cloud images have and a container has no use for. */
const MACHINE_PACKAGES = ['linux-image-cloud-amd64', 'udev', 'systemd-resolved', 'libpam-systemd']
/** Debian leaves them off; the address come with the kernel's command line. */
const ENABLE = 'systemctl enable systemd-networkd systemd-network-generator'
const DISK_SIZE = '12G'

/**
 * The disk and kernel of a Debian 13 machine: the recipe of local nodes with Debian's own kernel, and without the masks
 * that containers need. Made once, by root, and kept in the cache.
 */
export async function ensureVmImage(signal: AbortSignal): Promise<VmImage> {
  const {renderer, cacheDir} = localOptions()
  const base = nodeImageRecipe('debian-13', renderer)
  const customise = `${renderer.render('node-image/customise.sh', {maskedUnits: []})}\n${ENABLE}\n`
  const recipe = {
    ...base,
    packages: [...base.packages, ...MACHINE_PACKAGES],
    customise: {...base.customise, content: customise},
  }
  const hash = createHash('sha256')
    .update(JSON.stringify([recipe, DISK_SIZE]))
    .digest('hex')
  const folder = join(cacheDir, 'test', `vm-${hash.slice(0, 12)}`)
  const image = {kernel: join(folder, 'vmlinuz'), disk: join(folder, 'disk.raw')}
  if (await isThere(folder)) return image
  await mkdir(join(cacheDir, 'test'), {recursive: true})
  const work = await mkdtemp(join(cacheDir, 'test', 'work-vm-'))
  try {
    const packed = join(work, 'rootfs.tar.zst')
    await makeRootfs({recipe, file: packed, environment: process.env, signal, onLine: () => undefined})
    const made = join(work, 'made')
    const root = join(work, 'root')
    await mkdir(made)
    await mkdir(root)
    const tar = spawn('tar', ['-x', '-C', root], {stdio: ['pipe', 'ignore', 'inherit'], signal})
    await Promise.all([
      pipeline(createReadStream(packed), createZstdDecompress(), tar.stdin, {signal}),
      ended('tar', tar),
    ])
    const kernel = (await readdir(join(root, 'boot'))).find((name) => name.startsWith('vmlinuz-'))
    if (kernel === undefined) throw new Error('the root file system has no kernel')
    await copyFile(join(root, 'boot', kernel), join(made, 'vmlinuz'))
    await makeDisk(root, join(made, 'disk.raw'), DISK_SIZE, signal)
    await rename(made, folder)
  } finally {
    await rm(work, {recursive: true, force: true})
  }
  return image
}

/** An ext4 file system of what a folder holds, in a sparse file. */
export async function makeDisk(
  folder: string,
  file: string,
  size: string,
  signal: AbortSignal,
): Promise<void> {
  const argv = ['-q', '-F', '-d', folder, file, size]
  await ended('mkfs.ext4', spawn('mkfs.ext4', argv, {stdio: ['ignore', 'ignore', 'inherit'], signal}))
}

function ended(program: string, child: ReturnType<typeof spawn>): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => {
      if (code === 0) resolve()
      else reject(new Error(`${program} exited with code ${code ?? 'none'}`))
    })
  })
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
