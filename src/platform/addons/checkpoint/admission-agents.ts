import {
  BACKEND_LABELS,
  CHECKPOINT_FINALIZER,
  INTERRUPTION_ANNOTATION,
  NODE_FEATURES_ANNOTATION,
  SYSTEM_NAMESPACE,
} from '../../../api/names.ts'
import type {Policy} from '../admission-policy.ts'
import {agentUser} from './names.ts'

/** Of its own pod, which a token of a service account is bound to; Kubernetes 1.32 and newer tell it. */
const OWN_NODE = "request.userInfo.extra['authentication.kubernetes.io/node-name'][0]"
/** What the agent of the target says. */
const ANSWERS = ['missingImages', 'images', 'targetAnswer', 'transfer', 'runningTime']
const BY_AN_AGENT = ['by-an-agent', `request.userInfo.username == '${agentUser(SYSTEM_NAMESPACE)}'`] as const

const quoted = (texts: readonly string[]): string => `[${texts.map((text) => `'${text}'`).join(', ')}]`

/** `metadata` or `metadata.annotations` of both sides, with what may be absent. */
const both = (path: string, none: '{}' | '[]'): readonly [string, string] => [
  `object.metadata.?${path}.orValue(${none})`,
  `oldObject.metadata.?${path}.orValue(${none})`,
]

/** That two maps have the same keys with the same values, but for some: a key may come with an empty value, or go. */
function sameBut(path: 'labels' | 'annotations', mayChange: readonly string[]): string {
  const [now, before] = both(path, '{}')
  const isOurs = `key in ${quoted(mayChange)} || `
  return [
    `${now}.all(key, ${isOurs}(key in ${before} && ${before}[key] == ${now}[key]))`,
    `${before}.all(key, ${isOurs}key in ${now})`,
  ].join(' && ')
}

const same = (path: string, none: '{}' | '[]' = '[]'): string => both(path, none).join(' == ')

const nodeOf = (side: 'object' | 'oldObject'): string => `${side}.?status.?nodeName.orValue('')`

const sameStatus = (field: string, none: "''" | '{}'): string =>
  `object.?status.?${field}.orValue(${none}) == oldObject.?status.?${field}.orValue(${none})`

const ownAnnotations = [NODE_FEATURES_ANNOTATION, INTERRUPTION_ANNOTATION]

/** A node that is taken over must not become a key to the others: its agent writes to its own Node, and only what it is there for. */
const ownNode: Policy = {
  name: 'clouder-node-agent-nodes',
  rules: [{resources: ['nodes', 'nodes/status'], operations: ['UPDATE']}],
  when: [BY_AN_AGENT],
  must: [
    [`object.metadata.name == ${OWN_NODE}`, 'a node agent writes to its own node only'],
    ['object.spec == oldObject.spec', 'a node agent changes no spec of a node'],
    ['object.status == oldObject.status', 'a node agent changes no status of a node'],
    [
      sameBut('labels', Object.values(BACKEND_LABELS)),
      'a node agent changes only the labels of restore backends',
    ],
    [sameBut('annotations', ownAnnotations), `a node agent changes only ${ownAnnotations.join(' and ')}`],
    [
      `${same('finalizers')} && ${same('ownerReferences')}`,
      'a node agent changes no finalizers and no owners of a node',
    ],
  ],
}

const ownPods: Policy = {
  name: 'clouder-node-agent-pods',
  rules: [{resources: ['pods'], operations: ['DELETE']}],
  when: [BY_AN_AGENT],
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
  when: [BY_AN_AGENT],
  must: [
    [
      `(${nodeOf('oldObject')} == ${OWN_NODE} || (has(object.spec.import) && ${nodeOf('oldObject')} == '')) && ${nodeOf('object')} == ${OWN_NODE}`,
      'a node agent writes only to what the controller gave to its own node, and to imports that are open',
    ],
    [
      `${same('labels', '{}')} && ${same('annotations', '{}')} && ${same('ownerReferences')}`,
      'a node agent changes no labels, annotations and owners of a checkpoint or a restore',
    ],
    [otherFinalizers(), `a node agent changes only the finalizer ${CHECKPOINT_FINALIZER}`],
  ],
}

function otherFinalizers(): string {
  const others = both('finalizers', '[]').map(
    (list) => `${list}.filter(name, name != '${CHECKPOINT_FINALIZER}')`,
  )
  return others.join(' == ')
}

/**
 * Whose pod it is, and what a restore makes of it, the controller has seen for itself. What was imported is described by
 * whoever opens it, once.
 */
const ownDescriptions: Policy = {
  name: 'clouder-node-agent-descriptions',
  group: 'clouder.dev',
  rules: [{resources: ['checkpoints/status'], operations: ['UPDATE']}],
  when: [BY_AN_AGENT],
  must: [
    [
      `${sameStatus('podUID', "''")} && (${sameStatus('podTemplate', '{}')} || (has(object.spec.import) && oldObject.?status.?podTemplate.orValue({}) == {}))`,
      'a node agent does not say which pod a checkpoint was made of',
    ],
  ],
}

const ownMoves: Policy = {
  name: 'clouder-node-agent-moves',
  group: 'clouder.dev',
  rules: [{resources: ['migrations', 'migrations/status'], operations: ['UPDATE']}],
  when: [BY_AN_AGENT],
  must: [
    [
      `oldObject.?status.?targetNodeName.orValue('') == ${OWN_NODE} && object.?status.?targetNodeName.orValue('') == ${OWN_NODE} && object.?status.?phase.orValue('') == oldObject.?status.?phase.orValue('')`,
      'a node agent says of a move only what its own node does for it',
    ],
    [
      `object.?status.orValue({}).all(key, key in ${quoted(ANSWERS)} || (key in oldObject.status && object.status[key] == oldObject.status[key])) && oldObject.?status.orValue({}).all(key, key in object.status)`,
      `a node agent writes of a move only ${ANSWERS.join(', ')}`,
    ],
  ],
}

/** What holds for agents: each is to have power over its own node alone. */
export const agentPolicies: readonly Policy[] = [ownNode, ownPods, ownStatus, ownDescriptions, ownMoves]
