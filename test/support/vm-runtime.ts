import {execFile} from 'node:child_process'
import {createReadStream, createWriteStream} from 'node:fs'
import {chmod, mkdir} from 'node:fs/promises'
import {join} from 'node:path'
import {pipeline} from 'node:stream/promises'
import {promisify} from 'node:util'
import {createGunzip} from 'node:zlib'
import {localOptions} from './with-engine.ts'

const run = promisify(execFile)
const VERSION = '1.35.4'

/** Puts containerd, runc and CRIU of the bundle into the folder of a disk. */
export async function fillWithRuntime(folder: string): Promise<void> {
  const files = join(localOptions().cacheDir, 'bundles', `${VERSION}-amd64`, 'files')
  const [bin, criu] = [join(folder, 'bin'), join(folder, 'criu')]
  for (const dir of [bin, criu]) await mkdir(dir)
  for (const name of ['containerd', 'containerd-shim-runc-v2', 'ctr', 'runc']) {
    const path = join(bin, name)
    await pipeline(createReadStream(join(files, `${name}.gz`)), createGunzip(), createWriteStream(path))
    await chmod(path, 0o755)
  }
  await run('tar', ['-xzf', join(files, 'criu.tar.gz'), '-C', criu])
}

/** containerd and what it needs, in a shell of the machine. */
export const START_RUNTIME = `set -euo pipefail
  mountpoint -q /mnt/tools || { mkdir -p /mnt/tools; mount -o ro /dev/nvme1n1 /mnt/tools; }
  export PATH=/mnt/tools/bin:/mnt/tools/criu:$PATH
  if ! ctr version > /dev/null 2>&1; then
    systemd-run --quiet --unit containerd --setenv=PATH="$PATH" -p Delegate=yes containerd --log-level warn
    for _ in $(seq 300); do ctr version > /dev/null 2>&1 && break; sleep 1; done
  fi`
