import {expect, test} from 'vitest'
import {metalLbAddon} from '../../../../src/platform/addons/metallb/addon.ts'
import {expectGolden, factsOf, faultsOf, privilegesOf, renderedBy} from '../../../support/addon-golden.ts'

const objects = renderedBy(metalLbAddon, {parameters: {addresses: ['10.0.0.240-10.0.0.250']}})

test('the objects are as their golden file says', () => {
  expectGolden('metallb', objects)
  expect(faultsOf(metalLbAddon, objects)).toEqual([])
})

test('its speakers answer ARP on their nodes, and may do nothing else there', () => {
  expect(privilegesOf(objects)).toEqual([
    'DaemonSet metallb-speaker: hostNetwork',
    'DaemonSet metallb-speaker: runs as root',
    'DaemonSet metallb-speaker: metallb-speaker has NET_RAW',
  ])
})

test.for(['10.0.0.240', '10.0.0.250-10.0.0.240', '10.0.0.1-10.0.0.2-10.0.0.3', '10.0.0.0/33', 'pool', ''])(
  'addresses %j are refused',
  (text) => {
    expect(metalLbAddon.schema(factsOf().spec).safeParse({addresses: [text]}).success).toBe(false)
  },
)

test.for(['10.0.0.240/28', '10.0.0.9-10.0.0.10', '10.0.0.9-10.0.0.9'])('addresses %j are taken', (text) => {
  expect(metalLbAddon.schema(factsOf().spec).safeParse({addresses: [text]}).success).toBe(true)
})

test('the key of the speakers is another one each time, and never among the objects that are compared', () => {
  const keyOf = () => {
    const [secret] = metalLbAddon.createdOnce({addresses: ['10.0.0.240/28']}, factsOf())
    return JSON.stringify(secret?.['stringData'])
  }
  expect(keyOf()).toMatch(/^\{"secretkey":"[A-Za-z0-9+/]{43}="\}$/)
  expect(keyOf()).not.toBe(keyOf())
  expect(objects.some(({kind}) => kind === 'Secret')).toBe(false)
})
