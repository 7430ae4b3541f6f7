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
  readonly read: (script: string) => Promise<string>
}

/** Gives a machine with a second disk, `/dev/nvme1n1`, of what `fill` put into a folder; switched off after. */
export async function withVm(
  fill: (folder: string) => Promise<void>,
  body: (vm: Vm) => Promise<void>,
): Promise<void> {
  await withTempFolder(async (dir) => {
    const keyPath = join(dir, 'id_ed25519')
    await ensureSshKey(keyPath)
    await using vm = await startVm({name: 'vm', dir, keyPath, fill, network: userNetwork(await freePort())})
    await vm.booted()
    await body(vm)
  })
}

/** How a machine is connected, and how its sshd is reached. */
export interface VmNetwork {
  /** Of the emulator; the interface is named `net`. */
  readonly backend: readonly string[]
  readonly mac: string
  readonly address: string
  readonly gateway: string
  readonly mask: string
  readonly ssh: {readonly host: string; readonly port: number}
}

/** The machine reaches nothing, and only its sshd is reached. */
const userNetwork = (port: number): VmNetwork => ({
  backend: ['-netdev', `user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:${port}-:22`],
  mac: '52:54:00:12:34:56',
  address: '10.0.2.15',
  gateway: '10.0.2.2',
  mask: '255.255.255.0',
  ssh: {host: '127.0.0.1', port},
})

export interface VmOptions {
  /** Its host name. */
  readonly name: string
  /** For its files; must outlive it. */
  readonly dir: string
  /** Private key that lets root in. */
  readonly keyPath: string
  readonly network: VmNetwork
  /** Puts into a folder what the second disk has. */
  readonly fill: (folder: string) => Promise<void>
  /** Default: 2048. */
  readonly memoryMebibytes?: number
}

export type RunningVm = Vm &
  AsyncDisposable & {
    /** Waits until its services have started. */
    readonly booted: () => Promise<void>
  }

/** Switches a machine on; it boots meanwhile. */
export async function startVm(options: VmOptions): Promise<RunningVm> {
  const {name, dir, keyPath, fill, network} = options
  const image = await ensureVmImage(AbortSignal.timeout(IMAGE_TIMEOUT_MS))
  const tools = join(dir, `${name}-tools`)
  await mkdir(tools)
  await fill(tools)
  const toolsDisk = join(dir, `${name}-tools.raw`)
  await makeDisk(tools, toolsDisk, '1G', AbortSignal.timeout(IMAGE_TIMEOUT_MS))
  const console = join(dir, `${name}-console`)
  const key = await ensureSshKey(keyPath)
  const words = machineWords({...options, image, toolsDisk, key, console})
  const machine = spawn('nice', ['-n', '5', 'qemu-system-x86_64', ...words], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const ended = once(machine, 'close')
  const vm = {read: (script: string) => overSsh({keyPath, ...network.ssh, script})}
  return {
    ...vm,
    booted: () => waitForBoot(vm, console, () => machine.exitCode),
    async [Symbol.asyncDispose]() {
      machine.kill('SIGKILL')
      await ended
    },
  }
}

interface MachineParts extends VmOptions {
  readonly image: VmImage
  readonly toolsDisk: string
  /** Public key that lets root in. */
  readonly key: string
  readonly console: string
}

function machineWords({
  image,
  toolsDisk,
  key,
  console,
  name,
  network,
  memoryMebibytes = 2048,
}: MachineParts): readonly string[] {
  const credential = Buffer.from(`${key}\n`).toString('base64')
  const kernelWords = [
    `root=/dev/nvme0n1 rw console=ttyS0 net.ifnames=0 mitigations=off panic=-1 systemd.firstboot=off systemd.hostname=${name}`,
    // No DNS server is there, but without one CoreDNS would not start.
    `ip=${network.address}::${network.gateway}:${network.mask}:${name}:eth0:none:${network.gateway}`,
    `systemd.set_credential_binary=ssh.authorized_keys.root:${credential}`,
  ]
  return [
    ['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-serial', `file:${console}`],
    // One processor: the kernel writes over its own code while it runs, and of two emulated ones one may trip over it.
    // Not by the processor's virtualisation: inside of another virtual machine that is absent, or half there.
    ['-accel', 'tcg,thread=multi', '-cpu', 'max', '-m', String(memoryMebibytes)],
    ['-kernel', image.kernel, '-append', kernelWords.join(' ')],
    // The kernel has NVMe and ext4 built in, so it needs no initial RAM disk. What is written goes with the process.
    ['-drive', `if=none,id=root,file=${image.disk},format=raw,snapshot=on,cache=unsafe`],
    ['-device', 'nvme,drive=root,serial=root'],
    ['-drive', `if=none,id=tools,file=${toolsDisk},format=raw,readonly=on`],
    ['-device', 'nvme,drive=tools,serial=tools', '-device', 'virtio-rng-pci'],
    [...network.backend, '-device', `virtio-net-pci,netdev=net,mac=${network.mac}`],
  ].flat()
}

async function overSsh(parts: {
  keyPath: string
  host: string
  port: number
  script: string
}): Promise<string> {
  const {keyPath, host, port, script} = parts
  const options = [
    'StrictHostKeyChecking=no',
    'UserKnownHostsFile=/dev/null',
    'LogLevel=ERROR',
    'BatchMode=yes',
  ]
  const words = [...options, 'ConnectTimeout=120'].flatMap((option) => ['-o', option])
  const argv = [...words, '-i', keyPath, '-p', String(port), `root@${host}`, script]
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
