import type {ClusterFacts} from '../addon.ts'
import {UNPRIVILEGED} from '../pods.ts'
import type {DriverAbilities} from './access.ts'

type Container = Readonly<Record<string, unknown>>

const SOCKET_DIR = '/csi'
export const SOCKET = `${SOCKET_DIR}/csi.sock`
/** Where a driver's socket stands in every container of its pods. */
export const SOCKET_MOUNT = {name: 'socket', mountPath: SOCKET_DIR}
const REQUESTS = {requests: {cpu: '10m', memory: '32Mi'}}

/** Names of the images of a controller's sidecars. */
export const controllerImages = ({attaches, resizes, snapshots}: DriverAbilities): readonly string[] => [
  'csi-provisioner',
  ...(attaches ? ['csi-attacher'] : []),
  ...(resizes ? ['csi-resizer'] : []),
  ...(snapshots ? ['csi-snapshotter'] : []),
  'csi-livenessprobe',
]

/** Names of the images beside the driver on nodes. */
export const NODE_IMAGES = ['csi-node-driver-registrar', 'csi-livenessprobe']

function sidecar(name: string, args: readonly string[], {image}: ClusterFacts): Container {
  return {
    name,
    image: image(name).reference,
    imagePullPolicy: 'IfNotPresent',
    args: [`--csi-address=${SOCKET}`, '--v=2', ...args],
    resources: REQUESTS,
    securityContext: UNPRIVILEGED,
    volumeMounts: [SOCKET_MOUNT],
  }
}

/** What turns claims, attachments, sizes and snapshots of the API into calls of a driver. */
export function controllerSidecars(
  {attaches, resizes, snapshots}: DriverAbilities,
  facts: ClusterFacts,
): readonly Container[] {
  const leader = ['--leader-election=true', '--leader-election-namespace=kube-system']
  return [
    sidecar(
      'csi-provisioner',
      [
        ...leader,
        '--timeout=60s',
        '--extra-create-metadata',
        '--feature-gates=Topology=true',
        ...(attaches ? ['--strict-topology=true', '--default-fstype=ext4'] : []),
      ],
      facts,
    ),
    // A volume that is in use elsewhere is detached first, which takes minutes.
    ...(attaches ? [sidecar('csi-attacher', [...leader, '--timeout=6m'], facts)] : []),
    ...(resizes
      ? [sidecar('csi-resizer', [...leader, '--timeout=60s', '--handle-volume-inuse-error=false'], facts)]
      : []),
    ...(snapshots
      ? [
          sidecar(
            'csi-snapshotter',
            // Neither driver here has groups of snapshots, whose kinds are not installed.
            [...leader, '--extra-create-metadata', '--feature-gates=CSIVolumeGroupSnapshot=false'],
            facts,
          ),
        ]
      : []),
  ]
}

/** Answers probes for the driver: healthy while the driver answers on its socket. */
export const livenessSidecar = (endpoint: string, facts: ClusterFacts): Container =>
  sidecar('csi-livenessprobe', ['--probe-timeout=10s', `--http-endpoint=${endpoint}`], facts)

/** Makes a driver known to the kubelet of its node. */
export function registrarSidecar(driver: string, facts: ClusterFacts): Container {
  const path = `/var/lib/kubelet/plugins/${driver}/csi.sock`
  const container = sidecar('csi-node-driver-registrar', [`--kubelet-registration-path=${path}`], facts)
  return {
    ...container,
    volumeMounts: [SOCKET_MOUNT, {name: 'registration', mountPath: '/registration'}],
  }
}
