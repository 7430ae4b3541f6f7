import {createHash} from 'node:crypto'
import type {Privileges} from '../../api/sealed-checkpoint.ts'
import type {OciSpec} from './oci-spec.ts'

/** Every container has these; runtimes seldom list them. */
const ORDINARY_DEVICES = new Set([
  '/dev/null',
  '/dev/zero',
  '/dev/full',
  '/dev/random',
  '/dev/urandom',
  '/dev/tty',
  '/dev/console',
  '/dev/ptmx',
])

/** Where the kubelet and the runtime keep what belongs to one pod only. */
const OWN_SOURCES = /\/kubelet\/pods\/[^/]+\/|\/io\.containerd\.grpc\.v1\.cri\/(sandboxes|containers)\//

/** What of a pod's spec the runtime spec of its containers does not show: they join the sandbox's namespaces by path. */
export interface PodNamespaces {
  readonly hostNetwork?: boolean | undefined
  readonly hostPID?: boolean | undefined
  readonly hostIPC?: boolean | undefined
}

/** What the processes of a container may do, by its runtime spec and its pod's. */
export function privilegesOf(spec: OciSpec, pod: PodNamespaces = {}): Privileges {
  const {process, linux} = spec
  const sets = Object.values(process.capabilities).flatMap((set) => set ?? [])
  return {
    uid: process.user.uid,
    gid: process.user.gid,
    additionalGids: sorted(process.user.additionalGids),
    noNewPrivileges: process.noNewPrivileges,
    capabilities: sorted(sets),
    ...(linux.seccomp === undefined ? {} : {seccompSha256: sha256Of(linux.seccomp)}),
    ...(process.apparmorProfile === '' ? {} : {apparmorProfile: process.apparmorProfile}),
    ...(process.selinuxLabel === '' ? {} : {selinuxLabel: process.selinuxLabel}),
    devices: devicesOf(linux),
    readonlyRootfs: spec.root.readonly,
    maskedPaths: sorted(linux.maskedPaths),
    readonlyPaths: sorted(linux.readonlyPaths),
    hostNamespaces: hostNamespacesOf(linux, pod),
    mounts: spec.mounts.map(mountOf),
  }
}

function devicesOf({devices, resources}: OciSpec['linux']): string[] {
  const nodes = devices
    .filter(({path}) => !ORDINARY_DEVICES.has(path))
    .map(({path, type, major, minor}) => `${path} ${type} ${major}:${minor}`)
  const allowed = resources.devices
    .filter(({allow}) => allow)
    .map(({type, major = '*', minor = '*', access}) => `any node ${type} ${major}:${minor} ${access}`)
  return sorted([...nodes, ...allowed])
}

function hostNamespacesOf({namespaces}: OciSpec['linux'], pod: PodNamespaces): string[] {
  const own = new Set(namespaces.map(({type}) => type))
  const absent = ['pid', 'network', 'ipc', 'uts', 'user'].filter((type) => !own.has(type))
  const told = [
    ...(pod.hostNetwork === true ? ['network', 'uts'] : []),
    ...(pod.hostPID === true ? ['pid'] : []),
    ...(pod.hostIPC === true ? ['ipc'] : []),
  ]
  return sorted([...absent, ...told])
}

function mountOf({destination, type, source, options}: OciSpec['mounts'][number]) {
  const isBind = type === 'bind' || options.includes('bind') || options.includes('rbind')
  const hostPath = isBind && !OWN_SOURCES.test(source) ? {hostPath: source} : {}
  return {destination, type, readonly: options.includes('ro'), ...hostPath}
}

/**
 * What processes that were dumped may do and the pod that they would go on in may not, a sentence each; empty: nothing.
 * A restore keeps user, capabilities, seccomp filters and namespaces of the dump, whatever the pod says.
 */
export function widerThan(dumped: Privileges, target: Privileges): string[] {
  return [
    ...widerUser(dumped, target),
    ...beyond(dumped.capabilities, target.capabilities).map(
      (capability) => `they have ${capability}, which the pod does not get`,
    ),
    ...widerConfinement(dumped, target),
    ...beyond(dumped.devices, target.devices).map(
      (device) => `they may use the device ${device}, and the pod may not`,
    ),
    ...beyond(dumped.hostNamespaces, target.hostNamespaces).map(
      (namespace) => `they are in the host's ${namespace} namespace, and the pod has its own`,
    ),
    ...widerPaths(dumped, target),
    ...dumped.mounts.flatMap((mount) => widerMount(mount, target.mounts)),
  ]
}

function widerUser(dumped: Privileges, target: Privileges): string[] {
  // Root may become anyone.
  if (target.uid === 0) return []
  const groups = new Set([target.gid, ...target.additionalGids])
  const strange = sorted([dumped.gid, ...dumped.additionalGids]).filter((gid) => !groups.has(gid))
  return [
    ...(dumped.uid === target.uid
      ? []
      : [`they run as user ${dumped.uid}, and the pod as user ${target.uid}`]),
    ...strange.map((gid) => `they are in group ${gid}, and the pod is not`),
  ]
}

function widerConfinement(dumped: Privileges, target: Privileges): string[] {
  const wider: string[] = []
  if (target.noNewPrivileges && !dumped.noNewPrivileges) {
    wider.push(
      'they may gain privileges by set-user-ID programs, and the pod forbids it (allowPrivilegeEscalation)',
    )
  }
  if (target.seccompSha256 !== undefined && dumped.seccompSha256 !== target.seccompSha256) {
    const how =
      dumped.seccompSha256 === undefined ? 'without a seccomp filter' : 'under another seccomp filter'
    wider.push(`they run ${how}, and the pod has one of its own`)
  }
  if (target.apparmorProfile !== undefined && dumped.apparmorProfile !== target.apparmorProfile) {
    const profile = dumped.apparmorProfile ?? 'none'
    wider.push(`their AppArmor profile is ${profile}, and the pod's is ${target.apparmorProfile}`)
  }
  if (target.selinuxLabel !== undefined && domainOf(dumped.selinuxLabel) !== domainOf(target.selinuxLabel)) {
    const label = dumped.selinuxLabel ?? 'none'
    wider.push(`their SELinux label is ${label}, and the pod's is ${target.selinuxLabel}`)
  }
  return wider
}

/** `user:role:type` of an SELinux label; the level behind it is of each pod its own. */
const domainOf = (label: string | undefined): string | undefined => label?.split(':').slice(0, 3).join(':')

function widerPaths(dumped: Privileges, target: Privileges): string[] {
  const guarded = [...dumped.maskedPaths, ...dumped.readonlyPaths]
  return [
    ...(target.readonlyRootfs && !dumped.readonlyRootfs
      ? ['they may write to their root file system, and the pod may not']
      : []),
    ...beyond(target.maskedPaths, dumped.maskedPaths).map(
      (path) => `they see ${path}, which is hidden from the pod`,
    ),
    ...beyond(target.readonlyPaths, guarded).map((path) => `they may write to ${path}, and the pod may not`),
  ]
}

type Mount = Privileges['mounts'][number]

function widerMount(mount: Mount, targets: readonly Mount[]): string[] {
  const {destination, hostPath} = mount
  // The last one of a place covers the others.
  const target = targets.findLast((other) => other.destination === destination)
  if (target === undefined) return [`they have a mount at ${destination}, and the pod has none`]
  return [
    ...(hostPath !== undefined && target.hostPath !== hostPath
      ? [`they have ${hostPath} of the host at ${destination}, and the pod has not`]
      : []),
    ...(!mount.readonly && target.readonly
      ? [`they may write to the mount at ${destination}, and the pod may not`]
      : []),
  ]
}

const beyond = (some: readonly string[], others: readonly string[]): string[] =>
  some.filter((one) => !others.includes(one))

function sorted<Value extends string | number>(values: readonly Value[]): Value[] {
  return [...new Set(values)].sort((left, right) => (left < right ? -1 : left > right ? 1 : 0))
}

const sha256Of = (value: unknown): string => createHash('sha256').update(canonical(value)).digest('hex')

/** JSON whose keys are in order: the same section written by another release is the same. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const entries = Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1))
  return `{${entries.map(([key, inner]) => `${JSON.stringify(key)}:${canonical(inner)}`).join(',')}}`
}
