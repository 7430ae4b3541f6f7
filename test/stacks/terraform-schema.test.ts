import {expect, test} from 'vitest'
import {isTaggable, schemaProblems, terraformSchemaSchema} from '../support/terraform-schema.ts'

const schema = terraformSchemaSchema.parse({
  provider: 'toy',
  version: '1.0',
  provider_config: {block: {attributes: {region: {required: true, type: 'string'}}}},
  data_sources: {toy_image: {block: {attributes: {id: {computed: true, type: 'string'}}}}},
  resources: {
    toy_disk: {
      block: {
        attributes: {
          id: {computed: true, type: 'string'},
          size: {required: true, type: 'number'},
          old: {optional: true, type: 'bool', deprecated: true},
          zones: {optional: true, type: ['set', 'string']},
          tags: {optional: true, type: ['map', 'string']},
          rules: {optional: true, type: ['list', ['object', {port: 'number', open: 'bool'}]]},
        },
        block_types: {
          key: {
            nesting_mode: 'list',
            min_items: 1,
            max_items: 1,
            block: {attributes: {id: {optional: true, type: 'string'}}},
          },
          timeouts: {
            nesting_mode: 'single',
            block: {attributes: {create: {optional: true, type: 'string'}}},
          },
        },
      },
    },
    toy_link: {block: {attributes: {disk: {required: true, type: 'string'}}}},
  },
})

const disk = (body: object) => ({resource: {toy_disk: {a: {size: 1, key: {}, ...body}}}})

test('a configuration that fits has no problems', () => {
  const configuration = {
    '//': {metadata: {any: 'thing'}},
    provider: {toy: [{region: 'x', alias: 'y'}]},
    data: {toy_image: {i: {count: 1}}},
    resource: {
      toy_disk: {
        a: {
          size: '${data.toy_image.i.id}',
          zones: ['a'],
          tags: {a: 'b', c: null},
          rules: [{port: '1', open: true}],
          key: [{id: 'x'}],
          timeouts: {create: '5m'},
          lifecycle: {ignore_changes: ['size']},
        },
      },
      toy_link: {l: {disk: '${toy_disk.a.id}-$${toy_disk.b.id}', depends_on: ['toy_disk.a']}},
    },
  }
  expect(schemaProblems(configuration, schema)).toEqual([])
})

const PLANTED: readonly (readonly [string, object, string])[] = [
  ['an unknown argument', disk({sise: 1}), 'toy_disk.a.sise: is unknown'],
  ['a missing argument', {resource: {toy_disk: {a: {key: {}}}}}, 'toy_disk.a.size: is required'],
  ['a computed argument', disk({id: 'x'}), 'toy_disk.a.id: is computed, it cannot be set'],
  ['a deprecated argument', disk({old: true}), 'toy_disk.a.old: is deprecated'],
  ['a wrong primitive', disk({size: 'big'}), 'toy_disk.a.size: "big" is no number'],
  ['text where a list goes', disk({zones: 'a'}), 'toy_disk.a.zones: "a" is no set'],
  ['a wrong item', disk({zones: [['a']]}), 'toy_disk.a.zones[0]: ["a"] is no string'],
  ['a list where a map goes', disk({tags: ['a']}), 'toy_disk.a.tags: ["a"] is no map'],
  ['an object that is not whole', disk({rules: [{port: 1}]}), 'toy_disk.a.rules[0].open: is required'],
  [
    'a strange part of an object',
    disk({rules: [{port: 1, open: true, x: 1}]}),
    'toy_disk.a.rules[0].x: is unknown',
  ],
  ['a missing block', {resource: {toy_disk: {a: {size: 1}}}}, 'toy_disk.a.key: is a required block'],
  ['too few blocks', disk({key: []}), 'toy_disk.a.key: 0 blocks, at least 1 are needed'],
  ['too many blocks', disk({key: [{}, {}]}), 'toy_disk.a.key: 2 blocks, at most 1 are allowed'],
  ['an unknown argument of a block', disk({key: {no: 1}}), 'toy_disk.a.key[0].no: is unknown'],
  ['an unknown type', {resource: {toy_dusk: {a: {}}}}, 'toy_dusk.a: the schema knows no such type'],
  ['an unknown data source', {data: {toy_disk: {a: {}}}}, 'data.toy_disk.a: the schema knows no such type'],
  ['a provider without its region', {provider: {toy: {}}}, 'provider.toy.region: is required'],
  [
    'a reference to nothing',
    {resource: {toy_link: {l: {disk: '${toy_disk.b.id}'}}}},
    'toy_disk.b.id: refers to nothing',
  ],
  [
    'links that wait for each other',
    {
      resource: {
        toy_disk: {a: {size: 1, key: {id: '${toy_link.l.disk}'}}},
        toy_link: {l: {disk: 'x', depends_on: ['toy_disk.a']}, m: {disk: '${toy_link.l.disk}'}},
      },
    },
    'wait for each other: toy_disk.a, toy_link.l, toy_link.m',
  ],
  [
    'a reference to an attribute that is not there',
    {...disk({}), output: {o: {value: 'x ${[for d in [toy_disk.a.idd] : "${d}"]}'}}},
    'toy_disk.a.idd: has no idd',
  ],
]

for (const [what, configuration, problem] of PLANTED) {
  test(`the check finds ${what}`, () => {
    expect(schemaProblems(configuration, schema)).toEqual([problem])
  })
}

test('what takes tags is told from what does not', () => {
  expect([isTaggable(schema, 'toy_disk'), isTaggable(schema, 'toy_link')]).toEqual([true, false])
})
