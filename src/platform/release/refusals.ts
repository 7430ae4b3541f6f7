import {stringify} from 'yaml'
import {z} from 'zod'
import {KubernetesError} from '../../kubernetes/errors.ts'
import {describeRef} from '../../kubernetes/refs.ts'
import type {KubeReader, ObjectRef} from '../../kubernetes/types.ts'
import {PlatformError} from '../errors.ts'

const detailsSchema = z.looseObject({
  causes: z
    .array(
      z.looseObject({
        reason: z.string().optional(),
        field: z.string().optional(),
        message: z.string().optional(),
      }),
    )
    .nullish(),
})

/** The reasons and fields that an answer names. */
export function causesOf(error: unknown): readonly {readonly reason: string; readonly field: string}[] {
  if (!(error instanceof KubernetesError)) return []
  const details = detailsSchema.safeParse(error.answer?.details)
  return (details.data?.causes ?? []).map(({reason = '', field = ''}) => ({reason, field}))
}

const isForbidden = (error: unknown): error is KubernetesError =>
  error instanceof KubernetesError && error.answer?.status === 403

export const isInvalid = (error: unknown): error is KubernetesError =>
  error instanceof KubernetesError && error.answer?.status === 422

/** What a change needs of the permissions. */
export const APPLY_VERBS = ['get', 'list', 'create', 'patch'] as const
export const REMOVE_VERBS = ['get', 'list', 'delete'] as const

/** What was thrown, or PERMISSION_MISSING where the credentials lack a rule. */
export async function explained(
  kube: KubeReader,
  error: unknown,
  ref: ObjectRef,
  verbs: readonly string[],
): Promise<unknown> {
  if (!isForbidden(error)) return error
  const rule = await kube.missingRule(verbs, ref).catch(() => undefined)
  if (rule === undefined) return error
  const {namespace, ...content} = rule
  const place =
    namespace === undefined ? 'a ClusterRole' : `a Role of namespace ${namespace}, or a ClusterRole`
  return new PlatformError(
    'PERMISSION_MISSING',
    `the credentials do not permit to ${rule.verbs.join(', ')} ${describeRef(ref)}; ${place} must contain:\n${stringify([content]).trimEnd()}`,
    {cause: error, suggestions: ['grant the rule, or use the kubeconfig of an administrator']},
  )
}

/** Calls, and explains a refusal. Throws PlatformError PERMISSION_MISSING, or what the call threw. */
export async function permitted<T>(
  kube: KubeReader,
  ref: ObjectRef,
  verbs: readonly string[],
  call: () => Promise<T>,
): Promise<T> {
  try {
    return await call()
  } catch (error) {
    throw await explained(kube, error, ref, verbs)
  }
}
