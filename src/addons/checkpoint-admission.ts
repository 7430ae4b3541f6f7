import {
  CHECKPOINT_IMAGE_PREFIX,
  CHECKPOINT_IMAGES_LABEL,
  RESTORE_ANNOTATION,
  RESTORE_RUNTIME,
  SYSTEM_NAMESPACE,
} from '../checkpoint/names.ts'
import type {KubeObject} from '../kubernetes/types.ts'
import {objectsOfPolicy, type Policy} from './admission-policy.ts'
import {agentPolicies} from './checkpoint-admission-agents.ts'
import {controllerUser} from './checkpoint-names.ts'

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

/** What the API server refuses, whoever asks. */
export function checkpointAdmission(): readonly KubeObject[] {
  return [images, imageNodes, imageIds, annotation, ...agentPolicies, movingPods].flatMap(objectsOfPolicy)
}
