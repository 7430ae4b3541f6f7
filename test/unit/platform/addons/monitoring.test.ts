import {expect, test} from 'vitest'
import {z} from 'zod'
import {monitoringAddon} from '../../../../src/platform/addons/monitoring/addon.ts'
import {dashboards} from '../../../../src/platform/addons/monitoring/dashboards.ts'
import {expectGolden, factsOf, faultsOf, privilegesOf, renderedBy} from '../../../support/addon-golden.ts'

const objects = renderedBy(monitoringAddon)

test('the objects are as their golden file says', () => {
  expectGolden('monitoring', objects)
  expect(faultsOf(monitoringAddon, objects)).toEqual([])
})

test('node metrics are read in the network of the node, without rights', () => {
  expect(privilegesOf(objects)).toEqual(['DaemonSet node-exporter: hostNetwork'])
})

const claimsOf = (all: typeof objects) =>
  all
    .filter(({kind}) => kind === 'StatefulSet')
    .map(
      ({spec}) =>
        z.looseObject({volumeClaimTemplates: z.array(z.unknown())}).parse(spec).volumeClaimTemplates.length,
    )

test('metrics are kept where there is a default class', () => {
  expect(claimsOf(objects)).toEqual([1, 1])
  expect(claimsOf(renderedBy(monitoringAddon, {spec: 'addons: {without: [local-path-storage]}'}))).toEqual([
    0, 0,
  ])
  expect(claimsOf(renderedBy(monitoringAddon, {parameters: {persistent: false}}))).toEqual([0, 0])
})

test('a changed configuration is a changed pod', () => {
  const digests = (parameters: object) =>
    JSON.stringify(renderedBy(monitoringAddon, {parameters})).match(
      /"clouder.dev\/configuration":"[0-9a-f]+"/g,
    )
  expect(digests({})).toHaveLength(2)
  expect(digests({intervalSeconds: 15})?.[0]).not.toBe(digests({})?.[0])
  expect(digests({intervalSeconds: 15})?.[1]).toBe(digests({})?.[1])
})

test('receivers name Secrets, which are mounted and never read', () => {
  const receivers = [
    {name: 'chat', webhook: {urlSecretRef: {name: 'alerts', key: 'url'}}},
    {
      name: 'mail',
      severities: ['critical'],
      email: {
        to: 'a@example.com',
        from: 'b@example.com',
        smarthost: 'mail.example.com:587',
        username: 'b',
        passwordSecretRef: {name: 'alerts', key: 'password'},
      },
    },
  ]
  const made = renderedBy(monitoringAddon, {parameters: {receivers}})
  expectGolden(
    'monitoring-receivers',
    made.filter(
      ({kind, metadata}) => metadata.name === 'alertmanager' && ['ConfigMap', 'StatefulSet'].includes(kind),
    ),
  )
})

test.for([
  [{name: 'x'}, 'expected one of webhook and email'],
  [{name: 'x', webhook: {}}, 'expected one of url and urlSecretRef'],
  [{name: 'x', webhook: {url: 'ftp://x.example'}}, 'Invalid URL'],
] as const)('receiver %j: %s', ([receiver, problem]) => {
  const parsed = monitoringAddon.schema(factsOf().spec).safeParse({receivers: [receiver]})
  expect(parsed.error?.message).toContain(problem)
})

test('dashboards have names of their own, and each panel a place', () => {
  const panelSchema = z.looseObject({gridPos: z.looseObject({x: z.number(), y: z.number()})})
  const schema = z.looseObject({uid: z.string(), panels: z.array(panelSchema).min(1)})
  const all = Object.values(dashboards).map((each) => schema.parse(each))
  expect(new Set(all.map(({uid}) => uid)).size).toBe(all.length)
  for (const {panels} of all)
    expect(new Set(panels.map(({gridPos: {x, y}}) => `${x} ${y}`)).size).toBe(panels.length)
})
