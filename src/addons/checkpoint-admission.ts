import {
  API_VERSION,
  BACKEND_LABELS,
  CHECKPOINT_IMAGE_PREFIX,
  CHECKPOINT_IMAGES_LABEL,
  NODE_ABILITIES_ANNOTATION,
  RESTORE_ANNOTATION,
  RESTORE_RUNTIME,
  SYSTEM_NAMESPACE,
} from '../checkpoint/names.ts'
import type {KubeObject} from '../kubernetes/types.ts'
import {addonLabels, agentUser, controllerUser} from './checkpoint-names.ts'

const version = API_VERSION.replace(/^.*\//, '')
const apiVersion = 'admissionregistration.k8s.io/v1'
/** Of its own pod, which a token of a service account is bound to; Kubernetes 1.32 and newer tell it. */
const OWN_NODE = "request.userInfo.extra['authentication.kubernetes.io/node-name'][0]"

interface Policy {
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
  /** Judged once for each object of this kind in the namespace of the request; none: it is let through. */
  readonly params?: 'Migration'
  /** What must be true, and what is said when it is not. */
  readonly must: readonly (readonly [string, string])[]
}

const OF_CHECKPOINT = `startsWith('${CHECKPOINT_IMAGE_PREFIX}')`
const NAMES_AN_ID = `matches('^(docker[.]io/)?(library/)?sha256:[0-9a-f]+$')`
const ALL_CONTAINERS =
  'object.spec.containers.map(c, c.image) + object.spec.?initContainers.orValue([]).map(c, c.image) + object.spec.?ephemeralContainers.orValue([]).map(c, c.image)'
const SAME_IMAGES =
  "request.operation == 'UPDATE' && request.subResource == '' && object.spec.containers.map(c, c.image) == oldObject.spec.containers.map(c, c.image)"
const PODS = [
  {resources: ['pods'], operations: ['CREATE', 'UPDATE']},
  {resources: ['pods/ephemeralcontainers'], operations: ['UPDATE']},
]

/** An image made of a checkpoint starts with the memory of another process: by digest, where it was allowed, by the controller. */
const images: Policy = {
  name: 'clouder-checkpoint-images',
  rules: PODS,
  when: [['has-checkpoint-image', `(${ALL_CONTAINERS}).exists(image, image.${OF_CHECKPOINT})`]],
  variables: [['images', `(${ALL_CONTAINERS}).filter(image, image.${OF_CHECKPOINT})`]],
  must: [
    [
      `variables.images.all(image, image.matches('@sha256:[0-9a-f]{64}$'))`,
      `images below ${CHECKPOINT_IMAGE_PREFIX} are named by digest`,
    ],
    [
      `namespaceObject.metadata.?labels[?'${CHECKPOINT_IMAGES_LABEL}'].orValue('') == 'true'`,
      `images below ${CHECKPOINT_IMAGE_PREFIX} run only in namespaces with the label ${CHECKPOINT_IMAGES_LABEL}=true`,
    ],
    [
      // The kubelet and the scheduler write to pods that are there already.
      `${SAME_IMAGES} || request.userInfo.username == '${controllerUser(SYSTEM_NAMESPACE)}'`,
      `pods with images below ${CHECKPOINT_IMAGE_PREFIX} are made by a Restore, not by hand`,
    ],
  ],
}

const CHOSEN = `object.spec.?nodeSelector[?'${CHECKPOINT_IMAGES_LABEL}'].hasValue()`
const TOLERATED = `object.spec.?tolerations.orValue([]).exists(toleration, toleration.?key.orValue('') == '${CHECKPOINT_IMAGES_LABEL}')`

/** The nodes where containerd restores whatever image says that it is a checkpoint: nobody else's pods go there on purpose. */
const imageNodes: Policy = {
  name: 'clouder-checkpoint-image-nodes',
  rules: PODS,
  when: [['wants-these-nodes', `${CHOSEN} || ${TOLERATED}`]],
  must: [
    [
      `(${ALL_CONTAINERS}).all(image, image.${OF_CHECKPOINT})`,
      `pods that ask for the nodes ${CHECKPOINT_IMAGES_LABEL} have images below ${CHECKPOINT_IMAGE_PREFIX} only`,
    ],
  ],
}

/** An image that was made of a checkpoint has an id too, and any beginning of it would do. */
const imageIds: Policy = {
  name: 'clouder-image-ids',
  rules: PODS,
  when: [['names-an-id', `(${ALL_CONTAINERS}).exists(image, image.${NAMES_AN_ID})`]],
  must: [
    [
      // One that was there before this was said.
      SAME_IMAGES,
      'images are named, by digest if need be, and not by their id on a node',
    ],
  ],
}

const ANNOTATION = `metadata.?annotations[?'${RESTORE_ANNOTATION}']`

/** Only the restoring runtime knows the annotation: with another one the pod would silently begin anew. */
const annotation: Policy = {
  name: 'clouder-restore-annotation',
  rules: [{resources: ['pods'], operations: ['CREATE', 'UPDATE']}],
  when: [
    [
      'has-annotation',
      `object.${ANNOTATION}.hasValue() || (oldObject != null && oldObject.${ANNOTATION}.hasValue())`,
    ],
  ],
  must: [
    [
      `object.spec.?runtimeClassName.orValue('') == '${RESTORE_RUNTIME}'`,
      `the annotation ${RESTORE_ANNOTATION} needs runtimeClassName ${RESTORE_RUNTIME}`,
    ],
    [
      `request.operation == 'CREATE' || object.${ANNOTATION}.orValue('') == oldObject.${ANNOTATION}.orValue('')`,
      `the annotation ${RESTORE_ANNOTATION} cannot be changed`,
    ],
  ],
}

const ownLabels = Object.values(BACKEND_LABELS).map((label) => `'${label}'`)

/** A node that is taken over must not become a key to the others: its agent writes to its own Node, and only what it is there for. */
const ownNode: Policy = {
  name: 'clouder-node-agent-nodes',
  rules: [{resources: ['nodes', 'nodes/status'], operations: ['UPDATE']}],
  when: [['by-an-agent', `request.userInfo.username == '${agentUser(SYSTEM_NAMESPACE)}'`]],
  must: [
    [`object.metadata.name == ${OWN_NODE}`, 'a node agent writes to its own node only'],
    ['object.spec == oldObject.spec', 'a node agent changes no spec of a node'],
    [
      `object.metadata.labels.all(key, oldObject.metadata.labels[?key].orValue('') == object.metadata.labels[key] || key in [${ownLabels.join(', ')}]) && oldObject.metadata.labels.all(key, key in object.metadata.labels || key in [${ownLabels.join(', ')}])`,
      'a node agent changes only the labels of restore backends',
    ],
    [
      `object.metadata.?annotations.orValue({}).all(key, oldObject.metadata.?annotations[?key].orValue('') == object.metadata.annotations[key] || key == '${NODE_ABILITIES_ANNOTATION}')`,
      `a node agent changes only the annotation ${NODE_ABILITIES_ANNOTATION}`,
    ],
  ],
}

const ownPods: Policy = {
  name: 'clouder-node-agent-pods',
  rules: [{resources: ['pods'], operations: ['DELETE']}],
  when: [['by-an-agent', `request.userInfo.username == '${agentUser(SYSTEM_NAMESPACE)}'`]],
  must: [
    [`oldObject.spec.?nodeName.orValue('') == ${OWN_NODE}`, 'a node agent deletes pods of its own node only'],
  ],
}

const ownStatus: Policy = {
  name: 'clouder-node-agent-statuses',
  group: 'clouder.dev',
  rules: [
    {
      resources: ['checkpoints', 'checkpoints/status', 'restores/status'],
      operations: ['UPDATE'],
    },
  ],
  when: [['by-an-agent', `request.userInfo.username == '${agentUser(SYSTEM_NAMESPACE)}'`]],
  must: [
    [
      `oldObject.?status.?node.orValue('') in ['', ${OWN_NODE}] && object.?status.?node.orValue('') in ['', ${OWN_NODE}]`,
      'a node agent writes only what is of its own node',
    ],
  ],
}

const ownMoves: Policy = {
  name: 'clouder-node-agent-moves',
  group: 'clouder.dev',
  rules: [{resources: ['migrations', 'migrations/status'], operations: ['UPDATE']}],
  when: [['by-an-agent', `request.userInfo.username == '${agentUser(SYSTEM_NAMESPACE)}'`]],
  must: [
    [
      `oldObject.?status.?targetNode.orValue('') == ${OWN_NODE} && object.?status.?targetNode.orValue('') == ${OWN_NODE} && object.?status.?phase.orValue('') == oldObject.?status.?phase.orValue('')`,
      'a node agent says of a move only whether its own node can take the pod',
    ],
  ],
}

/** Between a pod that left and the one that takes its place, whoever made the first one must not begin it anew. */
const movingPods: Policy = {
  name: 'clouder-moving-pods',
  rules: [{resources: ['pods'], operations: ['CREATE']}],
  when: [['not-by-the-controller', `request.userInfo.username != '${controllerUser(SYSTEM_NAMESPACE)}'`]],
  params: 'Migration',
  must: [
    [
      `params.spec.pod != object.metadata.?name.orValue('') || !(params.?status.?phase.orValue('') in ['Moving', 'RollingBack'])`,
      'a Migration moves the pod of this name, whose memory is in its checkpoint',
    ],
  ],
}

function objectsOf({
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
          : {failurePolicy: 'Ignore', paramKind: {apiVersion: API_VERSION, kind: params}}),
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

/** What the API server refuses, whoever asks. */
export function checkpointAdmission(): readonly KubeObject[] {
  return [
    images,
    imageNodes,
    imageIds,
    annotation,
    ownNode,
    ownPods,
    ownStatus,
    ownMoves,
    movingPods,
  ].flatMap(objectsOf)
}
