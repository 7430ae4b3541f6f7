import {z} from 'zod'
import type {HostFacts} from './host.ts'

const gathered = z.object({
  hostname: z.tuple([z.string().min(1)]),
  osId: z.tuple([z.string()]),
  osVersion: z.tuple([z.string()]),
  osPrettyName: z.tuple([z.string()]),
  machine: z.tuple([z.string().min(1)]),
  kernel: z.tuple([z.string().min(1)]),
  cgroup: z.tuple([z.string()]),
  container: z.array(z.string()).default([]),
  capabilities: z.tuple([z.string().regex(/^[0-9a-f]+$/)]),
  cpus: z.tuple([z.coerce.number().int().positive()]),
  memoryKiB: z.tuple([z.coerce.number().int().positive()]),
  machineId: z.array(z.string()).default([]),
  bootId: z.tuple([z.string()]),
  systemd: z.array(z.string()).default([]),
  systemdResolved: z.array(z.string()).default([]),
  address: z.array(z.string()).default([]),
  route: z.array(z.string()).default([]),
  clock: z.tuple([z.coerce.number(), z.coerce.number()]),
})

/** When this machine sent the script and had its last line, in ms of its own wall clock. */
export interface RoundTrip {
  readonly sentAtMs: number
  readonly receivedAtMs: number
}

export type GatheredFacts = {readonly busy: true} | {readonly busy: false; readonly facts: HostFacts}

const goArchs: Readonly<Record<string, string>> = {x86_64: 'amd64', aarch64: 'arm64'}
/** Bit of CAP_SYS_RESOURCE, linux/capability.h. */
const capSysResourceBit = 24n

/** Reads what the facts script printed. Throws ZodError when it is not that script's output. */
export function parseFacts(
  stdout: string,
  trip: RoundTrip,
  known: Pick<HostFacts, 'sudo' | 'apiForwarded'>,
): GatheredFacts {
  const values = new Map<string, string[]>()
  for (const line of stdout.split('\n')) {
    const tab = line.indexOf('\t')
    if (tab <= 0) continue
    const key = line.slice(0, tab)
    values.set(key, [...(values.get(key) ?? []), line.slice(tab + 1)])
  }
  if (values.has('busy')) return {busy: true}
  const seen = gathered.parse(Object.fromEntries(values))
  const onHostMs = seen.clock[1] - seen.clock[0]
  const hostMiddleMs = (seen.clock[0] + seen.clock[1]) / 2
  const facts: HostFacts = {
    hostname: seen.hostname[0],
    osId: seen.osId[0],
    osVersion: seen.osVersion[0],
    osPrettyName: seen.osPrettyName[0],
    arch: goArchs[seen.machine[0]] ?? seen.machine[0],
    kernel: seen.kernel[0],
    cgroupVersion: seen.cgroup[0] === 'cgroup2fs' ? 2 : 1,
    container: seen.container.length > 0,
    capSysResource: ((BigInt(`0x${seen.capabilities[0]}`) >> capSysResourceBit) & 1n) === 1n,
    cpus: seen.cpus[0],
    memoryMiB: Math.floor(seen.memoryKiB[0] / 1024),
    machineId: seen.machineId[0] ?? '',
    bootId: seen.bootId[0],
    systemd: seen.systemd.length > 0,
    systemdResolved: seen.systemdResolved.length > 0,
    addresses: seen.address.flatMap(addressOf),
    routes: [...new Set(seen.route.flatMap(routeOf))],
    clockSkewMs: Math.round(hostMiddleMs - (trip.sentAtMs + trip.receivedAtMs) / 2),
    clockSkewErrorMs: Math.ceil(Math.max(0, trip.receivedAtMs - trip.sentAtMs - onHostMs) / 2),
    ...known,
  }
  return {busy: false, facts: Object.freeze(facts)}
}

/** From a line of `ip -o addr`: `2: eth0    inet 10.0.0.2/24 brd …`. */
function addressOf(line: string): readonly string[] {
  const [, device, family, address] = line.trim().split(/\s+/)
  if (device === 'lo' || address === undefined || (family !== 'inet' && family !== 'inet6')) return []
  return [address.includes('/') ? address : `${address}/${family === 'inet' ? 32 : 128}`]
}

const routeTypes = new Set([
  'unicast',
  'unreachable',
  'blackhole',
  'prohibit',
  'throw',
  'local',
  'broadcast',
  'multicast',
  'anycast',
])

/** From a line of `ip route`: the destination, as a CIDR; a multipath route's further lines start with nexthop. */
function routeOf(line: string): readonly string[] {
  const words = line.trim().split(/\s+/)
  const destination = routeTypes.has(words[0] ?? '') ? words[1] : words[0]
  if (
    destination === undefined ||
    destination === '' ||
    destination === 'default' ||
    destination === 'nexthop'
  )
    return []
  return [destination.includes('/') ? destination : `${destination}/${destination.includes(':') ? 128 : 32}`]
}
