import type {KubeObject, ObjectRef} from './types.ts'

export function refOf(object: KubeObject): ObjectRef {
  const {name, namespace} = object.metadata
  return {
    apiVersion: object.apiVersion,
    kind: object.kind,
    name,
    ...(namespace === undefined ? {} : {namespace}),
  }
}

/** `DaemonSet kube-flannel/kube-flannel-ds`. */
export function describeRef(ref: ObjectRef): string {
  return `${ref.kind} ${ref.namespace === undefined ? '' : `${ref.namespace}/`}${ref.name}`
}
