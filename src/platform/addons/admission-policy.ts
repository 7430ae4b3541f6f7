import {API_VERSION} from '../../api/names.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import {addonLabels} from './checkpoint/names.ts'

const version = API_VERSION.replace(/^.*\//, '')
const apiVersion = 'admissionregistration.k8s.io/v1'

/** A rule that the API server follows, in CEL: https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/ */
export interface Policy {
  readonly name: string
  /** Default: that of pods and nodes. */
  readonly group?: string
  readonly rules: readonly {
    readonly resources: readonly string[]
    readonly operations: readonly string[]
  }[]
  /** Requests that it is about: name and expression. */
  readonly when: readonly (readonly [string, string])[]
  readonly variables?: readonly (readonly [string, string])[]
  /** Judged once for each object of this kind in the namespace of the request, or of the cluster; none: it is let through. */
  readonly params?: 'Migration' | 'CheckpointStore' | 'Pod'
  /** What must be true, and what is said when it is not. */
  readonly must: readonly (readonly [string, string])[]
}

/** The policy, and the binding that makes it count everywhere. */
export function objectsOfPolicy({
  name,
  group = '',
  rules,
  when,
  variables = [],
  params,
  must,
}: Policy): readonly KubeObject[] {
  const metadata = {name, labels: addonLabels}
  return [
    {
      apiVersion,
      kind: 'ValidatingAdmissionPolicy',
      metadata,
      spec: {
        // Without their kind those with params would stop every request.
        ...(params === undefined
          ? {failurePolicy: 'Fail'}
          : {
              failurePolicy: 'Ignore',
              paramKind: {apiVersion: params === 'Pod' ? 'v1' : API_VERSION, kind: params},
            }),
        matchConstraints: {
          resourceRules: rules.map((rule) => ({
            apiGroups: [group],
            apiVersions: [group === '' ? 'v1' : version],
            ...rule,
          })),
        },
        matchConditions: when.map(([condition, expression]) => ({name: condition, expression})),
        ...(variables.length === 0
          ? {}
          : {variables: variables.map(([variable, expression]) => ({name: variable, expression}))}),
        validations: must.map(([expression, message]) => ({expression, message})),
      },
    },
    {
      apiVersion,
      kind: 'ValidatingAdmissionPolicyBinding',
      metadata,
      spec: {
        policyName: name,
        validationActions: ['Deny'],
        ...(params === undefined ? {} : {paramRef: {selector: {}, parameterNotFoundAction: 'Allow'}}),
      },
    },
  ]
}
