import {expect, test} from 'vitest'
import {NODE_PORTS_OF_ADDONS} from '../../../../src/platform/addons/control-planes.ts'
import {ADDONS} from '../../../../src/platform/addons/catalogue.ts'
import {certManagerAddon} from '../../../../src/platform/addons/cert-manager/addon.ts'
import {clusterAutoscalerAddon} from '../../../../src/platform/addons/cluster-autoscaler/addon.ts'
import {selectAddons} from '../../../../src/platform/addons/selection.ts'
import {HOST_PORTS} from '../../../../src/spec/syntax.ts'
import {factsOf} from '../../../support/addon-golden.ts'
import {CLOUD_ADDONS, cloudFacts, type CloudName, renderedIn} from '../../../support/cloud-addons.ts'

const cases = (['aws', 'azure'] as const).flatMap((cloud) =>
  CLOUD_ADDONS[cloud].map((addon) => [addon.id, cloud, addon] as const),
)
const otherThan = (cloud: CloudName): CloudName => (cloud === 'aws' ? 'azure' : 'aws')

test.for(cases)('%s is for %s alone', ([, cloud, addon]) => {
  expect(addon.unavailable?.(cloudFacts(cloud).spec)).toBeUndefined()
  expect(addon.unavailable?.(cloudFacts(otherThan(cloud)).spec)).toContain(`provider ${cloud}`)
  expect(addon.unavailable?.(factsOf().spec)).toContain(`provider ${cloud}`)
})

test.for(cases)('%s on %s holds no Secret and may read none', ([, cloud, addon]) => {
  const objects = renderedIn(cloud, addon)
  expect(objects.map(({kind}) => kind)).not.toContain('Secret')
  const rules = objects.flatMap((object) => (object['rules'] ?? []) as {resources?: string[]}[])
  expect(rules.filter(({resources = []}) => resources.includes('secrets'))).toEqual([])
})

test.for(cases)('leader election of %s on %s touches leases of its own alone', ([, cloud, addon]) => {
  const rules = renderedIn(cloud, addon).flatMap(
    (object) =>
      (object['rules'] ?? []) as {resources?: string[]; resourceNames?: string[]; verbs: string[]}[],
  )
  const unnamed = rules.filter(
    ({resources = [], resourceNames = []}) => resources.includes('leases') && resourceNames.length === 0,
  )
  expect(unnamed.flatMap(({verbs}) => verbs).filter((verb) => verb !== 'create')).toEqual([])
})

test('programs with the network of their node have ports that nothing else has', () => {
  const ports = [...Object.values(NODE_PORTS_OF_ADDONS), ...Object.values(HOST_PORTS)]
  expect(new Set(ports).size).toBe(ports.length)
  // The kernel gives connections the ports up to 60999.
  expect(Math.min(...Object.values(NODE_PORTS_OF_ADDONS))).toBeGreaterThan(60_999)
})

test('the autoscaler is listed with the reason why there is none, and what to do instead', () => {
  for (const facts of [factsOf(), cloudFacts('aws'), cloudFacts('azure')])
    expect(clusterAutoscalerAddon.unavailable?.(facts.spec)).toContain('Change spec.workers instead')
})

test.each(['aws', 'azure'] as const)('the standard profile on %s holds all addons of that cloud', (cloud) => {
  const others = ADDONS.filter(({id}) => id !== certManagerAddon.id)
  const selected = selectAddons(cloudFacts(cloud).spec, [...others, certManagerAddon])
  const ids = selected.map(({addon}) => addon.id)
  expect(ids).toEqual(expect.arrayContaining(['volume-snapshots', ...CLOUD_ADDONS[cloud].map(({id}) => id)]))
  const foreign = CLOUD_ADDONS[otherThan(cloud)].map(({id}) => id)
  expect(ids.filter((id) => foreign.includes(id))).toEqual([])
})

test('a local cluster has none of them, and no snapshots that nothing could take', () => {
  const ids = selectAddons(factsOf().spec, ADDONS).map(({addon}) => addon.id)
  expect(ids.filter((id) => /^(aws|azure)-|^volume-snapshots$/.test(id))).toEqual([])
})
