import {z} from 'zod'
import {quantity} from '../../kubernetes/pod.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import type {ReconcileContext} from './reconcile-context.ts'

const amounts = z.record(z.string(), z.string())
const quotaSchema = z.looseObject({
  status: z.looseObject({hard: amounts.default({}), used: amounts.default({})}).default({hard: {}, used: {}}),
})
const podSchema = z.looseObject({
  spec: z.looseObject({
    containers: z.array(
      z.looseObject({
        resources: z.looseObject({requests: amounts.default({}), limits: amounts.default({})}).optional(),
      }),
    ),
  }),
})

/**
 * Whether a refusal is that of a quota which has room for the pod once the one is gone whose place it takes, and which
 * needs the same. A quota is asked last of all, so that nothing else is against it.
 */
export async function hasRoomOnceGone(
  pod: KubeObject,
  refusal: string,
  {kube}: Pick<ReconcileContext, 'kube'>,
): Promise<boolean> {
  if (!/exceeded quota/.test(refusal)) return false
  const {namespace = 'default'} = pod.metadata
  const found = await kube.list({apiVersion: 'v1', kind: 'ResourceQuota', namespace})
  return found.every((object) => {
    const {hard, used} = quotaSchema.parse(object).status
    return Object.entries(hard).every(
      ([name, most]) => needed(name, pod) === 0 || quantity(used[name] ?? '0') <= quantity(most),
    )
  })
}

/** What a pod takes of what a quota counts: https://kubernetes.io/docs/concepts/policy/resource-quotas/ */
function needed(name: string, pod: KubeObject): number {
  if (name === 'pods' || name === 'count/pods') return 1
  const [, kind = 'requests', resource = ''] = /^(?:(requests|limits)\.)?(.+)$/.exec(name) ?? []
  return podSchema.parse(pod).spec.containers.reduce((sum, {resources}) => {
    const text = (kind === 'limits' ? resources?.limits : resources?.requests)?.[resource]
    return text === undefined ? sum : sum + quantity(text)
  }, 0)
}
