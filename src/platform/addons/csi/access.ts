import type {Rule} from '../pods.ts'

const READ = ['get', 'list', 'watch']
const EVENTS: Rule = {
  apiGroups: [''],
  resources: ['events'],
  verbs: ['list', 'watch', 'create', 'update', 'patch'],
}

const storage = (resources: readonly string[], verbs: readonly string[]): Rule => ({
  apiGroups: ['storage.k8s.io'],
  resources,
  verbs,
})
const core = (resources: readonly string[], verbs: readonly string[]): Rule => ({
  apiGroups: [''],
  resources,
  verbs,
})
const snapshot = (resources: readonly string[], verbs: readonly string[]): Rule => ({
  apiGroups: ['snapshot.storage.k8s.io'],
  resources,
  verbs,
})

export interface DriverAbilities {
  /** It attaches volumes to machines. */
  readonly attaches: boolean
  readonly resizes: boolean
  readonly snapshots: boolean
}

/** What the sidecars of a controller do in the API. None of them reads Secrets: no driver here needs one. */
export function controllerRules({attaches, resizes, snapshots}: DriverAbilities): readonly Rule[] {
  return [
    EVENTS,
    core(['nodes'], READ),
    core(['persistentvolumes'], [...READ, 'create', 'patch', 'delete']),
    core(['persistentvolumeclaims'], [...READ, 'update']),
    storage(['storageclasses', 'csinodes'], READ),
    ...(attaches
      ? [storage(['volumeattachments'], [...READ, 'patch']), storage(['volumeattachments/status'], ['patch'])]
      : []),
    ...(resizes
      ? [
          core(['pods'], READ),
          core(['persistentvolumeclaims/status'], ['patch']),
          storage(['volumeattributesclasses'], READ),
        ]
      : []),
    ...(snapshots
      ? [
          snapshot(['volumesnapshots'], [...READ, 'update']),
          snapshot(['volumesnapshotclasses'], READ),
          snapshot(['volumesnapshotcontents'], [...READ, 'update', 'patch']),
          snapshot(['volumesnapshotcontents/status'], ['update', 'patch']),
        ]
      : []),
  ]
}

/** The leases of a driver's sidecars, by their names: the namespace also holds those of the control plane. */
export function leaseRules(driver: string, {attaches, resizes, snapshots}: DriverAbilities): readonly Rule[] {
  const name = driver.replaceAll(/[^a-zA-Z0-9-]/g, '-')
  const names = [
    name,
    ...(attaches ? [`external-attacher-leader-${name}`] : []),
    ...(resizes ? [`external-resizer-${name}`] : []),
    ...(snapshots ? [`external-snapshotter-leader-${name}`] : []),
  ]
  return leasesNamed(names)
}

/** What leader election does; creating cannot be limited to a name. */
export const leasesNamed = (resourceNames: readonly string[]): readonly Rule[] => [
  {apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['create']},
  {
    apiGroups: ['coordination.k8s.io'],
    resources: ['leases'],
    resourceNames,
    verbs: ['get', 'update', 'patch'],
  },
]
