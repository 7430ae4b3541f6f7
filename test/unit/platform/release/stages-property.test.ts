import fc from 'fast-check'
import {expect, test} from 'vitest'
import {inOrder, rankOf, stageOf, STAGES} from '../../../../src/platform/release/stages.ts'

const DEFINED = new Set(['Thing.example.dev'])
const kinds = [
  ['v1', 'Namespace'],
  ['apiextensions.k8s.io/v1', 'CustomResourceDefinition'],
  ['v1', 'ServiceAccount'],
  ['rbac.authorization.k8s.io/v1', 'ClusterRoleBinding'],
  ['v1', 'Secret'],
  ['v1', 'PersistentVolumeClaim'],
  ['v1', 'Service'],
  ['other.dev/v1', 'Unheard'],
  ['apps/v1', 'Deployment'],
  ['batch/v1', 'Job'],
  ['example.dev/v1', 'Thing'],
  ['admissionregistration.k8s.io/v1', 'ValidatingWebhookConfiguration'],
  ['apiregistration.k8s.io/v1', 'APIService'],
] as const
const objects = fc.array(
  fc.constantFrom(...kinds).map(([apiVersion, kind]) => ({apiVersion, kind})),
  {maxLength: 40},
)

test('objects in any order come in one order, none lost and none twice', () => {
  fc.assert(
    fc.property(objects, (given) => {
      const groups = inOrder(given, DEFINED)
      const flat = groups.flat()
      expect(new Set(flat)).toEqual(new Set(given))
      expect(flat).toHaveLength(given.length)
      const places = flat.map((object) => STAGES.indexOf(stageOf(object, DEFINED)))
      expect(places).toEqual(places.toSorted((one, two) => one - two))
      const ranks = flat.filter((object) => stageOf(object, DEFINED) === 'objects').map(rankOf)
      expect(ranks).toEqual(ranks.toSorted((one, two) => one - two))
      for (const group of groups)
        expect(new Set(group.map((object) => stageOf(object, DEFINED))).size).toBe(1)
    }),
  )
})

test('what is referred to comes before what refers to it', () => {
  const order = inOrder(
    kinds.map(([apiVersion, kind]) => ({apiVersion, kind})),
    DEFINED,
  )
    .flat()
    .map(({kind}) => kind)
  const chain = [
    'Namespace',
    'CustomResourceDefinition',
    'ServiceAccount',
    'Secret',
    'Deployment',
    'Thing',
    'APIService',
  ]
  expect(order.filter((kind) => chain.includes(kind))).toEqual(chain)
})
