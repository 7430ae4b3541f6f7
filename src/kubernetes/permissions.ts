import {z} from 'zod'
import {accepted} from './answers.ts'
import {describeRef} from './refs.ts'
import type {HttpAnswer, ObjectRef, PolicyRule} from './types.ts'

const REVIEWS = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews'
const reviewSchema = z.looseObject({status: z.looseObject({allowed: z.boolean()})})

interface Question {
  /** Of the collection: `/apis/apps/v1/namespaces/web/deployments`. */
  readonly path: string
  readonly verbs: readonly string[]
  readonly ref: ObjectRef
  readonly post: (path: string, body: string) => Promise<HttpAnswer>
}

/** The rule that the credentials lack; undefined: they are permitted every verb. Throws KubernetesError. */
export async function missingRule({path, verbs, ref, post}: Question): Promise<PolicyRule | undefined> {
  const [group = ''] = ref.apiVersion.includes('/') ? ref.apiVersion.split('/') : []
  const resource = path.slice(path.lastIndexOf('/') + 1)
  const {namespace} = ref
  const asked = await Promise.all(
    verbs.map(async (verb) => {
      const resourceAttributes = {verb, group, resource, namespace, name: ref.name}
      const body = {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SelfSubjectAccessReview',
        spec: {resourceAttributes},
      }
      const answer = accepted(
        await post(REVIEWS, JSON.stringify(body)),
        `review access to ${describeRef(ref)}`,
      )
      return {verb, ...reviewSchema.parse(JSON.parse(answer)).status}
    }),
  )
  const missing = asked.filter(({allowed}) => !allowed).map(({verb}) => verb)
  if (missing.length === 0) return undefined
  return {
    apiGroups: [group],
    resources: [resource],
    verbs: missing,
    ...(namespace === undefined ? {} : {namespace}),
  }
}
