import {z} from 'zod'
import {selects} from '../../checkpoint/policies.ts'
import {policySpecSchema} from '../../api/kinds/policy.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import type {ReconcileContext} from './reconcile-context.ts'

/** Kinds whose controllers adopt every pod that has no controller and the labels of their selector. */
const ADOPTERS = [
  {apiVersion: 'apps/v1', kind: 'ReplicaSet'},
  {apiVersion: 'apps/v1', kind: 'StatefulSet'},
  {apiVersion: 'apps/v1', kind: 'DaemonSet'},
  {apiVersion: 'v1', kind: 'ReplicationController'},
] as const

const labelsSchema = z.record(z.string(), z.string())
const adopterSchema = z.looseObject({
  spec: z.looseObject({
    // A ReplicationController has the labels themselves.
    selector: z.union([
      policySpecSchema.shape.selector,
      labelsSchema.transform((matchLabels) => ({matchLabels})),
    ]),
  }),
})
const podSchema = z.looseObject({
  metadata: z.looseObject({
    labels: labelsSchema.default({}),
    ownerReferences: z.array(z.looseObject({controller: z.boolean().optional()})).default([]),
  }),
})

/**
 * Why a pod must not be made: a controller would adopt it, see one too many, and delete it, as it does with those first
 * that are not ready. Undefined: none would.
 */
export async function adoptionProblem(
  pod: KubeObject,
  {kube}: Pick<ReconcileContext, 'kube'>,
): Promise<string | undefined> {
  const {name, namespace = 'default'} = pod.metadata
  const {labels, ownerReferences} = podSchema.parse(pod).metadata
  if (ownerReferences.some(({controller}) => controller === true)) return undefined
  for (const {apiVersion, kind} of ADOPTERS)
    for (const object of await kube.list({apiVersion, kind, namespace}))
      if (adopts(object, kind, name, labels))
        return `${kind} ${object.metadata.name} selects the labels of pod ${name}, and would adopt and delete it as a surplus pod; delete the ${kind} first, with --cascade=orphan if its pods are to stay`
  return undefined
}

function adopts(
  {metadata, ...object}: KubeObject,
  kind: (typeof ADOPTERS)[number]['kind'],
  pod: string,
  labels: Readonly<Record<string, string>>,
): boolean {
  if (metadata.deletionTimestamp !== undefined) return false
  // It knows its pods by their names too.
  if (kind === 'StatefulSet' && pod.replace(/-\d+$/, '') !== metadata.name) return false
  const selector = adopterSchema.safeParse(object).data?.spec.selector
  return selector !== undefined && Object.keys(labels).length > 0 && selects(selector, labels)
}
