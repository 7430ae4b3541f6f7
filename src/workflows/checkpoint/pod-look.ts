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
            'it has the network of its node: another address there, and ports that may be taken',
            'set hostNetwork to false, or move it where its ports are free',
          ),
        ]
      : []),
    ...(hostPID === true || shareProcessNamespace === true
      ? [
          loses(
            'ProcessIds',
            'its process ids are not its containers’ own: a restore fails where one of them is taken',
            'leave out hostPID and shareProcessNamespace',
          ),
        ]
      : []),
    ...(hostIPC === true
      ? [loses('HostIpc', 'shared memory of the node is not carried along', 'leave out hostIPC')]
      : []),
    ...(ephemeralContainers.length > 0
      ? [
          loses(
            'Ephemeral',
            `its ephemeral containers ${ephemeralContainers.map(({name}) => name).join(', ')} are not carried along`,
            'nothing, if that is meant',
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
            `container ${name} is privileged: what it mounted or opened of the host may not be there`,
            'name the capabilities that it needs instead',
          ),
        ]
      : []),
    ...(devices.length > 0 || volumeDevices.length > 0
      ? [
          blocks(
            'Devices',
            `container ${name} holds devices: ${[...devices, ...volumeDevices.map(({devicePath}) => devicePath)].join(', ')}`,
            'CRIU dumps none; close them before, in a hook, or keep the pod out of checkpoints',
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
            `folders of the node are what they are on the next one: ${hostPaths.join(', ')}`,
            'use a volume claim',
          ),
        ]
      : []),
    ...(empty.length > 0
      ? [
          loses(
            'EmptyDir',
            `files of emptyDir ${empty.join(', ')} are in no checkpoint; while one of them is held open, the pod is not moved or ended`,
            'use a volume claim, or the file system of the container, which is carried along',
          ),
        ]
      : []),
  ]
}
