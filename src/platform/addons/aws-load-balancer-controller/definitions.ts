import type {KubeObject} from '../../../kubernetes/types.ts'

interface Kind {
  readonly kind: string
  readonly plural: string
  readonly singular: string
  readonly scope: 'Namespaced' | 'Cluster'
  readonly columns: readonly {readonly name: string; readonly jsonPath: string}[]
  readonly spec: object
}

const text = {type: 'string'}
/** What the controller itself checks, in its webhook. */
const unchecked = {type: 'object', 'x-kubernetes-preserve-unknown-fields': true}

const KINDS: readonly Kind[] = [
  {
    kind: 'TargetGroupBinding',
    plural: 'targetgroupbindings',
    singular: 'targetgroupbinding',
    scope: 'Namespaced',
    columns: [
      {name: 'Service', jsonPath: '.spec.serviceRef.name'},
      {name: 'Port', jsonPath: '.spec.serviceRef.port'},
      {name: 'Target-Type', jsonPath: '.spec.targetType'},
    ],
    spec: {
      ...unchecked,
      required: ['serviceRef'],
      properties: {
        serviceRef: {
          type: 'object',
          required: ['name', 'port'],
          properties: {name: text, port: {'x-kubernetes-int-or-string': true}},
        },
        targetGroupARN: text,
        targetGroupName: text,
        targetType: {...text, enum: ['instance', 'ip']},
      },
    },
  },
  {
    kind: 'IngressClassParams',
    plural: 'ingressclassparams',
    singular: 'ingressclassparam',
    scope: 'Cluster',
    columns: [
      {name: 'Group', jsonPath: '.spec.group.name'},
      {name: 'Scheme', jsonPath: '.spec.scheme'},
    ],
    spec: unchecked,
  },
]

/** The kinds of the controller, no further checked than their outline: its webhooks know what is allowed. */
export function loadBalancerDefinitions(addon: string): readonly KubeObject[] {
  return KINDS.map(({kind, plural, singular, scope, columns, spec}) => ({
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: {name: `${plural}.elbv2.k8s.aws`, labels: {'clouder.dev/addon': addon}},
    spec: {
      group: 'elbv2.k8s.aws',
      scope,
      names: {kind, listKind: `${kind}List`, plural, singular},
      versions: [
        {
          name: 'v1beta1',
          served: true,
          storage: true,
          subresources: {status: {}},
          additionalPrinterColumns: [
            ...columns.map((column) => ({...column, ...text})),
            {name: 'Age', jsonPath: '.metadata.creationTimestamp', type: 'date'},
          ],
          schema: {openAPIV3Schema: {type: 'object', properties: {spec, status: unchecked}}},
        },
      ],
    },
  }))
}
