import {z} from 'zod'
import {defineAddon} from '../addon.ts'
import {hasDefaultClass, storageShape} from '../storage.ts'
import {ADDON} from './names.ts'
import {monitoringObjects} from './objects.ts'
import {receiverSchema} from './receivers.ts'
import {smokeMonitoring} from './smoke.ts'

/** History of metrics, and alerts. */
export const monitoringAddon = defineAddon({
  id: ADDON,
  title: 'Monitoring',
  version: '3.5.3',
  description:
    'Prometheus, Alertmanager and node metrics, with rules for nodes, workloads and checkpoints, and dashboards',
  profile: 'full',
  stage: 'platform',
  needs: ['pod-network'],
  provides: ['metrics'],
  images: ['prometheus', 'alertmanager', 'node-exporter'],
  parameters: (spec) =>
    z.strictObject({
      intervalSeconds: z.int().min(5).max(300).default(30).describe('interval between two measurements'),
      retentionDays: z.int().min(1).max(3650).default(15).describe('how long metrics are kept'),
      persistent: z
        .boolean()
        .default(hasDefaultClass(spec))
        .describe(
          'whether metrics outlive their pod, on a volume; default: whether the cluster has a default StorageClass',
        ),
      ...storageShape('10Gi'),
      receivers: z
        .array(receiverSchema)
        .default([])
        .describe('where alerts are sent; empty: they are shown in Alertmanager only'),
    }),
  objects: (parameters, {image}) =>
    monitoringObjects({
      ...parameters,
      images: {
        prometheus: image('prometheus'),
        alertmanager: image('alertmanager'),
        nodeExporter: image('node-exporter'),
      },
    }),
  smoke: {proves: 'metrics of all nodes are there, and an alert reaches Alertmanager', run: smokeMonitoring},
})
