import {
  AFFINITY_ANNOTATION,
  CHECKPOINT_IMAGE_PREFIX,
  CHECKPOINT_IMAGES_LABEL,
  HOST_ACCOUNT,
  HOST_TOKEN_SECONDS,
  ORIGINAL_ANNOTATION,
  RESTORE_ANNOTATION,
  RESTORE_RUNTIME,
  STORE_USE_PREFIX,
  SYSTEM_NAMESPACE,
} from '../../../api/names.ts'
import type {KubeObject} from '../../../kubernetes/types.ts'
import {objectsOfPolicy, type Policy} from '../admission-policy.ts'
import {agentPolicies} from './admission-agents.ts'
import {controllerUser} from './names.ts'

const OF_CHECKPOINT = `startsWith('${CHECKPOINT_IMAGE_PREFIX}')`
const NAMES_AN_ID = `matches('^(docker[.]io/)?(library/)?sha256:[0-9a-f]+$')`
const imagesOf = (pod: 'object' | 'oldObject'): string =>
  ['containers', 'initContainers', 'ephemeralContainers']
    .map((list) => `${pod}.spec.?${list}.orValue([]).map(c, c.?image.orValue(''))`)
    .join(' + ')
const ALL_CONTAINERS = imagesOf('object')
/** Images that are mounted: their files can be read. */
const VOLUMES =
  "object.spec.?volumes.orValue([]).filter(v, has(v.image)).map(v, v.image.?reference.orValue(''))"
const SAME_IMAGES = `request.operation == 'UPDATE' && request.subResource == '' && ${ALL_CONTAINERS} == ${imagesOf('oldObject')}`
const PODS = [
  {resources: ['pods'], operations: ['CREATE', 'UPDATE']},
  {resources: ['pods/ephemeralcontainers'], operations: ['UPDATE']},
]

/** An image made of a checkpoint starts with the memory of another process: by digest, where it was allowed, by the controller. */
const images: Policy = {
  name: 'clouder-checkpoint-images',
  rules: PODS,
  when: [['has-checkpoint-image', `(${ALL_CONTAINERS} + ${VOLUMES}).exists(image, image.${OF_CHECKPOINT})`]],
  variables: [['images', `(${ALL_CONTAINERS}).filter(image, image.${OF_CHECKPOINT})`]],
  must: [
    [
      `!(${VOLUMES}).exists(image, image.${OF_CHECKPOINT})`,
      `images below ${CHECKPOINT_IMAGE_PREFIX} hold the memory of a process and are not mounted`,
    ],
    [
      `variables.images.all(image, image.startsWith('${CHECKPOINT_IMAGE_PREFIX}' + request.namespace + '/'))`,
      `images below ${CHECKPOINT_IMAGE_PREFIX} run only in the namespace of their checkpoint`,
    ],
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
      `pods with images below ${CHECKPOINT_IMAGE_PREFIX} are created by a Restore, not manually`,
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
  when: [['names-an-id', `(${ALL_CONTAINERS} + ${VOLUMES}).exists(image, image.${NAMES_AN_ID})`]],
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

const KEPT = [ORIGINAL_ANNOTATION, AFFINITY_ANNOTATION]
const keptOf = (pod: 'object' | 'oldObject', key: string): string =>
  `${pod}.metadata.?annotations[?'${key}'].orValue('')`

/** What a restored pod was before: the controller believes it, and makes pods by it that their owner may not make. */
const kept: Policy = {
  name: 'clouder-restored-pods',
  rules: [{resources: ['pods'], operations: ['CREATE', 'UPDATE']}],
  when: [
    ['not-by-the-controller', `request.userInfo.username != '${controllerUser(SYSTEM_NAMESPACE)}'`],
    [
      'has-annotation',
      KEPT.map(
        (key) => `${keptOf('object', key)} != '' || (oldObject != null && ${keptOf('oldObject', key)} != '')`,
      ).join(' || '),
    ],
  ],
  must: KEPT.map((key) => [
    `request.operation == 'CREATE' ? ${keptOf('object', key)} == '' : ${keptOf('object', key)} == ${keptOf('oldObject', key)}`,
    `the annotation ${key} is written by the controller alone`,
  ]),
}

/** Between a pod that left and the one that takes its place, whoever made the first one must not begin it anew. */
const movingPods: Policy = {
  name: 'clouder-moving-pods',
  rules: [{resources: ['pods'], operations: ['CREATE']}],
  when: [['not-by-the-controller', `request.userInfo.username != '${controllerUser(SYSTEM_NAMESPACE)}'`]],
  params: 'Migration',
  must: [
    [
      `params.spec.podName != object.metadata.?name.orValue('') || !(params.?status.?phase.orValue('') in ['Moving', 'RollingBack'])`,
      'a Migration moves the pod of this name, whose memory is in its checkpoint',
    ],
  ],
}

/** Memory that is sent to another node stays frozen until its Migration has ended, and is in no store: no user asks for that. */
const transfers: Policy = {
  name: 'clouder-checkpoint-transfers',
  group: 'clouder.dev',
  rules: [{resources: ['checkpoints'], operations: ['CREATE', 'UPDATE']}],
  when: [
    ['not-by-the-controller', `request.userInfo.username != '${controllerUser(SYSTEM_NAMESPACE)}'`],
    ['has-transfer', 'has(object.spec.transfer) && (oldObject == null || !has(oldObject.spec.transfer))'],
  ],
  must: [['false', 'spec.transfer is set by the controller alone, for a Migration']],
}

const NAMESPACE_LABELS = 'namespaceObject.metadata.?labels.orValue({})'

/** A store costs money and holds credentials: it is for the namespaces that it is meant for. The same as `mayUse`. */
const storeUse: Policy = {
  name: 'clouder-store-use',
  group: 'clouder.dev',
  rules: [
    {
      resources: ['checkpoints', 'migrations', 'checkpointpolicies', 'runtimes'],
      operations: ['CREATE', 'UPDATE'],
    },
  ],
  when: [
    [
      'store-is-new',
      "request.operation == 'CREATE' || object.spec.?storeName.orValue('default') != oldObject.spec.?storeName.orValue('default')",
    ],
  ],
  params: 'CheckpointStore',
  variables: [
    [
      'allowed',
      `!has(params.spec.allowedNamespaces) ? (params.metadata.name == 'default' || ${NAMESPACE_LABELS}[?('${STORE_USE_PREFIX}' + params.metadata.name)].orValue('') == 'true') : (request.namespace in params.spec.allowedNamespaces.?names.orValue([]) || (has(params.spec.allowedNamespaces.matchLabels) && params.spec.allowedNamespaces.matchLabels.all(key, key in ${NAMESPACE_LABELS} && ${NAMESPACE_LABELS}[key] == params.spec.allowedNamespaces.matchLabels[key])))`,
    ],
  ],
  must: [
    [
      "object.spec.?storeName.orValue('default') != params.metadata.name || variables.allowed",
      `the namespace may not use this store: label it ${STORE_USE_PREFIX}NAME=true, or name it in spec.allowedNamespaces of the store`,
    ],
  ],
}

/** A container host renews its own token: nobody who has it can make one of it that lasts for years. */
const hostTokens: Policy = {
  name: 'clouder-container-host-tokens',
  rules: [{resources: ['serviceaccounts/token'], operations: ['CREATE']}],
  when: [
    [
      'by-a-container-host',
      `request.userInfo.username.startsWith('system:serviceaccount:${SYSTEM_NAMESPACE}:${HOST_ACCOUNT}-')`,
    ],
  ],
  must: [
    [
      // The API server sets one hour where the request has no time.
      `object.spec.?expirationSeconds.orValue(3600) <= ${HOST_TOKEN_SECONDS}`,
      `the token of a container host lasts for ${HOST_TOKEN_SECONDS} s at most`,
    ],
  ],
}

/** What the API server refuses, whoever asks. */
export function checkpointAdmission(): readonly KubeObject[] {
  const policies = [
    images,
    imageNodes,
    imageIds,
    annotation,
    kept,
    ...agentPolicies,
    movingPods,
    transfers,
    storeUse,
  ]
  return [...policies, hostTokens].flatMap(objectsOfPolicy)
}
