import {createHash} from 'node:crypto'
import {z} from 'zod'
import type {HostFacts} from '../../src/bootstrap/hosts/host.ts'
import type {Machine} from '../../src/spec/machine.ts'
import {fakeFacts} from './fake-host.ts'

const unitSchema = z.object({
  active: z.boolean(),
  enabled: z.boolean(),
  /** What its process was started from. */
  binary: z.string(),
})

const stateSchema = z.object({
  files: z.array(z.tuple([z.string(), z.object({content: z.string(), mode: z.int()})])),
  folders: z.array(z.tuple([z.string(), z.int()])),
  links: z.array(z.tuple([z.string(), z.string()])),
  store: z.array(z.string()),
  modules: z.array(z.string()),
  sysctls: z.array(z.tuple([z.string(), z.number()])),
  images: z.array(z.tuple([z.string(), z.string()])),
  pinned: z.array(z.string()),
  containerd: unitSchema,
  kubelet: unitSchema,
})

/** Content is kept once, however many machines have it. */
const interned = new Map<string, {readonly content: string; readonly sha256: string}>()

function intern(content: string): {readonly content: string; readonly sha256: string} {
  const known = interned.get(content)
  if (known !== undefined) return known
  const entry = {content, sha256: createHash('sha256').update(content).digest('hex')}
  interned.set(content, entry)
  return entry
}

/** Hex sha256 of a text that a machine holds. */
export const sha256Of = (content: string): string => intern(content).sha256

const UNIT_OFF = {active: false, enabled: false, binary: ''}

/** What a Debian machine with sshd, and nothing of Kubernetes, remembers between two connections. */
export class SimulatedMachine {
  readonly machine: Machine
  readonly facts: HostFacts
  readonly files = new Map<string, {readonly content: string; readonly mode: number}>()
  /** Folders whose mode matters. */
  readonly folders = new Map<string, number>()
  readonly links = new Map<string, string>()
  /** Keys in the store of the bundle's files. */
  readonly store = new Set<string>()
  readonly modules = new Set<string>(['overlay'])
  readonly sysctls = new Map<string, number>([
    ['net.ipv4.ip_forward', 0],
    ['fs.inotify.max_user_instances', 128],
    ['fs.inotify.max_user_watches', 65_536],
    ['vm.overcommit_memory', 0],
    ['kernel.panic', 0],
    ['kernel.panic_on_oops', 0],
  ])
  /** Manifest digest by reference. */
  readonly images = new Map<string, string>()
  readonly pinned = new Set<string>()
  /** What runs wrote into the machine's journal. */
  journal = ''
  containerd: z.output<typeof unitSchema> = UNIT_OFF
  kubelet: z.output<typeof unitSchema> = UNIT_OFF

  constructor(machine: Machine) {
    this.machine = machine
    const id = createHash('sha256').update(machine.privateAddress).digest('hex')
    this.facts = fakeFacts({
      hostname: machine.name,
      machineId: id.slice(0, 32),
      bootId: id.slice(32),
      addresses: [`${machine.privateAddress}/8`],
      routes: ['192.168.0.0/16'],
    })
  }

  get name(): string {
    return this.machine.name
  }

  put(path: string, content: string, mode = 0o644): void {
    this.files.set(path, {content: intern(content).content, mode})
  }

  /** Whether there is something at the path or below it. */
  has(path: string): boolean {
    if (this.files.has(path) || this.folders.has(path) || this.links.has(path)) return true
    if (path === '/opt/clouder' && this.store.size > 0) return true
    const below = `${path}/`
    return [this.files, this.folders, this.links].some((paths) => {
      for (const each of paths.keys()) if (each.startsWith(below)) return true
      return false
    })
  }

  /** Removes a path and everything below it. */
  remove(path: string): void {
    for (const paths of [this.files, this.folders, this.links])
      for (const each of paths.keys()) if (each === path || each.startsWith(`${path}/`)) paths.delete(each)
  }

  /** Loads a module, with the settings that it brings. */
  load(module: string): void {
    this.modules.add(module)
    if (module !== 'br_netfilter') return
    this.sysctls.set('net.bridge.bridge-nf-call-iptables', 0)
    this.sysctls.set('net.bridge.bridge-nf-call-ip6tables', 0)
  }

  /** Where a program leads to, undefined where it is not, or its link leads nowhere. */
  program(name: string): string | undefined {
    const target = this.links.get(`/usr/local/bin/${name}`)
    const key = target?.slice(target.lastIndexOf('/') + 1)
    return key !== undefined && this.store.has(key) ? target : undefined
  }

  save(): unknown {
    const {containerd, kubelet} = this
    return {
      files: [...this.files],
      folders: [...this.folders],
      links: [...this.links],
      store: [...this.store],
      modules: [...this.modules],
      sysctls: [...this.sysctls],
      images: [...this.images],
      pinned: [...this.pinned],
      containerd,
      kubelet,
    }
  }

  restore(saved: unknown): void {
    const state = stateSchema.parse(saved)
    for (const [path, {content, mode}] of state.files) this.put(path, content, mode)
    for (const [path, mode] of state.folders) this.folders.set(path, mode)
    for (const [path, target] of state.links) this.links.set(path, target)
    for (const key of state.store) this.store.add(key)
    for (const module of state.modules) this.modules.add(module)
    for (const [name, value] of state.sysctls) this.sysctls.set(name, value)
    for (const [reference, digest] of state.images) this.images.set(reference, digest)
    for (const reference of state.pinned) this.pinned.add(reference)
    this.containerd = state.containerd
    this.kubelet = state.kubelet
  }
}
