import {z} from 'zod'
import type {Privileges} from '../api/sealed-checkpoint.ts'

const profileSchema = z.looseObject({type: z.string()})
const capabilitiesSchema = z.looseObject({
  add: z.array(z.string()).default([]),
  drop: z.array(z.string()).default([]),
})
/** What a container may say itself, and the pod for all of them. */
const commonContextSchema = z.looseObject({
  runAsUser: z.int().optional(),
  runAsGroup: z.int().optional(),
  runAsNonRoot: z.boolean().optional(),
  seccompProfile: profileSchema.optional(),
})
const containerContextSchema = commonContextSchema.extend({
  privileged: z.boolean().default(false),
  allowPrivilegeEscalation: z.boolean().default(true),
  readOnlyRootFilesystem: z.boolean().default(false),
  procMount: z.string().default('Default'),
  capabilities: capabilitiesSchema.prefault({}),
})
const containerSchema = z.looseObject({
  name: z.string(),
  securityContext: containerContextSchema.prefault({}),
  volumeMounts: z
    .array(z.looseObject({name: z.string(), mountPath: z.string(), readOnly: z.boolean().default(false)}))
    .default([]),
})
const specSchema = z.looseObject({
  securityContext: commonContextSchema.prefault({}),
  hostNetwork: z.boolean().default(false),
  hostPID: z.boolean().default(false),
  hostIPC: z.boolean().default(false),
  hostUsers: z.boolean().default(true),
  volumes: z
    .array(
      z.looseObject({
        name: z.string(),
        hostPath: z.looseObject({path: z.string()}).optional(),
        persistentVolumeClaim: z.looseObject({}).optional(),
      }),
    )
    .default([]),
  containers: z.array(containerSchema),
})
type Spec = z.output<typeof specSchema>
type Container = z.output<typeof containerSchema>

/** Of a container that asks for none, in containerd: https://github.com/containerd/containerd/blob/v2.3.7/pkg/oci/spec.go */
const ORDINARY_CAPABILITIES = (
  'CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL ' +
  'AUDIT_WRITE'
).split(' ')

/**
 * What processes that were dumped may do and a container of this pod may not, by what the pod's spec says, a sentence
 * each; empty: nothing. Coarser than `widerThan`, which needs a container that was created: for a runtime that restores
 * at the creation there is no other moment. What only the image says, such as its user, is not looked at.
 */
export function widerThanPod(dumped: Privileges, podSpec: unknown, name: string): string[] {
  const spec = specSchema.parse(podSpec)
  const container = spec.containers.find((one) => one.name === name)
  if (container === undefined) return [`the pod has no container ${name}`]
  const {securityContext: own} = container
  return [
    ...widerUser(dumped, {...spec.securityContext, ...own}),
    ...(own.privileged ? [] : [...widerCapabilities(dumped, own.capabilities), ...widerSight(dumped, own)]),
    ...(!own.allowPrivilegeEscalation && !dumped.noNewPrivileges
      ? [
          'they may gain privileges by set-user-ID programs, and the pod forbids it (allowPrivilegeEscalation)',
        ]
      : []),
    ...(own.readOnlyRootFilesystem && !dumped.readonlyRootfs
      ? ['they may write to their root file system, and the pod may not']
      : []),
    ...widerSeccomp(dumped, own.seccompProfile ?? spec.securityContext.seccompProfile, own.privileged),
    ...widerNamespaces(dumped, spec),
    ...dumped.mounts.flatMap((mount) => widerMount(mount, container, spec)),
  ]
}

function widerUser(
  dumped: Privileges,
  {runAsUser, runAsGroup, runAsNonRoot}: z.output<typeof commonContextSchema>,
): string[] {
  return [
    ...(runAsNonRoot === true && dumped.uid === 0 ? ['they run as root, and the pod may not'] : []),
    ...(runAsUser !== undefined && runAsUser !== 0 && dumped.uid !== runAsUser
      ? [`they run as user ${dumped.uid}, and the pod as user ${runAsUser}`]
      : []),
    ...(runAsUser !== 0 && runAsGroup !== undefined && dumped.gid !== runAsGroup
      ? [`they run in group ${dumped.gid}, and the pod in group ${runAsGroup}`]
      : []),
  ]
}

function widerCapabilities(dumped: Privileges, {add, drop}: z.output<typeof capabilitiesSchema>): string[] {
  const bare = (names: readonly string[]) => names.map((name) => name.replace(/^CAP_/, ''))
  const added = bare(add)
  if (added.includes('ALL')) {
    const gone = bare(drop)
    return told(dumped.capabilities.filter((name) => bare([name]).some((one) => gone.includes(one))))
  }
  const dropped = bare(drop)
  const ordinary = dropped.includes('ALL') ? [] : ORDINARY_CAPABILITIES
  const allowed = new Set([...ordinary.filter((name) => !dropped.includes(name)), ...added])
  return told(dumped.capabilities.filter((name) => !bare([name]).some((one) => allowed.has(one))))
}

const told = (capabilities: readonly string[]): string[] =>
  capabilities.map((capability) => `they have ${capability}, which the pod does not get`)

/** Devices, and what of /proc and /sys is hidden from a container that is not privileged. */
function widerSight(dumped: Privileges, {procMount}: z.output<typeof containerContextSchema>): string[] {
  const devices = dumped.devices.filter(
    (device) => device.startsWith('/') || /^any node a \*:\*/.test(device),
  )
  return [
    ...devices.map((device) => `they may use the device ${device}, and the pod may not`),
    ...(procMount === 'Default' && dumped.maskedPaths.length === 0
      ? ['they see all of /proc, parts of which are hidden from the pod']
      : []),
  ]
}

/** Which filter a profile becomes is the runtime's affair: here one is as narrow as another. */
function widerSeccomp(
  dumped: Privileges,
  profile: z.output<typeof profileSchema> | undefined,
  privileged: boolean,
): string[] {
  const confined = profile !== undefined && profile.type !== 'Unconfined' && !privileged
  return confined && dumped.seccompSha256 === undefined
    ? ['they run without a seccomp filter, and the pod has one']
    : []
}

function widerNamespaces(dumped: Privileges, {hostNetwork, hostPID, hostIPC, hostUsers}: Spec): string[] {
  const shared = [
    ...(hostNetwork ? ['network', 'uts'] : []),
    ...(hostPID ? ['pid'] : []),
    ...(hostIPC ? ['ipc'] : []),
    ...(hostUsers ? ['user'] : []),
  ]
  return dumped.hostNamespaces
    .filter((namespace) => !shared.includes(namespace))
    .map((namespace) => `they are in the host's ${namespace} namespace, and the pod has its own`)
}

function widerMount(
  {destination, hostPath, readonly}: Privileges['mounts'][number],
  {volumeMounts}: Container,
  {volumes}: Spec,
): string[] {
  if (hostPath === undefined) return []
  const mount = volumeMounts.find(({mountPath}) => trimmed(mountPath) === trimmed(destination))
  const volume = volumes.find(({name}) => name === mount?.name)
  if (volume?.persistentVolumeClaim !== undefined) return []
  const offered = volume?.hostPath?.path
  if (offered === undefined || !isWithin(hostPath, offered))
    return [`they have ${hostPath} of the host at ${destination}, and the pod has not`]
  return mount?.readOnly === true && !readonly
    ? [`they may write to the mount at ${destination}, and the pod may not`]
    : []
}

const trimmed = (path: string): string => (path === '/' ? path : path.replace(/\/+$/, ''))

/** A `subPath` of a volume lies below it. */
const isWithin = (path: string, folder: string): boolean =>
  trimmed(path) === trimmed(folder) || path.startsWith(`${trimmed(folder)}/`)
