import {afterAll, expect, test, type TestContext} from 'vitest'
import {checkpointAccess} from '../../../../src/platform/addons/checkpoint/access.ts'
import {checkpointAdmission} from '../../../../src/platform/addons/checkpoint/admission.ts'
import {AGENT} from '../../../../src/platform/addons/checkpoint/names.ts'
import {
  API_VERSION,
  BACKEND_LABELS,
  CHECKPOINT_FINALIZER,
  INTERRUPTION_ANNOTATION,
  NODE_FEATURES_ANNOTATION,
  SYSTEM_NAMESPACE,
} from '../../../../src/api/names.ts'
import {refOf} from '../../../../src/kubernetes/refs.ts'
import type {KubeClient, KubeObject, ObjectRef} from '../../../../src/kubernetes/types.ts'
import {waitFor} from '../../../../src/base/waiting.ts'
import {admissionFollowed} from '../../../support/admission-followed.ts'
import {asServiceAccount} from '../../../support/service-account.ts'
import {
  needBundle,
  serveCheckpoints,
  startApiServer,
  type ApiServer,
} from '../../../support/with-api-server.ts'

interface Scene {
  readonly api: ApiServer
  readonly root: KubeClient
  /** As the agent of node `a`, by a token that is bound to its pod. */
  readonly agent: KubeClient
}

let started: Promise<Scene> | undefined
const scene = async (context: TestContext): Promise<Scene> => {
  const bundle = await needBundle(context)
  return (started ??= begin(await startApiServer(bundle)))
}
afterAll(async () => {
  const found = await started
  found?.agent.close()
  await found?.api[Symbol.asyncDispose]()
})

const TEAM = 'team'
const IMPORT = {import: {digest: `sha256:${'0'.repeat(64)}`}}
const TEMPLATE = {
  metadata: {labels: {app: 'web'}},
  spec: {serviceAccountName: 'default', containers: [{name: 'main', image: 'app:1'}]},
}
const forged = (spec: object) => ({podTemplate: {...TEMPLATE, spec: {...TEMPLATE.spec, ...spec}}})
const DESCRIBED = 'does not say which pod'
const ANOTHERS = 'a node agent writes only'
const node = (name: string) => ({apiVersion: 'v1', kind: 'Node', name}) as const
const of = (kind: string, name: string): ObjectRef => ({
  apiVersion: kind === 'Pod' ? 'v1' : API_VERSION,
  kind,
  namespace: TEAM,
  name,
})

function pod(namespace: string, name: string, nodeName: string, more: object = {}): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {name, namespace},
    spec: {nodeName, containers: [{name: 'main', image: 'app:1'}], ...more},
  }
}

async function begin(api: ApiServer): Promise<Scene> {
  const {kube: root} = api
  await serveCheckpoints(root)
  for (const name of [SYSTEM_NAMESPACE, TEAM, 'kube-system'])
    await root.apply([{apiVersion: 'v1', kind: 'Namespace', metadata: {name}}])
  await root.apply([
    {apiVersion: 'v1', kind: 'ServiceAccount', metadata: {name: 'default', namespace: TEAM}},
    ...checkpointAccess(),
    ...checkpointAdmission(),
  ])
  for (const name of ['a', 'b']) {
    await root.create({
      apiVersion: 'v1',
      kind: 'Node',
      metadata: {name, labels: {kept: ''}, annotations: {kept: ''}, finalizers: ['example.com/kept']},
    })
    await root.patch(node(name), {spec: {taints: null}})
    await root.create(pod(TEAM, `on-${name}`, name))
    await root.create({
      apiVersion: API_VERSION,
      kind: 'Checkpoint',
      metadata: {name: `of-${name}`, namespace: TEAM, finalizers: ['example.com/kept', CHECKPOINT_FINALIZER]},
      spec: {podRef: {name: `on-${name}`}},
    })
    const given = {nodeName: name, podUID: `uid-${name}`, podTemplate: TEMPLATE}
    await root.patch(
      of('Checkpoint', `of-${name}`),
      {status: {phase: 'Dumping', ...given}},
      {subresource: 'status'},
    )
    const wanted = {
      // Given to the node of its pod, and not yet.
      [`open-${name}`]: {podRef: {name: `on-${name}`}},
      [`new-${name}`]: {podRef: {name: `on-${name}`}},
      [`import-${name}`]: IMPORT,
    }
    for (const [checkpoint, spec] of Object.entries(wanted))
      await root.create({
        apiVersion: API_VERSION,
        kind: 'Checkpoint',
        metadata: {name: checkpoint, namespace: TEAM},
        spec,
      })
    await root.patch(
      of('Checkpoint', `open-${name}`),
      {status: {phase: 'Pending', ...given}},
      {subresource: 'status'},
    )
    const opened = {phase: 'Ready', nodeName: name, podTemplate: TEMPLATE}
    await root.patch(of('Checkpoint', `import-${name}`), {status: opened}, {subresource: 'status'})
    await root.create({
      apiVersion: API_VERSION,
      kind: 'Restore',
      metadata: {name: `on-${name}`, namespace: TEAM},
      spec: {checkpointName: `of-${name}`},
    })
    await root.patch(
      of('Restore', `on-${name}`),
      {status: {phase: 'Preparing', nodeName: name}},
      {subresource: 'status'},
    )
    await root.create({
      apiVersion: API_VERSION,
      kind: 'Migration',
      metadata: {name: `to-${name}`, namespace: TEAM},
      spec: {podName: 'web'},
    })
    await root.patch(
      of('Migration', `to-${name}`),
      {
        status: {
          phase: 'Preparing',
          targetNodeName: name,
          sourcePodUID: 'u',
        },
      },
      {subresource: 'status'},
    )
  }
  await root.create({
    apiVersion: API_VERSION,
    kind: 'Restore',
    metadata: {name: 'anywhere', namespace: TEAM},
    spec: {checkpointName: 'of-a'},
  })
  for (const [name, spec] of [
    ['absent', {podRef: {name: 'nobody'}}],
    ['import', IMPORT],
  ] as const)
    await root.create({apiVersion: API_VERSION, kind: 'Checkpoint', metadata: {name, namespace: TEAM}, spec})
  const own = await root.create(pod(SYSTEM_NAMESPACE, 'agent-a', 'a', {serviceAccountName: AGENT}))
  await admissionFollowed(root)
  const bound = {name: 'agent-a', uid: own?.metadata.uid ?? ''}
  const agent = await asServiceAccount(api, {namespace: SYSTEM_NAMESPACE, name: AGENT, pod: bound})
  // Roles take a moment until they are followed.
  await waitFor({
    what: 'the roles',
    check: async () => {
      const seen = await outcome(
        agent.patch(
          of('Checkpoint', 'open-b'),
          {status: {phase: 'Dumping', nodeName: 'a'}},
          {subresource: 'status'},
        ),
      )
      return {seen, ...(seen.includes(ANOTHERS) ? {value: true} : {})}
    },
    timeoutMs: 30_000,
    intervalMs: 200,
    signal: new AbortController().signal,
  })
  return {api, root, agent}
}

/** `done`, or what the API server said. */
const outcome = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  )

type Attempt = (agent: KubeClient) => Promise<unknown>
const patched =
  (name: string, patch: object): Attempt =>
  (agent) =>
    agent.patch(node(name), patch)
const posted =
  (path: string, body: object = {}): Attempt =>
  async (agent) => {
    const {status, body: said} = await agent.post(path, JSON.stringify(body))
    if (status >= 400) throw new Error(`${status} ${said}`)
  }
const fetched =
  (path: string): Attempt =>
  async (agent) => {
    const {status, body} = await agent.fetch(path)
    if (status >= 400) throw new Error(`${status} ${body}`)
  }
const made =
  (kind: 'Checkpoint' | 'Migration' | 'Restore', spec: object): Attempt =>
  (agent) =>
    agent.create({apiVersion: API_VERSION, kind, metadata: {name: 'forged', namespace: TEAM}, spec})

const BY_ROLE = 'forbidden'

test.for<[string, string, Attempt]>([
  [
    'runs a command in a pod of its node',
    BY_ROLE,
    posted(`/api/v1/namespaces/${TEAM}/pods/on-a/exec?command=id`),
  ],
  [
    'runs a command in a pod of another',
    BY_ROLE,
    posted(`/api/v1/namespaces/${TEAM}/pods/on-b/exec?command=id`),
  ],
  ['has the kubelet of its node checkpoint', BY_ROLE, posted('/api/v1/nodes/a/checkpoint')],
  ['has the kubelet of another node checkpoint', BY_ROLE, posted('/api/v1/nodes/b/checkpoint')],
  ['reaches the kubelet of another node', BY_ROLE, fetched('/api/v1/nodes/b/proxy/pods')],
  ['makes a Checkpoint', BY_ROLE, made('Checkpoint', {podRef: {name: 'on-b'}, podPolicy: 'Delete'})],
  ['makes a Migration', BY_ROLE, made('Migration', {podName: 'on-b'})],
  ['makes a Restore', BY_ROLE, made('Restore', {checkpointName: 'of-b'})],
  ['makes a pod', BY_ROLE, (agent) => agent.create(pod(TEAM, 'forged', 'a'))],
  ['writes an event', BY_ROLE, posted(`/api/v1/namespaces/${TEAM}/events`)],
  ['reads Secrets of another namespace', BY_ROLE, fetched('/api/v1/namespaces/kube-system/secrets')],
  ['lists the Secrets of its own', BY_ROLE, fetched(`/api/v1/namespaces/${SYSTEM_NAMESPACE}/secrets`)],
  [
    'asks for a token of another account',
    BY_ROLE,
    posted(`/api/v1/namespaces/${SYSTEM_NAMESPACE}/serviceaccounts/clouder-controller/token`),
  ],
  [
    'writes the status of its node',
    BY_ROLE,
    (agent) => agent.patch(node('a'), {status: {capacity: {cpu: '99'}}}, {subresource: 'status'}),
  ],
  ['deletes its node', BY_ROLE, (agent) => agent.delete(node('a'))],
  ['deletes a pod of another node', 'pods of its own node only', (agent) => agent.delete(of('Pod', 'on-b'))],
  [
    'labels another node',
    'its own node only',
    patched('b', {metadata: {labels: {[BACKEND_LABELS.Handler]: 'true'}}}),
  ],
  [
    'makes its node a control plane',
    'only the labels of restore backends',
    patched('a', {metadata: {labels: {'node-role.kubernetes.io/control-plane': ''}}}),
  ],
  ['empties a label of its node', 'only the labels', patched('a', {metadata: {labels: {kept: 'x'}}})],
  ['takes a label from its node', 'only the labels', patched('a', {metadata: {labels: {kept: null}}})],
  ['annotates its node, with no value', 'changes only', patched('a', {metadata: {annotations: {other: ''}}})],
  [
    'takes an annotation from its node',
    'changes only',
    patched('a', {metadata: {annotations: {kept: null}}}),
  ],
  ['cordons its node', 'no spec of a node', patched('a', {spec: {unschedulable: true}})],
  [
    'taints its node',
    'no spec of a node',
    patched('a', {spec: {taints: [{key: 'x', value: '', effect: 'NoExecute'}]}}),
  ],
  ['takes a finalizer from its node', 'no finalizers', patched('a', {metadata: {finalizers: []}})],
  [
    'gives its node an owner',
    'no owners',
    patched('a', {metadata: {ownerReferences: [{apiVersion: 'v1', kind: 'Pod', name: 'x', uid: 'x'}]}}),
  ],
  [
    'writes the status of a checkpoint of another node',
    ANOTHERS,
    (agent) => agent.patch(of('Checkpoint', 'of-b'), {status: {frozen: true}}, {subresource: 'status'}),
  ],
  [
    'makes a checkpoint of another node its own',
    ANOTHERS,
    (agent) => agent.patch(of('Checkpoint', 'of-b'), {status: {nodeName: 'a'}}, {subresource: 'status'}),
  ],
  [
    'claims a checkpoint of a pod of another node',
    ANOTHERS,
    (agent) =>
      agent.patch(
        of('Checkpoint', 'open-b'),
        {status: {phase: 'Dumping', nodeName: 'a'}},
        {subresource: 'status'},
      ),
  ],
  [
    'ends a checkpoint of a pod of another node before it is claimed',
    ANOTHERS,
    (agent) => agent.patch(of('Checkpoint', 'open-b'), {status: {phase: 'Failed'}}, {subresource: 'status'}),
  ],
  ...['new-a', 'new-b', 'absent'].map((name): [string, string, Attempt] => [
    `claims a checkpoint that nobody gave to its node: ${name}`,
    ANOTHERS,
    (agent) =>
      agent.patch(
        of('Checkpoint', name),
        {status: {phase: 'Dumping', nodeName: 'a'}},
        {subresource: 'status'},
      ),
  ]),
  ...['new-a', 'absent'].map((name): [string, string, Attempt] => [
    `ends a checkpoint that nobody gave to its node: ${name}`,
    ANOTHERS,
    (agent) => agent.patch(of('Checkpoint', name), {status: {phase: 'Failed'}}, {subresource: 'status'}),
  ]),
  ...['of-a', 'open-a', 'import-a'].flatMap((name): [string, string, Attempt][] => {
    const write =
      (status: object): Attempt =>
      (agent) =>
        agent.patch(of('Checkpoint', name), {status}, {subresource: 'status'})
    return [
      [
        `says what runs in the pod of ${name}`,
        DESCRIBED,
        write(forged({containers: [{name: 'main', image: 'evil:1'}]})),
      ],
      [`says whose rights the pod of ${name} has`, DESCRIBED, write(forged({serviceAccountName: 'admin'}))],
      [
        `adds a volume to the pod of ${name}`,
        DESCRIBED,
        write(forged({volumes: [{name: 'x', hostPath: {path: '/'}}]})),
      ],
      [`relabels the pod of ${name}`, DESCRIBED, write({podTemplate: {metadata: {labels: {app: 'db'}}}})],
      [`forgets the pod of ${name}`, DESCRIBED, write({podTemplate: null})],
      [`says that ${name} is of another pod`, DESCRIBED, write({podUID: 'another'})],
    ]
  }),
  [
    'describes what another node imported',
    // Two policies refuse it.
    'a node agent',
    (agent) =>
      agent.patch(
        of('Checkpoint', 'import-b'),
        {status: forged({serviceAccountName: 'admin'})},
        {subresource: 'status'},
      ),
  ],
  ...['on-b', 'anywhere'].flatMap((name): [string, string, Attempt][] => [
    [
      `gives images to restore ${name}`,
      ANOTHERS,
      (agent) =>
        agent.patch(
          of('Restore', name),
          {status: {images: {main: 'x'}, nodeName: 'a'}},
          {subresource: 'status'},
        ),
    ],
    [
      `ends restore ${name}`,
      ANOTHERS,
      (agent) => agent.patch(of('Restore', name), {status: {phase: 'Failed'}}, {subresource: 'status'}),
    ],
  ]),
  [
    'gives one of its restores to another node',
    ANOTHERS,
    (agent) => agent.patch(of('Restore', 'on-a'), {status: {nodeName: 'b'}}, {subresource: 'status'}),
  ],
  [
    'gives an import to another node',
    ANOTHERS,
    (agent) =>
      agent.patch(
        of('Checkpoint', 'import'),
        {status: {phase: 'Storing', nodeName: 'b'}},
        {subresource: 'status'},
      ),
  ],
  [
    'gives one of its checkpoints to another node',
    ANOTHERS,
    (agent) => agent.patch(of('Checkpoint', 'of-a'), {status: {nodeName: 'b'}}, {subresource: 'status'}),
  ],
  [
    'takes the finalizer from a checkpoint of another node',
    ANOTHERS,
    (agent) => agent.patch(of('Checkpoint', 'of-b'), {metadata: {finalizers: []}}),
  ],
  [
    "takes somebody else's finalizer from its checkpoint",
    'only the finalizer',
    (agent) => agent.patch(of('Checkpoint', 'of-a'), {metadata: {finalizers: []}}),
  ],
  [
    'has its checkpoint thawed',
    'no labels, annotations',
    (agent) => agent.patch(of('Checkpoint', 'of-a'), {metadata: {annotations: {'clouder.dev/thaw': 'true'}}}),
  ],
  ['deletes a checkpoint', BY_ROLE, (agent) => agent.delete(of('Checkpoint', 'of-a'))],
  [
    'answers for the target of a move',
    'its own node',
    (agent) =>
      agent.patch(
        of('Migration', 'to-b'),
        {status: {targetAnswer: {ok: true, message: 'it can'}}},
        {subresource: 'status'},
      ),
  ],
  [
    'puts its own key in the place of that of the target of a move, which would be sent the memory then',
    'its own node',
    (agent) =>
      agent.patch(
        of('Migration', 'to-b'),
        {status: {transfer: {receivedBytes: 0, publicKey: 'b3du'}}},
        {subresource: 'status'},
      ),
  ],
  [
    'makes memory that it serves count as that of a pod of another node, by a key of its own',
    ANOTHERS,
    (agent) =>
      agent.patch(
        of('Checkpoint', 'of-b'),
        {status: {transfer: {digest: `sha256:${'0'.repeat(64)}`, sizeBytes: 1, publicKey: 'b3du'}}},
        {subresource: 'status'},
      ),
  ],
  [
    'says that the memory of a pod has arrived on another node, whose source would be deleted then',
    'its own node',
    (agent) =>
      agent.patch(
        of('Migration', 'to-b'),
        {status: {transfer: {receivedBytes: 0, pages: {state: 'Complete'}}}},
        {subresource: 'status'},
      ),
  ],
  [
    'makes its node the target of a move, with its own key',
    'its own node',
    (agent) =>
      agent.patch(
        of('Migration', 'to-b'),
        {status: {targetNodeName: 'a', transfer: {receivedBytes: 0, publicKey: 'b3du'}}},
        {subresource: 'status'},
      ),
  ],
  [
    'brings a move to its end',
    'its own node',
    (agent) => agent.patch(of('Migration', 'to-a'), {status: {phase: 'Succeeded'}}, {subresource: 'status'}),
  ],
  [
    'has another pod counted as the source of a move',
    'writes of a move only',
    (agent) => agent.patch(of('Migration', 'to-a'), {status: {sourcePodUID: 'v'}}, {subresource: 'status'}),
  ],
  [
    'forgets a field of a move',
    'writes of a move only',
    (agent) => agent.patch(of('Migration', 'to-a'), {status: {sourcePodUID: null}}, {subresource: 'status'}),
  ],
])('the credential of an agent is worth its own node: it never %s', async ([, words, attempt], context) => {
  const {agent} = await scene(context)
  expect(await outcome(attempt(agent))).toContain(words)
})

test('what an agent is there for it may do', async (context) => {
  const {agent, root} = await scene(context)
  const metadata = {
    labels: {[BACKEND_LABELS.Handler]: 'true', [BACKEND_LABELS.Native]: null},
    annotations: {[NODE_FEATURES_ANNOTATION]: '{}', [INTERRUPTION_ANNOTATION]: '[]'},
  }
  await agent.patch(node('a'), {metadata})
  await agent.patch(node('a'), {metadata: {labels: {[BACKEND_LABELS.Handler]: null}}})
  await agent.patch(node('a'), {metadata: {annotations: {[INTERRUPTION_ANNOTATION]: null}}})
  expect(
    await agent.patch(
      of('Checkpoint', 'of-a'),
      {
        status: {
          ...{phase: 'Storing', frozen: true},
          transfer: {digest: `sha256:${'0'.repeat(64)}`, sizeBytes: 1, publicKey: 'b3du'},
        },
      },
      {subresource: 'status'},
    ),
  ).toBeDefined()
  const again = {phase: 'Dumping', nodeName: 'a', podUID: 'uid-a', ...forged({})}
  for (const phase of ['Dumping', 'Pending'])
    expect(
      await agent.patch(of('Checkpoint', 'open-a'), {status: {...again, phase}}, {subresource: 'status'}),
    ).toBeDefined()
  expect(
    await agent.patch(of('Restore', 'on-a'), {status: {images: {main: 'x'}}}, {subresource: 'status'}),
  ).toBeDefined()
  expect(
    await agent.patch(
      of('Checkpoint', 'import'),
      {status: {phase: 'Storing', nodeName: 'a'}},
      {subresource: 'status'},
    ),
  ).toBeDefined()
  expect(
    await agent.patch(
      of('Checkpoint', 'import'),
      {status: {phase: 'Ready', ...forged({})}},
      {subresource: 'status'},
    ),
  ).toBeDefined()
  const answers = {
    ...{missingImages: [], images: {main: 'x'}, targetAnswer: {ok: true, message: 'it can'}},
    transfer: {receivedBytes: 0, publicKey: 'b3du', pages: {state: 'Starting', receivedBytes: 1}},
  }
  expect(await agent.patch(of('Migration', 'to-a'), {status: answers}, {subresource: 'status'})).toBeDefined()
  await agent.patch(of('Checkpoint', 'of-a'), {metadata: {finalizers: ['example.com/kept']}})
  await agent.delete(of('Pod', 'on-a'), {graceSeconds: 0})
  expect(await root.get(of('Pod', 'on-a'))).toBeUndefined()
  expect((await root.get(node('a')))?.metadata.labels).toEqual({kept: ''})
})

test('a token that is bound to no pod names no node, and may write nothing', async (context) => {
  const {api} = await scene(context)
  const loose = await asServiceAccount(api, {namespace: SYSTEM_NAMESPACE, name: AGENT})
  for (const name of ['a', 'b'])
    expect(
      await outcome(loose.patch(node(name), {metadata: {annotations: {[NODE_FEATURES_ANNOTATION]: 'x'}}})),
    ).toContain('denied')
  expect(await outcome(loose.delete(refOf(pod(TEAM, 'on-b', 'b'))))).toContain('denied')
  loose.close()
})
