import {z} from 'zod'
import type {Pod} from '../../kubernetes/pod.ts'
import type {CheckpointFinding} from './finding.ts'

const containerSchema = z.looseObject({
  name: z.string(),
  securityContext: z.looseObject({privileged: z.boolean().optional()}).optional(),
  resources: z.looseObject({limits: z.record(z.string(), z.string()).optional()}).optional(),
  volumeDevices: z.array(z.looseObject({devicePath: z.string()})).optional(),
})
const specSchema = z.looseObject({
  hostNetwork: z.boolean().optional(),
  hostPID: z.boolean().optional(),
  hostIPC: z.boolean().optional(),
  shareProcessNamespace: z.boolean().optional(),
  containers: z.array(containerSchema).default([]),
  ephemeralContainers: z.array(z.looseObject({name: z.string()})).optional(),
  volumes: z
    .array(
      z.looseObject({
        name: z.string(),
        hostPath: z.looseObject({path: z.string()}).optional(),
        emptyDir: z.looseObject({medium: z.string().optional()}).optional(),
      }),
    )
    .optional(),
})

type Found = Omit<CheckpointFinding, 'where'>
const blocks = (check: string, problem: string, fix: string): Found => ({
  check,
  weight: 'blocks',
  problem,
  fix,
})
const loses = (check: string, problem: string, fix: string): Found => ({check, weight: 'loses', problem, fix})

/** What of a pod CRIU cannot take, or a checkpoint does not carry, as far as its description tells. */
export function podFindings(pod: Pod): readonly CheckpointFinding[] {
  const {namespace, name} = pod.metadata
  const spec = specSchema.parse(pod.spec)
  const found = [
    ...namespaceFindings(spec),
    ...spec.containers.flatMap(containerFindings),
    ...volumeFindings(spec),
  ]
  return found.map((finding) => ({where: `${namespace}/${name}`, ...finding}))
}

function namespaceFindings(spec: z.output<typeof specSchema>): readonly Found[] {
  const {hostNetwork, hostPID, hostIPC, shareProcessNamespace, ephemeralContainers = []} = spec
  return [
    ...(hostNetwork === true
      ? [
          loses(
            'HostNetwork',
            'it uses the network of its node: on another node the address differs, and its ports may be in use',
            'set hostNetwork to false, or move it to a node where its ports are free',
          ),
        ]
      : []),
    ...(hostPID === true || shareProcessNamespace === true
      ? [
          loses(
            'ProcessIds',
            'its containers share a PID namespace: a restore fails if one of the PIDs is in use',
            'do not set hostPID and shareProcessNamespace',
          ),
        ]
      : []),
    ...(hostIPC === true
      ? [loses('HostIpc', 'shared memory of the node is not included', 'do not set hostIPC')]
      : []),
    ...(ephemeralContainers.length > 0
      ? [
          loses(
            'Ephemeral',
            `its ephemeral containers ${ephemeralContainers.map(({name}) => name).join(', ')} are not included`,
            'none needed, if that is intended',
          ),
        ]
      : []),
  ]
}

function containerFindings(container: z.output<typeof containerSchema>): readonly Found[] {
  const {name, securityContext, resources, volumeDevices = []} = container
  const devices = Object.keys(resources?.limits ?? {}).filter(
    (key) => key.includes('/') && !key.startsWith('hugepages-'),
  )
  return [
    ...(securityContext?.privileged === true
      ? [
          loses(
            'Privileged',
            `container ${name} is privileged: what it mounted or opened of the host may not exist on another node`,
            'set only the capabilities that it needs instead',
          ),
        ]
      : []),
    ...(devices.length > 0 || volumeDevices.length > 0
      ? [
          blocks(
            'Devices',
            `container ${name} uses devices: ${[...devices, ...volumeDevices.map(({devicePath}) => devicePath)].join(', ')}`,
            'CRIU cannot dump devices; close them in a hook before the checkpoint, or do not checkpoint this pod',
          ),
        ]
      : []),
  ]
}

function volumeFindings({volumes = []}: z.output<typeof specSchema>): readonly Found[] {
  const hostPaths = volumes.flatMap(({name, hostPath}) =>
    hostPath === undefined ? [] : [`${name} (${hostPath.path})`],
  )
  const empty = volumes.flatMap(({name, emptyDir}) => (emptyDir === undefined ? [] : [name]))
  return [
    ...(hostPaths.length > 0
      ? [
          loses(
            'HostPath',
            `hostPath folders are not included, the target node has its own: ${hostPaths.join(', ')}`,
            'use a PersistentVolumeClaim',
          ),
        ]
      : []),
    ...(empty.length > 0
      ? [
          loses(
            'EmptyDir',
            `files of emptyDir ${empty.join(', ')} are not included; while one of them is open, the pod is neither moved nor stopped`,
            'use a PersistentVolumeClaim, or the file system of the container, which is included',
          ),
        ]
      : []),
  ]
}
