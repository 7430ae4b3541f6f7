import {execFile, spawn} from 'node:child_process'
import {once} from 'node:events'
import {mkdir, readFile} from 'node:fs/promises'
import {createServer} from 'node:net'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {ensureSshKey} from '../../src/infrastructure/providers/ssh-key.ts'
import {waitFor} from '../../src/base/waiting.ts'
import {withTempFolder} from './temp-folder.ts'
import {ensureVmImage, makeDisk, type VmImage} from './vm-image.ts'

// An emulated processor is 10 to 30 times slower than a real one, and shares that with whatever else runs.
const IMAGE_TIMEOUT_MS = 1_800_000
const BOOT_TIMEOUT_MS = 1_200_000
const COMMAND_TIMEOUT_MS = 1_200_000
const call = promisify(execFile)
const {signal} = new AbortController()

/** An emulated machine with a kernel of its own. */
export interface Vm {
  /** Standard output of a bash text that must succeed, as root. */
  read(script: string): Promise<string>
}

/** Gives a machine with a second disk, `/dev/nvme1n1`, of what `fill` put into a folder; switched off after. */
export async function withVm(
  fill: (folder: string) => Promise<void>,
  body: (vm: Vm) => Promise<void>,
): Promise<void> {
  const image = await ensureVmImage(AbortSignal.timeout(IMAGE_TIMEOUT_MS))
  await withTempFolder(async (dir) => {
    const tools = join(dir, 'tools')
    await mkdir(tools)
    await fill(tools)
    const toolsDisk = join(dir, 'tools.raw')
    await makeDisk(tools, toolsDisk, '1G', AbortSignal.timeout(IMAGE_TIMEOUT_MS))
    const keyPath = join(dir, 'id_ed25519')
    const key = await ensureSshKey(keyPath)
    const port = await freePort()
    const console = join(dir, 'console')
    const words = machineWords({image, toolsDisk, key, port, console})
    const machine = spawn('nice', ['-n', '5', 'qemu-system-x86_64', ...words], {
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    const ended = once(machine, 'close')
    try {
      const vm = {read: (script: string) => overSsh({keyPath, port, script})}
      await waitForBoot(vm, console, () => machine.exitCode)
      await body(vm)
    } finally {
      machine.kill('SIGKILL')
      await ended
    }
  })
}

interface MachineParts {
  readonly image: VmImage
  readonly toolsDisk: string
  /** Public key that lets root in. */
  readonly key: string
  /** Of this machine, where its sshd is reached. */
  readonly port: number
  readonly console: string
}

function machineWords({image, toolsDisk, key, port, console}: MachineParts): readonly string[] {
  const credential = Buffer.from(`${key}\n`).toString('base64')
  const kernelWords = [
    'root=/dev/nvme0n1 rw console=ttyS0 net.ifnames=0 mitigations=off panic=-1 systemd.firstboot=off systemd.hostname=vm',
    'ip=10.0.2.15::10.0.2.2:255.255.255.0:vm:eth0:none',
    `systemd.set_credential_binary=ssh.authorized_keys.root:${credential}`,
  ]
  return [
    ['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-serial', `file:${console}`],
    // One processor: the kernel writes over its own code while it runs, and of two emulated ones one may trip over it.
    // Not by the processor's virtualisation: inside of another virtual machine that is absent, or half there.
    ['-accel', 'tcg,thread=multi', '-cpu', 'max', '-m', '2048'],
    ['-kernel', image.kernel, '-append', kernelWords.join(' ')],
    // The kernel has NVMe and ext4 built in, so it needs no initial RAM disk. What is written goes with the process.
    ['-drive', `if=none,id=root,file=${image.disk},format=raw,snapshot=on,cache=unsafe`],
    ['-device', 'nvme,drive=root,serial=root'],
    ['-drive', `if=none,id=tools,file=${toolsDisk},format=raw,readonly=on`],
    ['-device', 'nvme,drive=tools,serial=tools', '-device', 'virtio-rng-pci'],
    ['-netdev', `user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:${port}-:22`],
    ['-device', 'virtio-net-pci,netdev=net'],
  ].flat()
}

async function overSsh(parts: {keyPath: string; port: number; script: string}): Promise<string> {
  const {keyPath, port, script} = parts
  const options = [
    'StrictHostKeyChecking=no',
    'UserKnownHostsFile=/dev/null',
    'LogLevel=ERROR',
    'BatchMode=yes',
  ]
  const words = [...options, 'ConnectTimeout=120'].flatMap((option) => ['-o', option])
  const argv = [...words, '-i', keyPath, '-p', String(port), 'root@127.0.0.1', script]
  return (await call('ssh', argv, {timeout: COMMAND_TIMEOUT_MS})).stdout
}

async function waitForBoot(vm: Vm, console: string, exitCode: () => number | null): Promise<void> {
  const check = async () => {
    if (exitCode() !== null) throw new Error(`the emulator ended with exit code ${exitCode()}`)
    const seen = await vm.read('systemctl is-system-running || true').catch(String)
    return /^(running|degraded)\n$/.test(seen) ? {value: true, seen} : {seen}
  }
  const what = 'the machine to boot'
  try {
    await waitFor({what, check, timeoutMs: BOOT_TIMEOUT_MS, intervalMs: 2000, signal})
  } catch (error) {
    const log = await readFile(console, 'latin1').catch(() => '')
    throw new Error(`${String(error)}; its console: ${log.slice(-2000)}`, {cause: error})
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  if (address === null || typeof address === 'string') throw new Error('a port was wanted')
  return address.port
}
