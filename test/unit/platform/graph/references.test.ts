import {expect, test} from 'vitest'
import {
  describeReference,
  resolveReferences,
  scanReferences,
  type Reference,
} from '../../../../src/platform/graph/references.ts'
import {formatPath} from '../../../../src/spec/problems.ts'

const problems = (value: unknown): readonly string[] =>
  scanReferences(value).findings.map(({path, problem}) => `${formatPath(path)} ${problem}`)

test('references are found wherever they are, with their paths', () => {
  const {references, findings} = scanReferences({
    plain: 'a',
    list: [1, {$secret: {name: 'db', key: 'password'}}],
    deep: {
      url: {$format: {template: 'http://{host}', with: {host: {$output: {service: 'db', name: 'host'}}}}},
    },
    config: {$config: {name: 'site', key: 'title', namespace: 'web'}},
  })
  expect(findings).toEqual([])
  expect(
    references.map(({path, reference}) => `${formatPath(path)}: ${describeReference(reference, 'shop')}`),
  ).toEqual([
    'list[1]: Secret shop/db key password',
    'deep.url.$format.with.host: output host of service db',
    'config: ConfigMap web/site key title',
  ])
})

test.for<readonly [unknown, RegExp]>([
  [{$vault: 'x'}, /^\$vault is not a reference; known are \$secret, \$config, \$output, \$format/],
  [
    {a: {$secret: {name: 'x', key: 'y'}, b: 1}},
    /^a is a reference \(\$secret\), and has other keys beside it: b/,
  ],
  [{$secret: {name: 'x'}}, /^\$secret\.key is missing/],
  [{$secret: {name: 'x', key: 'y', field: 'z'}}, /^\$secret has unknown keys: field/],
  [{$secret: 'x'}, /^\$secret is missing/],
  [{$format: {template: '{a}', with: {}}}, /^\$format\.with\.a is required/],
  [{$format: {template: 'x', with: {a: '1'}}}, /^\$format\.with\.a is not part/],
  [{$format: {template: 'x}', with: {}}}, /has a single }; write }}/],
  [
    {$format: {template: '{a}', with: {a: {$format: {template: '', with: {}}}}}},
    /with\.a is neither text nor a reference/,
  ],
  [{$format: {template: '{a}', with: {a: {$what: 1}}}}, /with\.a\.\$what is not a reference/],
])('refused: %j', ([value, wanted]) => {
  expect(problems(value)[0]).toMatch(wanted)
})

test('each reference becomes the value as a whole, and a format puts several together', () => {
  const valueOf = (reference: Reference): string =>
    reference.kind === 'output' ? 'db.shop' : `{${reference.key}}`
  const resolved = resolveReferences(
    {
      url: {
        $format: {
          template: 'postgres://{u}:{p}@{h}:{port}/{{db}}',
          with: {
            u: 'app',
            p: {$secret: {name: 'db', key: 'p'}},
            h: {$output: {service: 'db', name: 'host'}},
            port: 5432,
          },
        },
      },
      list: [{$config: {name: 'c', key: 'k'}}, 3, null],
      $$schema: 'a key of its own',
    },
    valueOf,
  )
  expect(resolved).toEqual({
    url: 'postgres://app:{p}@db.shop:5432/{db}',
    list: ['{k}', 3, null],
    $schema: 'a key of its own',
  })
})
