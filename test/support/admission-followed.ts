import type {KubeClient, KubeObject} from '../../src/kubernetes/types.ts'
import {refOf} from '../../src/kubernetes/refs.ts'
import {waitFor} from '../../src/base/waiting.ts'

const apiVersion = 'admissionregistration.k8s.io/v1'
const NAME = 'last-of-all'
const metadata = {name: NAME}

/** Refuses one name, and is made after all others: the API server takes policies over in their order, all of a second at once. */
const LAST: readonly KubeObject[] = [
  {
    apiVersion,
    kind: 'ValidatingAdmissionPolicy',
    metadata,
    spec: {
      failurePolicy: 'Fail',
      matchConstraints: {
        resourceRules: [
          {apiGroups: [''], apiVersions: ['v1'], resources: ['namespaces'], operations: ['CREATE']},
        ],
      },
      validations: [{expression: `object.metadata.name != '${NAME}'`, message: 'policies are followed'}],
    },
  },
  {
    apiVersion,
    kind: 'ValidatingAdmissionPolicyBinding',
    metadata,
    spec: {policyName: NAME, validationActions: ['Deny']},
  },
]

/** Waits until the API server follows every policy that was applied before. */
export async function admissionFollowed(kube: KubeClient): Promise<void> {
  await kube.apply(LAST)
  await waitFor({
    what: 'policies of admission to be followed',
    check: async () => {
      const seen = await kube.create({apiVersion: 'v1', kind: 'Namespace', metadata}, {dryRun: true}).then(
        () => 'let in',
        (error: unknown) => String(error),
      )
      return {seen, ...(seen.includes('policies are followed') ? {value: true} : {})}
    },
    timeoutMs: 30_000,
    intervalMs: 100,
    signal: new AbortController().signal,
  })
  for (const object of LAST.toReversed()) await kube.delete(refOf(object))
}
