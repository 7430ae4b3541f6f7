import {readdir, readFile, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {CheckpointError} from '../../checkpoint/errors.ts'
import {waitFor} from '../../base/waiting.ts'

const SETTLE_MS = 2_000
const SIGTERM_PENDING = 1n << 14n

/** Folders of the freezing hierarchy. */
export interface ContainerCgroup {
  readonly version: 1 | 2
  readonly pod: string
  readonly container: string
  /** The container's first process, as this machine numbers it. */
  readonly pid: number
}

/** The processes of pods on this node, to freeze, thaw and end. */
export interface Cgroups {
  readonly version: 1 | 2
  /** Undefined: there is none, or no process is in it. */
  find(podUid: string, containerId: string): Promise<ContainerCgroup | undefined>
  /** Containers of a pod in which a process is, its sandbox among them. */
  containers(podUid: string): Promise<readonly {readonly id: string; readonly cgroup: ContainerCgroup}[]>
  /** Whether the first process of a container of the pod is traced: by CRIU, as long as it dumps. */
  isTraced(podUid: string): Promise<boolean>
  /**
   * Freezes the pod of a container that the runtime holds paused, so that it stays frozen when the runtime resumes it.
   * `gap`: the container was not found frozen, so its processes may have run until now. Throws TimeoutError.
   */
  freezePod(cgroup: ContainerCgroup, signal: AbortSignal): Promise<{readonly gap: boolean}>
  /** Of a frozen pod only this container stays frozen, without running in between. */
  holdContainer(cgroup: ContainerCgroup): Promise<void>
  /** Whether the pod's own cgroup, or one of its containers', is set to be frozen. */
  isFrozen(podUid: string): Promise<boolean>
  /** Thaws the pod and every container of it; a pod that is gone is fine. */
  thaw(podUid: string): Promise<void>
  /**
   * Ends every process of a frozen pod without letting one run: a SIGKILL that is pending at the thaw comes before any
   * code of a user.
   */
  kill(podUid: string): Promise<void>
  /** Whether the kubelet has begun to end the pod: SIGTERM waits for the first process of a container. */
  isTerminating(podUid: string): Promise<boolean>
}

export interface CgroupFiles {
  /** Where the node's /sys/fs/cgroup lies. */
  readonly root: string
  readonly proc: string
  readonly kill: (pid: number) => void
}

/** What is written to freeze and to thaw, and where it is read back. */
export const FREEZER = {
  1: {
    file: 'freezer.state',
    freeze: 'FROZEN',
    thaw: 'THAWED',
    self: 'freezer.self_freezing',
    frozenFile: 'freezer.state',
    frozen: 'FROZEN',
  },
  2: {
    file: 'cgroup.freeze',
    freeze: '1',
    thaw: '0',
    self: 'cgroup.freeze',
    frozenFile: 'cgroup.events',
    frozen: 'frozen 1',
  },
} as const

/** Looks the hierarchy up once: version 2 when the root is one. */
export async function openCgroups(files: CgroupFiles): Promise<Cgroups> {
  const entries = await readdir(files.root)
  return entries.includes('cgroup.controllers')
    ? new KernelCgroups(files, 2, files.root)
    : new KernelCgroups(files, 1, join(files.root, 'freezer'))
}

class KernelCgroups implements Cgroups {
  readonly version: 1 | 2
  readonly #files: CgroupFiles
  readonly #root: string

  constructor(files: CgroupFiles, version: 1 | 2, root: string) {
    this.#files = files
    this.version = version
    this.#root = root
  }

  async find(podUid: string, containerId: string): Promise<ContainerCgroup | undefined> {
    return (await this.containers(podUid)).find(({id}) => id === containerId)?.cgroup
  }

  async containers(podUid: string): Promise<readonly {id: string; cgroup: ContainerCgroup}[]> {
    const pod = await this.#podFolder(podUid)
    if (pod === undefined) return []
    const found = (await folders(pod)).map(async (name) => {
      const container = join(pod, name)
      const pid = await this.#firstProcess(await pidsBelow(container))
      // `<id>`, or `cri-containerd-<id>.scope`.
      const id = name.replace(/^.*-/, '').replace(/\.scope$/, '')
      return pid === undefined ? [] : [{id, cgroup: {version: this.version, pod, container, pid}}]
    })
    return (await Promise.all(found)).flat()
  }

  async isTraced(podUid: string): Promise<boolean> {
    const traced = (await this.containers(podUid)).map(async ({cgroup}) => {
      const status = await read(join(this.#files.proc, String(cgroup.pid), 'status'))
      return (/^TracerPid:\s*(\d+)/m.exec(status ?? '')?.[1] ?? '0') !== '0'
    })
    return (await Promise.all(traced)).includes(true)
  }

  async freezePod({container, pod}: ContainerCgroup, signal: AbortSignal): Promise<{gap: boolean}> {
    const {file, freeze, self, frozenFile, frozen} = FREEZER[this.version]
    const gap = (await read(join(container, self))) !== '1'
    await waitFor({
      what: `the processes in ${pod} to be frozen`,
      timeoutMs: SETTLE_MS,
      intervalMs: 1,
      signal,
      check: async () => {
        await writeFile(join(pod, file), freeze)
        const state = (await read(join(pod, frozenFile))) ?? 'gone'
        return state.includes(frozen) ? {value: true, seen: state} : {seen: state}
      },
    })
    return {gap}
  }

  async holdContainer({container, pod}: ContainerCgroup): Promise<void> {
    const {file, freeze, thaw} = FREEZER[this.version]
    await writeFile(join(container, file), freeze)
    await writeFile(join(pod, file), thaw)
  }

  async isFrozen(podUid: string): Promise<boolean> {
    const {self} = FREEZER[this.version]
    const states = (await this.#cgroupsOf(podUid)).map(
      async (folder) => (await read(join(folder, self))) === '1',
    )
    return (await Promise.all(states)).includes(true)
  }

  async thaw(podUid: string): Promise<void> {
    const {file, thaw} = FREEZER[this.version]
    for (const folder of await this.#cgroupsOf(podUid)) {
      await writeFile(join(folder, file), thaw).catch((error: unknown) => {
        if (!isGone(error)) throw error
      })
    }
  }

  async kill(podUid: string): Promise<void> {
    const pod = await this.#podFolder(podUid)
    if (pod === undefined) return
    await waitFor({
      what: `the processes of pod ${podUid} to end`,
      timeoutMs: 30_000,
      intervalMs: 20,
      signal: new AbortController().signal,
      check: async () => {
        const pids = await pidsBelow(pod)
        for (const pid of pids) this.#files.kill(pid)
        // A process that was forked in the meantime is found in the next round.
        await this.thaw(podUid)
        return pids.length === 0 ? {value: true, seen: 'none'} : {seen: `${pids.length} processes`}
      },
    })
  }

  async isTerminating(podUid: string): Promise<boolean> {
    const pod = await this.#podFolder(podUid)
    if (pod === undefined) return true
    const pids = await pidsBelow(pod)
    const pending = pids.map(async (pid) => {
      const status = await read(join(this.#files.proc, String(pid), 'status'))
      const mask = /^ShdPnd:\s*([0-9a-f]+)/m.exec(status ?? '')?.[1] ?? '0'
      return (BigInt(`0x${mask}`) & SIGTERM_PENDING) !== 0n
    })
    return pids.length === 0 || (await Promise.all(pending)).includes(true)
  }

  /** The pod's folder and those of its containers. */
  async #cgroupsOf(podUid: string): Promise<readonly string[]> {
    const pod = await this.#podFolder(podUid)
    return pod === undefined ? [] : [pod, ...(await folders(pod)).map((name) => join(pod, name))]
  }

  /** `…/pod<uid>` or `…-pod<uid with underscores>.slice`, some levels below the root. */
  async #podFolder(podUid: string): Promise<string | undefined> {
    if (!/^[0-9a-f-]{8,}$/.test(podUid))
      throw new CheckpointError('CHECKPOINT_FAILED', `"${podUid}" is not the uid of a pod`)
    const names = [`pod${podUid}`, `pod${podUid.replaceAll('-', '_')}.slice`]
    let level = [this.#root]
    for (let depth = 0; depth < 6 && level.length > 0; depth++) {
      const below = await Promise.all(
        level.map(async (folder) => (await folders(folder)).map((name) => join(folder, name))),
      )
      const found = below.flat().find((path) => names.some((name) => path.endsWith(name)))
      if (found !== undefined) return found
      level = below.flat().filter((path) => !/\.(scope|service|mount|socket)$/.test(path))
    }
    return undefined
  }

  /** The one that is first in its own PID namespace; commands that were run into the container are not. */
  async #firstProcess(pids: readonly number[]): Promise<number | undefined> {
    const found = pids.map(async (pid) => {
      const status = await read(join(this.#files.proc, String(pid), 'status'))
      const parent = Number(/^PPid:\s*(\d+)/m.exec(status ?? '')?.[1] ?? 0)
      const inner = /^NSpid:.*\s(\d+)$/m.exec(status ?? '')?.[1]
      return {pid, isFirst: inner === '1', isRoot: !pids.includes(parent)}
    })
    const seen = await Promise.all(found)
    const first = seen.find(({isFirst}) => isFirst) ?? seen.find(({isRoot}) => isRoot)
    return first?.pid
  }
}

async function folders(path: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(path, {withFileTypes: true})
    return entries.filter((entry) => entry.isDirectory()).map(({name}) => name)
  } catch (error) {
    if (isGone(error)) return []
    throw error
  }
}

async function pidsBelow(folder: string): Promise<readonly number[]> {
  const own = ((await read(join(folder, 'cgroup.procs'))) ?? '').split('\n').filter((line) => line !== '')
  const below = await Promise.all((await folders(folder)).map((name) => pidsBelow(join(folder, name))))
  return [...own.map(Number).filter((pid) => pid > 0), ...below.flat()]
}

async function read(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, 'utf8')).trim()
  } catch (error) {
    if (isGone(error)) return undefined
    throw error
  }
}

/** A cgroup or process that ended while it was looked at. */
function isGone(error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    ['ENOENT', 'ENODEV', 'ESRCH', 'EOPNOTSUPP'].includes(String(error.code))
  )
}
