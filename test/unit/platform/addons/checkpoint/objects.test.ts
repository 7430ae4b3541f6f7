import {readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {stringify} from 'yaml'
import {z} from 'zod'
import {checkpointDefinitions, structural} from '../../../../../src/platform/addons/checkpoint/definitions.ts'
import {checkpointObjects, CLAIM_DIR} from '../../../../../src/platform/addons/checkpoint/objects.ts'
import {RESOURCES} from '../../../../../src/api/resources.ts'
import type {KubeObject} from '../../../../../src/kubernetes/types.ts'

const image = {image: 'clouder.dev/clouder:1', imageDigest: 'sha256:0123'}
const limit = {volumeLimitGibibytes: 4}
const objects = (store: Parameters<typeof checkpointObjects>[0]['store'] = {node: {}}) =>
  checkpointObjects({...image, ...limit, store})

function golden(name: string, all: readonly KubeObject[]): void {
  const path = join(import.meta.dirname, '../golden', name)
  const text = all.map((object) => stringify(object, {lineWidth: 110})).join('---\n')
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(path, text)
  expect(readFileSync(path, 'utf8'), 'rewrite it with UPDATE_GOLDEN=1').toBe(text)
}

test('the definitions are as their golden file says', () => {
  golden('checkpoint-definitions.yaml', checkpointDefinitions())
})

test('the add-on is as its golden file says', () => {
  golden('checkpoint.yaml', objects())
})

test('in a cloud both programs are in the network of their node, the controller on control planes', () => {
  const wanted = {agentPort: 9808, controllerPort: 9809, controlPlanes: 1}
  const made = checkpointObjects({...image, ...limit, store: {node: {}}, hostNetwork: wanted})
  const [agent, controller] = ['DaemonSet', 'Deployment'].map((kind) =>
    made.find((object) => object.kind === kind),
  )
  expect(agent).toMatchObject({
    spec: {
      template: {
        spec: {hostNetwork: true, containers: [{ports: [{containerPort: 9808}]}]},
      },
    },
  })
  expect(controller).toMatchObject({
    spec: {
      replicas: 1,
      strategy: {rollingUpdate: {maxSurge: 0}},
      template: {
        spec: {
          hostNetwork: true,
          nodeSelector: {'node-role.kubernetes.io/control-plane': ''},
          containers: [{ports: [{containerPort: 9809}]}],
        },
      },
    },
  })
  const several = checkpointObjects({
    ...image,
    ...limit,
    store: {node: {}},
    hostNetwork: {...wanted, controlPlanes: 3},
  })
  expect(several.find(({kind}) => kind === 'Deployment')).toMatchObject({spec: {replicas: 2}})
})

const ruleSchema = z.object({
  apiGroups: z.array(z.string()),
  resources: z.array(z.string()),
  verbs: z.array(z.string()),
})
const rolesSchema = z.object({rules: z.array(ruleSchema)})

function rulesOf(name: string, kind: 'ClusterRole' | 'Role') {
  const found = objects().find((object) => object.kind === kind && object.metadata.name === name)
  return rolesSchema.parse(found).rules
}

test('nobody is given everything of anything', () => {
  const roles = objects().filter(({kind}) => kind === 'ClusterRole' || kind === 'Role')
  expect(roles.length).toBe(6)
  for (const role of roles) expect(JSON.stringify(rolesSchema.parse(role))).not.toContain('*')
})

test('secrets are read in the namespace of the system alone, by none but the programs', () => {
  const holders = objects()
    .filter(({kind}) => kind === 'ClusterRole' || kind === 'Role')
    .filter((role) => rolesSchema.parse(role).rules.some(({resources}) => resources.includes('secrets')))
  expect(holders.map(({kind, metadata}) => `${kind} ${metadata.name}`)).toEqual([
    'Role clouder-node-agent',
    'Role clouder-controller',
  ])
  for (const {metadata} of holders) expect(metadata.namespace).toBe('clouder-system')
})

test('the agent may ask kubelets for nothing', () => {
  const ofNodes = rulesOf('clouder-node-agent', 'ClusterRole')
    .filter(({resources}) => resources.some((resource) => resource.startsWith('nodes/')))
    .flatMap(({resources, verbs}) => resources.map((resource) => `${verbs.join(' ')} ${resource}`))
  expect(ofNodes).toEqual([])
})

test('users of a namespace write what they want, and no status', () => {
  const [rule] = rulesOf('clouder-checkpoint-user', 'ClusterRole')
  expect(rule?.resources.some((resource) => resource.includes('/'))).toBe(false)
  expect(rule?.resources).not.toContain('checkpointstores')
  expect(rulesOf('clouder-checkpoint-viewer', 'ClusterRole')[0]?.verbs).toEqual(['get', 'list', 'watch'])
})

const podSpecSchema = z.looseObject({
  spec: z.looseObject({
    template: z.looseObject({
      spec: z.looseObject({
        volumes: z.array(z.looseObject({name: z.string()})),
        containers: z.array(
          z.looseObject({
            volumeMounts: z.array(z.looseObject({name: z.string(), mountPath: z.string()})),
            securityContext: z.looseObject({
              privileged: z.boolean().optional(),
              capabilities: z.looseObject({drop: z.array(z.string()), add: z.array(z.string()).optional()}),
            }),
          }),
        ),
      }),
    }),
  }),
})

function podOf(kind: 'DaemonSet' | 'Deployment', store?: Parameters<typeof objects>[0]) {
  const found = objects(store).find((object) => object.kind === kind)
  const {spec} = podSpecSchema.parse(found).spec.template
  const [container] = spec.containers
  if (container === undefined) throw new Error('no container')
  return {spec, container}
}

test('neither program is privileged, and the controller has no capability and nothing of its node', () => {
  for (const kind of ['DaemonSet', 'Deployment'] as const) {
    const {container} = podOf(kind)
    expect(container.securityContext.privileged).toBeUndefined()
    expect(container.securityContext.capabilities.drop).toEqual(['ALL'])
  }
  const {spec, container} = podOf('Deployment')
  expect(container.securityContext.capabilities.add).toBeUndefined()
  expect(JSON.stringify(spec)).not.toContain('hostPath')
})

test.for([
  {store: {node: {}}, agent: undefined, controller: undefined},
  {store: {directory: {path: '/mnt/team'}}, agent: '/mnt/team', controller: undefined},
  {
    store: {persistentVolumeClaim: {claimName: 'shared'}},
    agent: `${CLAIM_DIR}/shared`,
    controller: `${CLAIM_DIR}/shared`,
  },
])('a store $store is mounted where it is needed', ({store, agent, controller}) => {
  const mountOf = (kind: 'DaemonSet' | 'Deployment') =>
    podOf(kind, store).container.volumeMounts.find(({name}) => name === 'store')?.mountPath
  expect(mountOf('DaemonSet')).toBe(agent)
  expect(mountOf('Deployment')).toBe(controller)
})

test('every kind has a definition, whose schema the API server takes as structural', () => {
  const definitions = checkpointDefinitions()
  expect(definitions.map(({metadata}) => metadata.name).sort()).toEqual(
    Object.values(RESOURCES)
      .map(({plural}) => `${plural}.clouder.dev`)
      .sort(),
  )
  const text = JSON.stringify(definitions)
  for (const banned of ['"anyOf"', '"$schema"', '"additionalProperties":false', '"const"'])
    expect(text).not.toContain(banned)
})

test('alternatives become keys of one mapping, of which one is there', () => {
  const schema = z.union([z.strictObject({a: z.strictObject({})}), z.strictObject({b: z.string()})])
  expect(structural(z.toJSONSchema(schema))).toEqual({
    type: 'object',
    properties: {a: {type: 'object', properties: {}}, b: {type: 'string'}},
    'x-kubernetes-validations': [
      {
        rule: '[has(self.a), has(self.b)].filter(isSet, isSet).size() == 1',
        message: 'exactly one of a, b must be set',
      },
    ],
  })
})
