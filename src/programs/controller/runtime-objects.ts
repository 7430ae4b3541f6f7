import {RESTORE_RUNTIME, RUNTIME_LABEL} from '../../api/names.ts'
import {labelValue, objectName, serviceName} from '../../api/object-names.ts'
import type {Runtime} from '../../api/resources.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import {WATCHED} from './reconcile-context.ts'

const HOME = '/home'
/** A claim's name is no label. */
const MOST_OF_CLAIM = 253
/** The container's name: what `clouder runtime exec` and `logs` mean. */
export const RUNTIME_CONTAINER = 'main'

/** Makes what belongs to a Runtime go with it. */
export const ownersOf = ({metadata}: Runtime): readonly object[] => [
  {
    apiVersion: WATCHED.Runtime,
    kind: 'Runtime',
    name: metadata.name,
    uid: metadata.uid ?? '',
    controller: true,
  },
]

const metadataOf = (runtime: Runtime, name: string) => ({
  name,
  namespace: runtime.metadata.namespace ?? 'default',
  labels: {[RUNTIME_LABEL]: labelValue(runtime.metadata.name)},
  ownerReferences: ownersOf(runtime),
})

const homeClaim = ({metadata}: Runtime): string => objectName([metadata.name, 'home'], MOST_OF_CLAIM)

/** What is there as long as the Runtime is: its home, its Service. */
export function lastingObjects(runtime: Runtime): readonly KubeObject[] {
  const {metadata, spec} = runtime
  const {home, ports = []} = spec
  return [
    ...(home === undefined
      ? []
      : [
          {
            apiVersion: 'v1',
            kind: 'PersistentVolumeClaim',
            metadata: metadataOf(runtime, homeClaim(runtime)),
            spec: {
              accessModes: ['ReadWriteOnce'],
              resources: {requests: {storage: home.size}},
              ...(home.storageClassName === undefined ? {} : {storageClassName: home.storageClassName}),
            },
          },
        ]),
    ...(ports.length === 0
      ? []
      : [
          {
            apiVersion: 'v1',
            kind: 'Service',
            metadata: metadataOf(runtime, serviceName(metadata.name)),
            spec: {
              selector: {[RUNTIME_LABEL]: labelValue(metadata.name)},
              ports: ports.map((port) => ({name: `port-${port}`, port, targetPort: port})),
            },
          },
        ]),
  ]
}

/** The pod of a Runtime that begins. Its secrets are files in memory, which a checkpoint does not hold. */
export function runtimePod(runtime: Runtime): KubeObject {
  const {metadata, spec} = runtime
  const {resources = {}, env = {}, ports = [], command, args, workingDir} = spec
  const volumes = volumesOf(runtime)
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: metadataOf(runtime, metadata.name),
    spec: {
      runtimeClassName: RESTORE_RUNTIME,
      restartPolicy: 'Always',
      enableServiceLinks: false,
      automountServiceAccountToken: false,
      securityContext: {seccompProfile: {type: 'RuntimeDefault'}},
      ...(spec.nodeSelector === undefined ? {} : {nodeSelector: spec.nodeSelector}),
      containers: [
        {
          name: RUNTIME_CONTAINER,
          image: spec.image,
          // For `clouder runtime attach`, which types into it.
          stdin: true,
          ...(command === undefined ? {} : {command}),
          ...(args === undefined ? {} : {args}),
          ...(workingDir === undefined ? {} : {workingDir}),
          env: Object.entries(env).map(([name, value]) => ({name, value})),
          ports: ports.map((containerPort) => ({containerPort})),
          resources: {requests: resources, limits: resources},
          volumeMounts: volumes.map(({mount}) => mount),
        },
      ],
      volumes: volumes.map(({volume}) => volume),
    },
  }
}

function volumesOf(runtime: Runtime): readonly {readonly volume: object; readonly mount: object}[] {
  const {home, secretNames = [], volumes = []} = runtime.spec
  const claim = (name: string, claimName: string, mountPath: string) => ({
    volume: {name, persistentVolumeClaim: {claimName}},
    mount: {name, mountPath},
  })
  return [
    ...(home === undefined ? [] : [claim('home', homeClaim(runtime), HOME)]),
    ...volumes.map(({claimName, mountPath}, index) => claim(`volume-${index}`, claimName, mountPath)),
    ...secretNames.map((secretName, index) => ({
      volume: {name: `secret-${index}`, secret: {secretName}},
      mount: {name: `secret-${index}`, mountPath: `/run/secrets/${secretName}`, readOnly: true},
    })),
  ]
}
