import fc from 'fast-check'
import {afterAll, expect, test, type TestContext} from 'vitest'
import {z} from 'zod'
import {checkpointDefinitions} from '../../../../src/platform/addons/checkpoint/definitions.ts'
import {API_VERSION} from '../../../../src/api/names.ts'
import {parsePod, podSchema, quantity} from '../../../../src/kubernetes/pod.ts'
import {widerThanPod} from '../../../../src/checkpoint/pod-privileges.ts'
import {selects} from '../../../../src/checkpoint/policies.ts'
import {
  checkpointPolicySchema,
  RESOURCES,
  runtimeSchema,
  type ResourceKind,
} from '../../../../src/api/resources.ts'
import type {Privileges} from '../../../../src/api/sealed-checkpoint.ts'
import {storeKinds} from '../../../../src/api/checkpoint-store.ts'
import {KubernetesError} from '../../../../src/kubernetes/errors.ts'
import {kubeObjectSchema, type KubeObject} from '../../../../src/kubernetes/types.ts'
import {parseCheckpoint} from '../../../../src/programs/node-agent/checkpoint-object.ts'
import {podTemplateOf} from '../../../../src/checkpoint/pod-template.ts'
import {anyText} from '../../../support/any-text.ts'
import {anyOfDefinition} from '../../../support/from-definition.ts'
import {
  needBundle,
  serveCheckpoints,
  startApiServer,
  type ApiServer,
} from '../../../support/with-api-server.ts'

const RUNS = 300
/** One in seventeen random pods is admitted, one in ten stores, more of the others: fewer than this is no chance. */
const FEWEST_ADMITTED = 10
let started: Promise<ApiServer> | undefined

async function apiServer(context: TestContext): Promise<ApiServer> {
  const bundle = await needBundle(context)
  return (started ??= (async () => {
    const api = await startApiServer(bundle)
    await serveCheckpoints(api.kube)
    await api.kube.apply([
      {apiVersion: 'v1', kind: 'Namespace', metadata: {name: 'default'}},
      {apiVersion: 'v1', kind: 'ServiceAccount', metadata: {name: 'default', namespace: 'default'}},
    ])
    return api
  })())
}

afterAll(async () => {
  await (await started)?.[Symbol.asyncDispose]()
})

/** The object as the server would keep it, or why it refuses it. */
async function answered(api: ApiServer, path: string, object: object): Promise<KubeObject | string> {
  const {status, body} = await api.kube.post(`${path}?dryRun=All`, JSON.stringify(object))
  if (status >= 500) throw new Error(`${status} ${body}`)
  return status < 300 ? kubeObjectSchema.parse(JSON.parse(body)) : body
}

/** The object as the server would keep it; undefined: it refuses it. */
async function admitted(api: ApiServer, path: string, object: object): Promise<KubeObject | undefined> {
  const answer = await answered(api, path, object)
  return typeof answer === 'string' ? undefined : answer
}

/** What the rules of the definitions say, which no schema of ours knows. */
const RULES = [
  ...JSON.stringify(checkpointDefinitions()).matchAll(/"rule":"(?:[^"\\\\]|\\\\.)*","message":"([^"]*)"/g),
].map(([, message = '']) => message)

const schemaOf = (kind: ResourceKind, part: 'spec' | 'status' = 'spec'): unknown =>
  z
    .looseObject({
      spec: z.looseObject({
        versions: z.tuple([
          z.looseObject({
            schema: z.looseObject({
              openAPIV3Schema: z.looseObject({
                properties: z.looseObject({spec: z.looseObject({}), status: z.looseObject({})}),
              }),
            }),
          }),
        ]),
      }),
    })
    .parse(
      checkpointDefinitions().find(({metadata}) => metadata.name === `${RESOURCES[kind].plural}.clouder.dev`),
    ).spec.versions[0].schema.openAPIV3Schema.properties[part]

/** What the programs make of an object beside reading it. */
const uses: Partial<Record<ResourceKind, (object: KubeObject) => void>> = {
  Checkpoint: (object) => void parseCheckpoint(object),
  CheckpointPolicy: (object) => {
    const {spec} = checkpointPolicySchema.parse(object)
    selects(spec.selector, {app: 'web'})
    if (spec.idle !== undefined) expect(quantity(spec.idle.cpu)).toBeGreaterThanOrEqual(0)
    for (const seconds of [spec.idle?.durationSeconds, spec.retention?.maxAgeSeconds])
      if (seconds !== undefined)
        expect(new Date(Date.now() - seconds * 1000).toISOString()).toBeTypeOf('string')
  },
  Runtime: (object) => {
    const {resources = {}, home} = runtimeSchema.parse(object).spec
    for (const text of [...Object.values(resources), ...(home === undefined ? [] : [home.size])])
      expect(quantity(text)).toBeGreaterThanOrEqual(0)
  },
}

/** Of processes that may do nothing. */
const NOTHING: Privileges = {
  uid: 1000,
  gid: 1000,
  additionalGids: [],
  noNewPrivileges: true,
  capabilities: [],
  devices: [],
  readonlyRootfs: true,
  maskedPaths: [],
  readonlyPaths: [],
  hostNamespaces: [],
  mounts: [],
}

/** A store is at one place: of all those that are generated, one is taken most of the time. */
const anySpec = (kind: ResourceKind): fc.Arbitrary<unknown> =>
  kind !== 'CheckpointStore'
    ? anyOfDefinition(schemaOf(kind))
    : fc
        .tuple(anyOfDefinition(schemaOf(kind)), fc.constantFrom(undefined, ...storeKinds))
        .map(([spec, one]) =>
          one === undefined
            ? spec
            : Object.fromEntries(
                Object.entries(z.looseObject({}).parse(spec)).filter(
                  ([key]) => key === one || !storeKinds.some((place) => place === key),
                ),
              ),
        )

const kinds = Object.keys(RESOURCES) as ResourceKind[]

test.for(kinds)(
  'every %s that the API server admits is read by every program, with the same defaults',
  async (kind, context) => {
    const api = await apiServer(context)
    const {plural, namespaced, schema} = RESOURCES[kind]
    const path = `/apis/${API_VERSION}${namespaced ? '/namespaces/default' : ''}/${plural}`
    const counts = {admitted: 0, refused: 0}
    const metadata = {name: 'any', ...(namespaced ? {namespace: 'default'} : {})}
    await fc.assert(
      fc.asyncProperty(anySpec(kind), async (spec) => {
        const object = await answered(api, path, {apiVersion: API_VERSION, kind, metadata, spec})
        counts[typeof object === 'string' ? 'refused' : 'admitted'] += 1
        if (typeof object === 'string') {
          // Only by a rule may it refuse what a program would take.
          if (schema.safeParse({metadata, spec}).success)
            expect(RULES.some((rule) => object.includes(rule)) ? '' : object).toBe('')
          return
        }
        expect(schema.safeParse(object).error).toBeUndefined()
        // What the server fills in is what a program would.
        expect(object['spec']).toEqual(schema.parse({metadata, spec}).spec)
        uses[kind]?.(object)
      }),
      {numRuns: RUNS},
    )
    expect(counts.admitted).toBeGreaterThan(FEWEST_ADMITTED)
    expect(counts.refused).toBeGreaterThan(0)
  },
)

const STATUS_RUNS = 300
/** The more fields a status has, the fewer random ones are taken: one in fourteen of a Checkpoint. */
const FEWEST_TAKEN = 5
const SMALLEST: Readonly<Record<ResourceKind, object>> = {
  CheckpointStore: {node: {}},
  Checkpoint: {podRef: {name: 'web'}},
  Restore: {checkpointName: 'web'},
  Migration: {podName: 'web'},
  CheckpointPolicy: {selector: {}},
  Runtime: {image: 'app:1'},
  ContainerHost: {},
}

test.for(kinds)(
  'the API server takes a status of a %s if, and only if, every program reads it, and keeps all of it',
  async (kind, context) => {
    const {kube} = await apiServer(context)
    const {namespaced, schema} = RESOURCES[kind]
    const metadata = {name: 'status', ...(namespaced ? {namespace: 'default'} : {})}
    const spec = SMALLEST[kind]
    const ref = {apiVersion: API_VERSION, kind, ...metadata}
    await kube.create({apiVersion: API_VERSION, kind, metadata, spec})
    const write = (status: unknown) =>
      kube.patch(ref, {status}, {subresource: 'status'}).catch((error: unknown) => {
        if (error instanceof KubernetesError && error.code === 'API_REJECTED') return error.message
        throw error
      })
    const counts = {taken: 0, refused: 0}
    await fc.assert(
      fc.asyncProperty(anyOfDefinition(schemaOf(kind, 'status')), async (status) => {
        await write(null)
        const object = await write(status)
        counts[typeof object === 'string' ? 'refused' : 'taken'] += 1
        const read = schema.safeParse({metadata, spec, status})
        if (typeof object === 'string') expect(read.success ? object : '').toBe('')
        else {
          expect(schema.safeParse(object).error).toBeUndefined()
          // What is pruned is in no schema; an empty status is as good as none.
          expect(object['status'] ?? {}).toEqual(schema.parse({metadata, spec, status}).status)
        }
      }),
      {numRuns: STATUS_RUNS},
    )
    expect(counts.taken).toBeGreaterThan(FEWEST_TAKEN)
    expect(counts.refused).toBeGreaterThan(0)
  },
)

test.for([
  [
    'Checkpoint',
    {podRef: {name: 'web'}, hooks: {preCheckpoint: {container: 'a', command: ['true'], timeoutSeconds: 601}}},
  ],
  ['Checkpoint', {import: {digest: 'sha256:0'}}],
  ['Checkpoint', {podRef: {name: '😀'.repeat(130)}}],
  ['Restore', {checkpointName: 'web', ttlSecondsAfterFinished: 2 ** 53}],
  ['Migration', {podName: 'web', ttlSecondsAfterFinished: 2_147_483_648}],
  ['Runtime', {image: 'web', ports: [70_000]}],
  ['Runtime', {image: 'web', home: {size: 'much'}}],
  ['CheckpointPolicy', {selector: {}, idle: {cpu: 'little', durationSeconds: 60, podPolicy: 'Resume'}}],
  ['CheckpointPolicy', {selector: {}, retention: {maxAgeSeconds: 2 ** 53}}],
] as const)('the API server refuses a %s with %j', async ([kind, spec], context) => {
  const api = await apiServer(context)
  const path = `/apis/${API_VERSION}/namespaces/default/${RESOURCES[kind].plural}`
  const object = {apiVersion: API_VERSION, kind, metadata: {name: 'any', namespace: 'default'}, spec}
  expect(await admitted(api, path, object)).toBeUndefined()
})

const oddText = fc.oneof(
  anyText({maxLength: 20}),
  fc.constantFrom('', '\0', '{', '[]', 'null', '{"a":', '💥'.repeat(1000)),
)
const amount = fc.constantFrom(
  '1',
  '100m',
  '0',
  '1e3',
  '1.5Gi',
  '100n',
  '1E',
  '9223372036854775807',
  '0.5',
  '12e6',
  '1Ki',
  '+5',
)
const amounts = fc.record(
  {cpu: amount, memory: amount, 'ephemeral-storage': amount, 'example.com/gpu': fc.constantFrom('1', '1k')},
  {requiredKeys: []},
)
const containerName = fc.oneof(
  fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?$/),
  fc.constantFrom('__proto__', 'constructor', '0', 'a'.repeat(63)),
)

/** Pods as users write them, odd in every way that we look at. */
const anyPod = fc.record({
  metadata: fc.record(
    {
      name: fc.constantFrom('a', 'web-0', '0.0', 'a'.repeat(253), 'constructor'),
      annotations: fc.dictionary(
        fc.constantFrom(
          'clouder.dev/original-spec',
          'clouder.dev/restore-checkpoint',
          'clouder.dev/rolled-back',
          'x',
        ),
        oddText,
      ),
      labels: fc.dictionary(
        fc.constantFrom('app', 'constructor', 'clouder.dev/restore'),
        fc.constantFrom('', 'a', 'a'.repeat(63)),
      ),
    },
    {requiredKeys: ['name']},
  ),
  spec: fc.record(
    {
      containers: fc.uniqueArray(
        fc.record(
          {
            name: containerName,
            image: fc.oneof(
              fc.constantFrom('redis', 'a@sha256:0', 'index.docker.io/x:y'),
              anyText({minLength: 1, maxLength: 8}),
            ),
            resources: fc.record({requests: amounts, limits: amounts}, {requiredKeys: []}),
            env: fc.array(fc.record({name: fc.constantFrom('A', '__proto__'), value: oddText}), {
              maxLength: 2,
            }),
            securityContext: fc.record(
              {
                privileged: fc.boolean(),
                runAsUser: fc.constantFrom(0, 1, 2 ** 31 - 1),
                capabilities: fc.record({
                  add: fc.array(fc.constantFrom('ALL', 'NET_ADMIN', 'ODD', ''), {maxLength: 2}),
                }),
                procMount: fc.constantFrom('Default', 'Unmasked'),
              },
              {requiredKeys: []},
            ),
          },
          {requiredKeys: ['name', 'image']},
        ),
        {selector: ({name}) => name, minLength: 1, maxLength: 3},
      ),
      volumes: fc.constantFrom(
        [{name: 'v', emptyDir: {sizeLimit: '1Gi'}}],
        [{name: 'c', persistentVolumeClaim: {claimName: 'c'}}],
      ),
      tolerations: fc.constantFrom(
        [{operator: 'Exists'}],
        [{key: 'a', operator: 'Equal', value: '', effect: 'NoExecute', tolerationSeconds: 2 ** 53}],
      ),
      nodeSelector: fc.constantFrom({}, {constructor: 'a'}),
      hostNetwork: fc.boolean(),
      terminationGracePeriodSeconds: fc.constantFrom(0, 2 ** 31, 2 ** 53),
      securityContext: fc.constantFrom(
        {},
        {sysctls: [{name: 'kernel.shm_rmid_forced', value: '1'}]},
        {fsGroup: 2 ** 31 - 1},
      ),
    },
    {requiredKeys: ['containers']},
  ),
})

test('every Pod that the API server admits is read by every program', async (context) => {
  const api = await apiServer(context)
  let count = 0
  await fc.assert(
    fc.asyncProperty(anyPod, async (pod) => {
      const object = await admitted(api, '/api/v1/namespaces/default/pods', {
        apiVersion: 'v1',
        kind: 'Pod',
        ...pod,
      })
      if (object === undefined) return
      count += 1
      const read = podSchema.parse(object)
      for (const {resources} of read.spec.containers)
        for (const text of Object.values(resources?.requests ?? {}))
          expect(quantity(text)).toBeGreaterThanOrEqual(0)
      const own = parsePod(object)
      if (own.metadata.annotations['clouder.dev/original-spec'] === undefined) podTemplateOf(own)
      for (const {name} of own.spec.containers) widerThanPod(NOTHING, object['spec'], name)
    }),
    {numRuns: 3 * RUNS},
  )
  expect(count).toBeGreaterThan(FEWEST_ADMITTED)
})
