import {access, readFile} from 'node:fs/promises'
import {createServer} from 'node:net'
import {nodeCapabilities} from '../containers/capabilities.ts'

/** What nodes need to know of the machine they are containers on. */
export interface LocalMachine {
  /** Destinations of the routing table, without the default route. */
  readonly routes: readonly string[]
  /** Name servers that a container reaches. */
  readonly nameservers: readonly string[]
  readonly capabilities: 'all' | readonly string[]
  readonly cgroupVersion: 1 | 2
  /** Whether there are kernel modules that a node can load. */
  readonly kernelModules: boolean
}

/** Reads /proc, /sys and /etc of this machine. */
export async function readLocalMachine(): Promise<LocalMachine> {
  const [route, status, lastCapability, resolvConf, resolved, unified, modules] = await Promise.all([
    readOrEmpty('/proc/net/route'),
    readOrEmpty('/proc/self/status'),
    readOrEmpty('/proc/sys/kernel/cap_last_cap'),
    readOrEmpty('/etc/resolv.conf'),
    readOrEmpty('/run/systemd/resolve/resolv.conf'),
    isThere('/sys/fs/cgroup/cgroup.controllers'),
    isThere('/lib/modules'),
  ])
  return {
    routes: parseRoutes(route),
    nameservers: [...new Set([...parseNameservers(resolvConf), ...parseNameservers(resolved)])].slice(0, 3),
    capabilities: nodeCapabilities(status, lastCapability),
    cgroupVersion: unified ? 2 : 1,
    kernelModules: modules,
  }
}

/** Destinations of /proc/net/route, whose addresses are little-endian hex; the default route is left out. */
export function parseRoutes(table: string): readonly string[] {
  return table
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const fields = line.trim().split(/\s+/)
      const [destination, mask] = [fields[1], fields[7]]
      if (destination === undefined || mask === undefined || mask === '00000000') return []
      const bytes = Buffer.from(destination, 'hex').reverse()
      const ones = Number.parseInt(mask, 16).toString(2).replaceAll('0', '').length
      return [`${bytes.join('.')}/${ones}`]
    })
}

/** Name servers of a resolv.conf that are not on this machine's own loopback. */
export function parseNameservers(resolvConf: string): readonly string[] {
  return [...resolvConf.matchAll(/^\s*nameserver\s+(\S+)/gm)]
    .map((match) => match[1] ?? '')
    .filter(
      (server) =>
        server !== '' && !server.startsWith('127.') && server !== '::1' && !server.startsWith('fe80:'),
    )
}

/** A port on this machine's loopback that nobody listens on. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => {
        if (address !== null && typeof address === 'object') resolve(address.port)
        else reject(new Error('the operating system returned no free port'))
      })
    })
  })
}

async function readOrEmpty(path: string): Promise<string> {
  return (await isThere(path)) ? readFile(path, 'utf8') : ''
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
