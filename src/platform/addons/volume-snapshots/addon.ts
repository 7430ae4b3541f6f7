import {z} from 'zod'
import type {KubeReader} from '../../../kubernetes/types.ts'
import {defineAddon, type ClusterFacts} from '../addon.ts'
import {leasesNamed} from '../csi/access.ts'
import {
  asUser,
  clusterRole,
  metadataOf,
  ON_CONTROL_PLANES,
  podMetadataOf,
  role,
  type Rule,
  selectorOf,
  serviceAccount,
  UNPRIVILEGED,
} from '../pods.ts'

const ID = 'volume-snapshots'
const PART = {addon: ID, name: 'snapshot-controller', namespace: 'kube-system'}
const READ = ['get', 'list', 'watch']
const WRITE = [...READ, 'create', 'update', 'patch', 'delete']

const snapshot = (resources: readonly string[], verbs: readonly string[]): Rule => ({
  apiGroups: ['snapshot.storage.k8s.io'],
  resources,
  verbs,
})

const RULES: readonly Rule[] = [
  {apiGroups: [''], resources: ['persistentvolumes'], verbs: READ},
  {apiGroups: [''], resources: ['persistentvolumeclaims'], verbs: [...READ, 'update']},
  {apiGroups: [''], resources: ['events'], verbs: ['list', 'watch', 'create', 'update', 'patch']},
  snapshot(['volumesnapshotclasses'], READ),
  snapshot(['volumesnapshots', 'volumesnapshotcontents'], WRITE),
  snapshot(['volumesnapshots/status', 'volumesnapshotcontents/status'], ['update', 'patch']),
]

const PROBE = {httpGet: {port: 8080, path: '/healthz/leader-election'}, timeoutSeconds: 10}

function controller({image: imageOf}: ClusterFacts) {
  const image = imageOf('snapshot-controller')
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: metadataOf(PART),
    spec: {
      // Nothing waits for it: a snapshot that is asked for while it moves to another node is made after that.
      replicas: 1,
      selector: {matchLabels: selectorOf(PART)},
      template: {
        metadata: podMetadataOf(PART, image),
        spec: {
          automountServiceAccountToken: true,
          serviceAccountName: PART.name,
          priorityClassName: 'system-cluster-critical',
          tolerations: ON_CONTROL_PLANES,
          securityContext: asUser(),
          containers: [
            {
              name: 'snapshot-controller',
              image: image.reference,
              imagePullPolicy: 'IfNotPresent',
              args: [
                '--v=2',
                '--leader-election=true',
                '--leader-election-namespace=kube-system',
                '--http-endpoint=:8080',
                // Groups of snapshots have kinds of their own, which are not installed.
                '--feature-gates=CSIVolumeGroupSnapshot=false',
              ],
              resources: {requests: {cpu: '10m', memory: '32Mi'}},
              securityContext: UNPRIVILEGED,
              livenessProbe: {...PROBE, initialDelaySeconds: 10},
              readinessProbe: PROBE,
            },
          ],
        },
      },
    },
  }
}

async function usedBy(kube: KubeReader): Promise<readonly string[]> {
  const snapshots = await kube.list({apiVersion: 'snapshot.storage.k8s.io/v1', kind: 'VolumeSnapshot'})
  return snapshots.map(
    ({metadata}) =>
      `VolumeSnapshot ${metadata.namespace ?? ''}/${metadata.name} would be deleted with its definition`,
  )
}

/** Snapshots of volumes, as drivers that have them need them. */
export const volumeSnapshotsAddon = defineAddon({
  id: ID,
  title: 'Volume snapshots',
  version: '8.6.0',
  description:
    'the kinds VolumeSnapshot and VolumeSnapshotClass, and the controller that connects them to drivers',
  stage: 'platform',
  needs: ['pod-network'],
  provides: ['volume-snapshots'],
  images: ['snapshot-controller'],
  manifests: ['volume-snapshot-crds'],
  parameters: () => z.strictObject({}),
  objects: (_, facts) => [
    ...facts.manifests('volume-snapshot-crds'),
    serviceAccount(PART),
    ...clusterRole(PART, RULES),
    ...role(PART, leasesNamed(['snapshot-controller-leader'])),
    controller(facts),
  ],
  usedBy,
})
