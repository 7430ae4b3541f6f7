import {expect, test} from 'vitest'
import {listOf, runFlagsOf} from '../../../src/cli/flags.ts'
import {joinHosts} from '../../../src/cli/join-hosts.ts'
import {splitArgv} from '../../../src/cli/passthrough.ts'
import {specFromFlags, specOverrides} from '../../../src/cli/spec-flags.ts'
import {ConfigError} from '../../../src/base/errors.ts'
import {documentOf, loadSpec} from '../../../src/spec/load.ts'
import {memoryContexts} from '../../support/memory-contexts.ts'
import {memoryStore} from '../../support/memory-store.ts'

test('a list may come as many flags, with commas, or as the text of a variable', () => {
  expect(listOf(['a', 'b,c'])).toEqual(['a', 'b', 'c'])
  expect(listOf('a, b,')).toEqual(['a', 'b'])
  expect(listOf(undefined)).toEqual([])
})

test('run flags have the defaults of a plain run', () => {
  expect(runFlagsOf({})).toEqual({dryRun: false, skipPhases: [], ignorePreflight: [], concurrency: 20})
  expect(
    runFlagsOf({'dry-run': true, 'skip-phases': ['cni'], 'ignore-preflight': 'swap,cpu', concurrency: 3}),
  ).toEqual({
    dryRun: true,
    skipPhases: ['cni'],
    ignorePreflight: ['swap', 'cpu'],
    concurrency: 3,
  })
})

test('every spec flag reaches its place in the spec', async () => {
  const spec = await specFromFlags(
    'demo',
    {
      provider: 'local',
      kubernetes: 'v1.34.4',
      'control-planes': 1,
      workers: 2,
      'api-endpoint': 'k8s.example.org:443',
      'admin-cidr': ['192.0.2.0/24', '198.51.100.0/24'],
      'node-image': 'debian-12',
      'pod-cidr': '10.20.0.0/16',
      'service-cidr': '10.30.0.0/16',
      cni: 'none',
      addons: 'full',
      with: ['nats', 'gateway'],
      without: 'metallb',
    },
    memoryStore(),
    memoryContexts(),
  )
  expect(spec).toMatchObject({
    name: 'demo',
    provider: {kind: 'local', local: {image: 'debian-12'}},
    kubernetes: {version: '1.34.4'},
    controlPlane: {count: 1},
    workers: [{count: 2}],
    api: {endpoint: 'k8s.example.org:443'},
    network: {podCidr: '10.20.0.0/16', serviceCidr: '10.30.0.0/16', cni: 'none'},
    addons: {profile: 'full', install: ['nats', 'gateway'], without: ['metallb']},
    access: {adminCidrs: ['192.0.2.0/24', '198.51.100.0/24']},
  })
})

test('flags that are not given override nothing', () => {
  expect(Object.values(specOverrides({})).filter((value) => value !== undefined)).toEqual([])
})

test('without a file, what is remembered of the cluster is the base', async () => {
  const store = memoryStore()
  const spec = loadSpec({name: 'demo', overrides: {workers: 3, podCidr: '10.20.0.0/16'}})
  await store.update('demo', () => ({
    version: 1,
    name: 'demo',
    createdAt: '2026-11-21T09:00:00.000Z',
    updatedAt: '2026-11-21T09:00:00.000Z',
    provider: 'local',
    document: documentOf(spec),
    machines: [],
    joined: [],
  }))
  const again = await specFromFlags('demo', {workers: 4}, store, memoryContexts())
  expect(again.network.podCidr).toBe('10.20.0.0/16')
  expect(again.workers[0]?.count).toBe(4)
})

test('without a name the default cluster is meant', async () => {
  const store = memoryStore()
  await expect(specFromFlags(undefined, {}, store, memoryContexts())).rejects.toMatchObject({
    code: 'FLAG_MISSING',
  })
  await store.setDefaultCluster('demo')
  expect((await specFromFlags(undefined, {}, store, memoryContexts())).name).toBe('demo')
})

test('account and region are those of the context, unless the spec or another context says them', async () => {
  const contexts = memoryContexts()
  const account = '123456789012'
  await contexts.set(
    'prod',
    {provider: 'aws', account, region: 'eu-central-1', profile: 'p'},
    {makeCurrent: true},
  )
  await contexts.set('dev', {provider: 'azure', location: 'westeurope'}, {makeCurrent: false})
  const flags = {provider: 'aws', 'admin-cidr': ['192.0.2.0/24']}
  const aws = async (more: object) =>
    (await specFromFlags('demo', {...flags, ...more}, memoryStore(), contexts)).provider.aws
  expect(await aws({})).toMatchObject({account, region: 'eu-central-1', profile: 'p'})
  await expect(aws({ctx: 'dev'})).rejects.toMatchObject({code: 'FLAG_INVALID'})
  await expect(aws({ctx: 'none'})).rejects.toMatchObject({code: 'CONTEXT_UNKNOWN'})
  const azure = {...flags, provider: 'azure', ctx: 'dev'}
  const {provider} = await specFromFlags('demo', azure, memoryStore(), contexts)
  expect(provider.azure.location).toBe('westeurope')
  const local = await specFromFlags('demo', {}, memoryStore(), contexts)
  expect(local.provider.aws.region).toBeUndefined()
})

test('a name that is no DNS label is told with the other problems', async () => {
  const failure = specFromFlags('Not_A_Label', {'pod-cidr': '10.244.0.0/33'}, memoryStore(), memoryContexts())
  const error = await failure.catch((caught: unknown) => caught)
  expect(error).toBeInstanceOf(ConfigError)
  expect(error instanceof ConfigError && error.problems.map(({path}) => path).sort()).toEqual([
    'metadata.name',
    'spec.network.podCidr',
  ])
})

test('a host to join is user, address and port', () => {
  const flags = {name: undefined, key: undefined, pool: 'worker'}
  const hosts = joinHosts({...flags, host: ['192.0.2.1', 'admin@node.example:2222', 'root@[2001:db8::1]:22']})
  expect(hosts.map(({user, address, port}) => [user, address, port])).toEqual([
    [undefined, '192.0.2.1', undefined],
    ['admin', 'node.example', 2222],
    ['root', '2001:db8::1', 22],
  ])
})

test('every host that is not one is named, and so is a name for two', () => {
  const attempt = () => joinHosts({host: ['a@b@c', 'x:99999', ''], name: 'n', key: undefined, pool: 'worker'})
  expect(attempt).toThrow(ConfigError)
  try {
    attempt()
  } catch (error) {
    expect(error instanceof ConfigError && error.problems.map(({path, value}) => [path, value])).toEqual([
      ['--name', 'n'],
      ['--host', 'a@b@c'],
      ['--host', 'x:99999'],
      ['--host', ''],
    ])
  }
})

test('words after -- belong to the program, whatever they look like', () => {
  const known = {takesValue: ['-c', '--cluster'], switches: ['--json']}
  expect(splitArgv(['--cluster', 'demo', '--', 'get', '--json', '--', 'x'], known)).toEqual({
    own: ['--cluster', 'demo'],
    rest: ['get', '--json', '--', 'x'],
  })
  expect(splitArgv(['--json', '--cluster=demo', 'get', 'pods', '-A', '-c', 'app'], known)).toEqual({
    own: ['--json', '--cluster=demo'],
    rest: ['get', 'pods', '-A', '-c', 'app'],
  })
})
