import type {KubeObject} from '../../../kubernetes/types.ts'
import {metadataOf, podMetadataOf, selectorOf, UNPRIVILEGED} from '../pods.ts'
import type {Image} from '../workloads.ts'
import {NODE_EXPORTER, NODE_EXPORTER_PORT} from './names.ts'

const hostFolders = [
  {name: 'proc', path: '/proc', mountPath: '/host/proc'},
  {name: 'sys', path: '/sys', mountPath: '/host/sys'},
  {name: 'root', path: '/', mountPath: '/host/root'},
]

/** Metrics of the machine itself. It reads the node as a user without rights, and listens on the address of the node only. */
export const nodeExporter = (image: Image): KubeObject => ({
  apiVersion: 'apps/v1',
  kind: 'DaemonSet',
  metadata: metadataOf(NODE_EXPORTER),
  spec: {
    selector: {matchLabels: selectorOf(NODE_EXPORTER)},
    updateStrategy: {type: 'RollingUpdate', rollingUpdate: {maxUnavailable: '50%'}},
    template: {
      metadata: podMetadataOf(NODE_EXPORTER, image),
      spec: {
        serviceAccountName: NODE_EXPORTER.name,
        automountServiceAccountToken: false,
        enableServiceLinks: false,
        hostNetwork: true,
        priorityClassName: 'system-node-critical',
        nodeSelector: {'kubernetes.io/os': 'linux'},
        tolerations: [{operator: 'Exists'}],
        securityContext: {
          runAsNonRoot: true,
          runAsUser: 65_534,
          runAsGroup: 65_534,
          seccompProfile: {type: 'RuntimeDefault'},
        },
        containers: [
          {
            name: NODE_EXPORTER.name,
            image: image.reference,
            imagePullPolicy: 'IfNotPresent',
            args: [
              '--path.procfs=/host/proc',
              '--path.sysfs=/host/sys',
              '--path.rootfs=/host/root',
              `--web.listen-address=$(NODE_ADDRESS):${NODE_EXPORTER_PORT}`,
              // Of pods, which the kubelet reports.
              '--collector.filesystem.mount-points-exclude=^/(dev|proc|sys|run|var/lib/kubelet/pods|var/lib/containerd)($|/)',
              '--collector.netclass.ignored-devices=^(veth.*|cni.*)$',
              '--collector.netdev.device-exclude=^veth.*$',
            ],
            env: [{name: 'NODE_ADDRESS', valueFrom: {fieldRef: {fieldPath: 'status.hostIP'}}}],
            ports: [
              {
                name: 'metrics',
                containerPort: NODE_EXPORTER_PORT,
                hostPort: NODE_EXPORTER_PORT,
                protocol: 'TCP',
              },
            ],
            readinessProbe: {httpGet: {path: '/', port: 'metrics'}, timeoutSeconds: 5, periodSeconds: 5},
            resources: {requests: {cpu: '10m', memory: '24Mi'}},
            securityContext: UNPRIVILEGED,
            volumeMounts: hostFolders.map(({name, mountPath}) => ({
              name,
              mountPath,
              readOnly: true,
              ...(name === 'root' ? {mountPropagation: 'HostToContainer'} : {}),
            })),
          },
        ],
        volumes: hostFolders.map(({name, path}) => ({name, hostPath: {path, type: 'Directory'}})),
      },
    },
  },
})
