import fc from 'fast-check'
import {expect, test} from 'vitest'
import {stringify} from 'yaml'
import {ConfigError} from '../../../src/base/errors.ts'
import {knownKeysAt} from '../../../src/spec/json-schema.ts'
import {documentOf, loadSpec, specFromDocument} from '../../../src/spec/load.ts'
import {valueAt} from '../../../src/spec/problems.ts'
import {anyText} from '../../support/any-text.ts'
import {runsOf} from '../../support/property-runs.ts'

const full = {
  apiVersion: 'clouder.dev/v1alpha1',
  kind: 'Cluster',
  metadata: {name: 'demo'},
  spec: {
    provider: {kind: 'byon', local: {engine: 'auto', image: 'debian-13', subnet: '10.9.0.0/24'}},
    kubernetes: {version: '1.35.4'},
    controlPlane: {count: 1, hosts: [{address: '192.0.2.1', privateAddress: '10.0.0.1'}], schedulable: true},
    workers: [
      {
        name: 'a',
        count: 2,
        labels: {'example.org/a': 'b'},
        taints: [{key: 'a', value: 'b', effect: 'NoSchedule'}],
        hosts: [
          {
            name: 'x',
            address: 'x.example.org',
            privateAddress: '10.0.0.2',
            user: 'u',
            port: 22,
            keyPath: '~/k',
          },
          {address: '192.0.2.3', sudoPassword: {env: 'P'}, hostKeys: [`ssh-ed25519 ${'A'.repeat(68)}`]},
        ],
      },
    ],
    network: {
      podCidr: '10.244.0.0/16',
      serviceCidr: '10.96.0.0/12',
      dnsDomain: 'cluster.local',
      cni: 'flannel',
    },
    api: {endpoint: 'api.example.org:6443', certSans: ['*.example.org']},
    containerd: {registryMirrors: [{registry: 'docker.io', endpoints: ['https://mirror.example.org']}]},
    checkpoint: {enabled: true, establishedTcp: 'keep', dumpMemoryPercent: 30},
    ssh: {user: 'root', port: 22, hostKeys: 'strict', bastion: {address: 'jump', user: 'j', port: 22}},
    access: {adminCidrs: ['192.0.2.0/24']},
    state: {backend: 'local'},
  },
}

/** The ConfigError, or undefined when the text was accepted; anything else thrown fails the test. */
function refusalOf(load: () => unknown): ConfigError | undefined {
  try {
    load()
    return undefined
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError)
    return error instanceof ConfigError ? error : undefined
  }
}

const pathsOf = (node: unknown, path: readonly (string | number)[] = []): (readonly (string | number)[])[] =>
  typeof node !== 'object' || node === null
    ? [path]
    : [
        path,
        ...Object.entries(node).flatMap(([key, child]) =>
          pathsOf(child, [...path, Array.isArray(node) ? Number(key) : key]),
        ),
      ]

const anyValue = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.constantFrom<unknown>(
      null,
      '',
      0,
      -1,
      2,
      1e9,
      1.5,
      true,
      [],
      {},
      [{}],
      [[]],
      'latest',
      '10.0.0.0/33',
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom<unknown>(
      Number.NaN,
      '10.0.0.0/8',
      '::/0',
      '127.0.0.1',
      'A b',
      '__proto__',
      'demo',
    ),
  },
  {weight: 1, arbitrary: anyText()},
  {weight: 1, arbitrary: fc.jsonValue({maxDepth: 3})},
)
const mutation = fc.record({
  path: fc.constantFrom(...pathsOf(full).slice(1)),
  change: fc.oneof(
    fc.record({kind: fc.constant('set' as const), value: anyValue}),
    fc.record({kind: fc.constant('remove' as const)}),
    fc.record({kind: fc.constant('add' as const), key: fc.string({minLength: 1}), value: anyValue}),
  ),
})

function mutated(
  changes: readonly {
    path: readonly (string | number)[]
    change: {kind: string; key?: string; value?: unknown}
  }[],
): unknown {
  const document = structuredClone(full)
  for (const {path, change} of changes) {
    const parent = valueAt(document, path.slice(0, -1))
    const target = valueAt(document, path)
    const key = path.at(-1) ?? ''
    if (typeof parent !== 'object' || parent === null) continue
    if (change.kind === 'remove' && Array.isArray(parent)) parent.splice(Number(key), 1)
    else if (change.kind === 'remove') Reflect.deleteProperty(parent, key)
    else if (change.kind === 'set') Reflect.set(parent, key, change.value)
    else if (Array.isArray(target)) target.push(change.value)
    else if (typeof target === 'object' && target !== null)
      Reflect.set(target, change.key ?? '', change.value)
  }
  return document
}

/** The keys of `a.b[0]["c"]`. */
function parsePath(text: string): (string | number)[] {
  return [...text.matchAll(/\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]|([^.[\]]+)/g)].map(([, index, quoted, bare]) =>
    index !== undefined ? Number(index) : quoted !== undefined ? String(JSON.parse(quoted)) : (bare ?? ''),
  )
}

function expectKnownPlaces(error: ConfigError | undefined, document: unknown): void {
  for (const {path} of error?.problems ?? []) {
    const keys = parsePath(path)
    const isThere = valueAt(document, keys) !== undefined
    const isKnown = knownKeysAt(keys.slice(0, -1)).includes(String(keys.at(-1)))
    expect(isThere || isKnown, `${path} is nowhere`).toBe(true)
  }
}

test('the document that is mutated is a valid one', () => {
  expect(() => specFromDocument(full)).not.toThrow()
})

test('any mutation of a valid document loads or is refused with a ConfigError at places that exist', () => {
  fc.assert(
    fc.property(fc.array(mutation, {minLength: 1, maxLength: 4}), (changes) => {
      const document = mutated(changes)
      expectKnownPlaces(
        refusalOf(() => specFromDocument(document)),
        document,
      )
      refusalOf(() =>
        loadSpec({text: stringify(document), name: 'demo', overrides: {workers: 2, podCidr: '10.1.0.0/16'}}),
      )
    }),
    {numRuns: runsOf(150)},
  )
})

test('any object at all is refused with a ConfigError', () => {
  fc.assert(
    fc.property(fc.object({maxDepth: 3}), (document) => {
      expect(refusalOf(() => specFromDocument(document))).toBeDefined()
    }),
    {numRuns: runsOf(100)},
  )
})

const fragment = fc.oneof(
  anyText({maxLength: 8}),
  fc.constantFrom(
    'spec:',
    '\n',
    '  ',
    '- ',
    'a: ',
    '&a ',
    '*a',
    '!!map ',
    '{',
    '}',
    '[',
    ']',
    '---\n',
    '? ',
    '|',
    '>',
    '"',
    "'",
    '#',
    '<<: ',
    '%YAML 1.1\n',
    '\t',
  ),
)

test('any text is refused with a ConfigError', () => {
  fc.assert(
    fc.property(fc.array(fragment, {maxLength: 40}), (parts) => {
      expect(refusalOf(() => loadSpec({text: parts.join('')}))).toBeDefined()
    }),
    {numRuns: runsOf(300)},
  )
})

test('a valid text with anything put into it loads or is refused with a ConfigError', () => {
  const text = stringify(full)
  fc.assert(
    fc.property(fc.nat(text.length), fragment, (at, part) => {
      refusalOf(() => loadSpec({text: text.slice(0, at) + part + text.slice(at)}))
    }),
    {numRuns: runsOf(100)},
  )
})

test('what loads, loads to the same again', () => {
  fc.assert(
    fc.property(fc.array(mutation, {maxLength: 2}), (changes) => {
      const document = mutated(changes)
      if (refusalOf(() => specFromDocument(document)) !== undefined) return
      const spec = specFromDocument(document)
      expect(specFromDocument(documentOf(spec))).toEqual(spec)
    }),
    {numRuns: runsOf(100)},
  )
})
