import type {Observed} from '../probe.ts'

export interface OnDevice {
  readonly device: string
  readonly cidr: string
}

/** A kubeconfig found on a host. */
export interface FoundKubeconfig {
  /** Hex sha256 of the CA certificate in it. */
  readonly ca: string
  readonly cluster: string
}

/** A CNI configuration on a host. */
export interface CniFile {
  readonly path: string
  readonly network: string | undefined
  /** The subnet that it gives addresses of, where it names one. */
  readonly subnet: string | undefined
}

/** What pods of a host are given to resolve names with. */
export interface FoundResolver {
  readonly path: string
  /** The file that the kubelet was told; undefined: there is no kubelet yet. */
  readonly kubeletPath: string | undefined
  /** Undefined: the file cannot be read. */
  readonly nameservers: readonly string[] | undefined
  readonly searchDomains: readonly string[]
}

/** HTTP_PROXY, HTTPS_PROXY, ALL_PROXY or NO_PROXY, and who is given it: login shells, all units, or one unit. */
export interface ProxyVariable {
  readonly scope: string
  readonly name: string
  /** The file, or what else sets it. */
  readonly source: string
  /** Of NO_PROXY; of the others only whether it is empty. */
  readonly value: string
}

/** What the preflight probe saw, beside the facts. */
export interface PreflightObserved {
  readonly uid: string | undefined
  /** Kernel options that could be read: `y` or `m` by name without CONFIG_; empty: no configuration readable. */
  readonly kernelConfig: ReadonlyMap<string, string>
  readonly modules: readonly string[]
  /** cgroup v2 controllers; undefined on v1. */
  readonly controllers: readonly string[] | undefined
  /** Room by path. */
  readonly disks: ReadonlyMap<string, {readonly freeMiB: number; readonly sizeMiB: number}>
  readonly swaps: readonly string[]
  /** Owner by listening TCP port. */
  readonly listening: ReadonlyMap<number, string>
  readonly addresses: readonly OnDevice[]
  readonly routes: readonly OnDevice[]
  /** Mount options by path. */
  readonly mounts: ReadonlyMap<string, readonly string[]>
  /** A containerd that bears no mark of clouder's: its configuration, and its unit where it runs. */
  readonly otherContainerd: {
    readonly config: string | undefined
    readonly unit: string | undefined
    readonly containers: number
  }
  /** Units that no line of /etc/fstab made. */
  readonly swapUnits: readonly string[]
  readonly firewalls: readonly string[]
  /** In the order in which containerd tries them. */
  readonly cniFiles: readonly CniFile[]
  readonly resolver: FoundResolver | undefined
  /** Later ones win within a scope. */
  readonly proxies: readonly ProxyVariable[]
  readonly kubelet: FoundKubeconfig | undefined
  readonly admin: FoundKubeconfig | undefined
  /** A join began and may not have ended. */
  readonly bootstrapping: boolean
  readonly caSha256: string | undefined
  /** `ok`, or what `criu check` complained about; undefined: not run. */
  readonly criu: string | undefined
  /** Milliseconds that single 4 KiB writes took to reach the disk; empty: not measured. */
  readonly fsyncMs: readonly number[]
  /** Peers that did not answer; filled by a second script. */
  readonly unreached: readonly Unreached[]
}

export interface Unreached {
  readonly address: string
  readonly port: number
  readonly reason: string
}

export function readPreflight(observed: Observed): PreflightObserved {
  const pairs = (key: string): readonly (readonly [string, string])[] => observed.all(key).map(splitAtSpace)
  const onDevice = (key: string): readonly OnDevice[] =>
    pairs(key).map(([device, cidr]) => ({
      device,
      cidr: cidr.includes('/') ? cidr : `${cidr}/${cidr.includes(':') ? 128 : 32}`,
    }))
  const kubeconfig = (name: string): FoundKubeconfig | undefined =>
    observed.one(name) === 'yes'
      ? {ca: observed.one(`${name}Ca`) ?? '', cluster: observed.one(`${name}Cluster`) ?? ''}
      : undefined
  return {
    uid: observed.one('uid'),
    kernelConfig: new Map(pairs('config')),
    modules: observed.all('module'),
    controllers: observed.one('controllers')?.split(' '),
    disks: new Map(
      pairs('disk').map(([path, room]) => {
        const [free = '', size = ''] = room.split(' ')
        return [path, {freeMiB: Number(free), sizeMiB: Number(size)}]
      }),
    ),
    swaps: observed.all('swap'),
    listening: new Map(pairs('listen').map(([port, owner]) => [Number(port), owner])),
    addresses: onDevice('address'),
    routes: onDevice('route'),
    mounts: new Map(pairs('mount').map(([path, options]) => [path, options.split(',')])),
    otherContainerd: {
      config: observed.one('containerdConfig'),
      unit: observed.one('containerdUnit'),
      containers: Number(observed.one('shims') ?? 0),
    },
    swapUnits: observed.all('swapUnit'),
    firewalls: observed.all('firewall'),
    cniFiles: pairs('cni').map(([network, rest]) => {
      const [subnet, path] = splitAtSpace(rest)
      return {path, network: unlessDash(network), subnet: unlessDash(subnet)}
    }),
    resolver: resolverOf(observed),
    proxies: observed.all('proxy').map((line) => {
      const [scope = '', name = '', source = '', ...value] = line.split(' ')
      return {scope, name, source, value: value.join(' ')}
    }),
    kubelet: kubeconfig('kubelet'),
    admin: kubeconfig('admin'),
    bootstrapping: observed.one('bootstrap') === 'yes',
    caSha256: observed.one('ca'),
    criu: observed.one('criu'),
    fsyncMs: observed.all('fsync').map((seconds) => Number(seconds) * 1000),
    unreached: [],
  }
}

/** Reads what templates/preflight/reach.sh printed. */
export function readReach(observed: Observed): readonly Unreached[] {
  return observed.all('unreached').map((line) => {
    const [address = '', port = '', ...reason] = line.split(' ')
    return {address, port: Number(port), reason: reason.join(' ')}
  })
}

function resolverOf(observed: Observed): FoundResolver | undefined {
  const path = observed.one('resolver')
  if (path === undefined) return undefined
  const isReadable = observed.one('resolverReadable') === 'yes'
  return {
    path,
    kubeletPath: observed.one('kubeletResolver'),
    nameservers: isReadable ? observed.all('nameserver') : undefined,
    searchDomains:
      observed
        .one('search')
        ?.split(/\s+/)
        .filter((domain) => domain !== '') ?? [],
  }
}

const unlessDash = (text: string): string | undefined => (text === '-' ? undefined : text)

function splitAtSpace(line: string): readonly [string, string] {
  const at = line.indexOf(' ')
  return at < 0 ? [line, ''] : [line.slice(0, at), line.slice(at + 1)]
}
