import {expect, test} from 'vitest'
import {ConfigError} from '../../../../src/base/errors.ts'
import {loadStack, stackFromDocument} from '../../../../src/platform/graph/stack-load.ts'
import type {Stack} from '../../../../src/platform/graph/stack-schema.ts'

const HEAD = 'apiVersion: clouder.dev/v1alpha1\nkind: Stack\nmetadata: {name: shop}\n'

const load = (body: string, environment?: string): Stack =>
  loadStack({text: `${HEAD}${body}`, file: 'stack.yaml', environment})

function problemsOf(body: string, environment?: string): readonly string[] {
  try {
    load(body, environment)
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.problems.map(({path, problem}) => `${path} ${problem}`)
  }
}

const SHOP = `
services:
  db:
    source: {manifests: db.yaml}
    namespace: data
    outputs:
      host: {value: db.data.svc}
      password: {from: {apiVersion: v1, kind: Secret, name: db, jsonPath: '{.data.password}'}}
  iam:
    source: {chart: {path: charts/iam}}
    values:
      replicas: 1
      url: {$format: {template: 'postgres://{h}/iam', with: {h: {$output: {service: db, name: host}}}}}
  web:
    source: {kustomization: web}
    needs: [iam]
    gate: {http: {service: web, port: 80, path: /healthz}}
environments:
  prod:
    services:
      iam: {values: {replicas: 3, url: null}, needs: [db]}
      web: null
`

test('needs are what is named and what outputs are used of', () => {
  const {services} = load(SHOP)
  expect([...services.values()].map(({name, namespace, needs}) => [name, namespace, needs])).toEqual([
    ['db', 'data', []],
    ['iam', 'shop', ['db']],
    ['web', 'shop', ['iam']],
  ])
  expect(services.get('web')?.gate).toMatchObject({ready: {timeoutSeconds: 300}, http: {status: 200}})
})

test('an environment is merged before the stack is checked', () => {
  const {services, environment} = load(SHOP, 'prod')
  expect(environment).toBe('prod')
  expect([...services.keys()]).toEqual(['db', 'iam'])
  expect(services.get('iam')?.values).toEqual({replicas: 3})
})

test('the recorded document is the same stack again', () => {
  const stack = load(SHOP, 'prod')
  expect(stackFromDocument(structuredClone(stack.document), 'prod')).toEqual(stack)
})

test('a service that only an environment completes is fine there, and a problem elsewhere', () => {
  const body = 'services: {a: {}}\nenvironments: {dev: {services: {a: {source: {manifests: a}}}}}\n'
  expect(problemsOf(body, 'dev')).toEqual([])
  expect(problemsOf(body)).toEqual(['services.a.source is required'])
})

test.for<readonly [string, string, RegExp]>([
  [
    'an unknown key',
    'services: {a: {source: {manifests: a}, need: [b]}}',
    /^services\.a\.need is not a known key; did you mean needs/,
  ],
  [
    'an unknown key of a chart',
    'services: {a: {source: {chart: {pth: a}}}}',
    /^services\.a\.source\.chart\.pth is not a known key; did you mean path/,
  ],
  [
    'two sources',
    'services: {a: {source: {manifests: a, kustomization: b}}}',
    /^services\.a\.source must have exactly one/,
  ],
  [
    'values without a chart',
    'services: {a: {source: {manifests: a}, values: {x: 1}}}',
    /^services\.a\.values is for charts/,
  ],
  [
    'a remote chart without digest',
    'services: {a: {source: {chart: {oci: "oci://r.example/c", version: "1.0.0"}}}}',
    /^services\.a\.source\.chart\.digest is required with oci/,
  ],
  [
    'a need that is not there',
    'services: {a: {source: {manifests: a}, needs: [b]}}',
    /^services\.a\.needs\[0\] is not a service/,
  ],
  [
    'an unknown $ key',
    'services: {a: {source: {chart: {path: a}}, values: {x: {$vault: y}}}}',
    /^services\.a\.values\.x\.\$vault is not a reference/,
  ],
  [
    'an output that is not there',
    'services: {a: {source: {manifests: a}}, b: {source: {chart: {path: b}}, values: {x: {$output: {service: a, name: url}}}}}',
    /^services\.b\.values\.x\.\$output\.name is not an output of service a, which has none/,
  ],
  [
    'an output of no service',
    'services: {b: {source: {chart: {path: b}}, values: {x: {$output: {service: a, name: url}}}}}',
    /^services\.b\.values\.x\.\$output\.service is not a service/,
  ],
  [
    'a jsonPath that is none',
    'services: {a: {source: {manifests: a}, outputs: {x: {from: {apiVersion: v1, kind: Pod, name: p, jsonPath: "{.a[*]}"}}}}}',
    /^services\.a\.outputs\.x\.from\.jsonPath is not a path/,
  ],
  [
    'a gate without a place',
    'services: {a: {source: {manifests: a}, gate: {http: {path: /}}}}',
    /^services\.a\.gate\.http must have exactly one of url and service/,
  ],
  [
    'an environment that changes the name',
    'services: {}\nenvironments: {dev: {metadata: {name: b}}}',
    /^environments\.dev\.metadata cannot differ/,
  ],
])('refused: %s', ([, body, wanted]) => {
  const found = problemsOf(body, body.includes('dev') ? 'dev' : undefined)
  expect(found).toHaveLength(1)
  expect(found[0]).toMatch(wanted)
})

test('an environment that is not there is refused with the known ones', () => {
  expect(problemsOf(SHOP, 'staging')).toEqual(['environments has no environment staging; known are prod'])
})

test('a cycle is named, also one that outputs make', () => {
  const body = `services:
  a: {source: {chart: {path: a}}, values: {x: {$output: {service: c, name: o}}}}
  b: {source: {manifests: b}, needs: [a]}
  c: {source: {manifests: c}, needs: [b], outputs: {o: {value: x}}}
`
  expect(problemsOf(body)).toEqual(['services.a.needs is part of a cycle: a needs c needs b needs a'])
})
