import fc from 'fast-check'
import {expect, test} from 'vitest'
import {z} from 'zod'
import {catalogueFor} from '../../../../src/bundle/catalogue.ts'
import {type Addon, type AddonDefinition, defineAddon} from '../../../../src/platform/addons/addon.ts'
import {addonById, ADDONS} from '../../../../src/platform/addons/catalogue.ts'
import {groupsOf, providersOf, selectAddons} from '../../../../src/platform/addons/selection.ts'
import {PlatformError} from '../../../../src/platform/errors.ts'
import {DEFAULT_KUBERNETES_VERSION} from '../../../../src/spec/cluster-spec.ts'
import {specWith} from '../../spec/documents.ts'

const addon = (id: string, rest: Partial<AddonDefinition<unknown>> = {}): Addon =>
  defineAddon<unknown>({
    id,
    title: id,
    version: '1',
    description: id,
    stage: 'platform',
    needs: [],
    provides: [],
    images: [],
    parameters: () => z.strictObject({}),
    objects: () => [],
    ...rest,
  })

const idsOf = (spec: object, catalogue: readonly Addon[]): readonly string[] =>
  selectAddons(specWith(spec), catalogue).map((selected) => selected.addon.id)

function errorOf(run: () => unknown): PlatformError {
  try {
    run()
  } catch (error) {
    if (error instanceof PlatformError) return error
    throw error
  }
  throw new Error('nothing was thrown')
}

test('a profile holds those before it, and lists change it', () => {
  const catalogue = [
    addon('full', {profile: 'full'}),
    addon('standard', {profile: 'standard'}),
    addon('minimal', {profile: 'minimal'}),
    addon('extra'),
  ]
  expect(idsOf({}, catalogue)).toEqual(['standard', 'minimal'])
  expect(idsOf({addons: {profile: 'minimal'}}, catalogue)).toEqual(['minimal'])
  expect(idsOf({addons: {profile: 'full'}}, catalogue)).toEqual(['full', 'standard', 'minimal'])
  expect(idsOf({addons: {install: ['extra'], without: ['standard']}}, catalogue)).toEqual([
    'minimal',
    'extra',
  ])
})

test('what an addon needs comes with it, and before it', () => {
  const catalogue = [
    addon('app', {needs: ['database', 'object-store']}),
    addon('database'),
    addon('seaweed', {provides: ['object-store']}),
    addon('unwanted'),
  ]
  expect(idsOf({addons: {install: ['app']}}, catalogue)).toEqual(['database', 'seaweed', 'app'])
})

test('of several that provide what is needed, the one that is chosen counts, then the one of a profile', () => {
  const app = addon('app', {needs: ['object-store']})
  const one = addon('one', {provides: ['object-store']})
  const other = addon('other', {provides: ['object-store']})
  expect(idsOf({addons: {install: ['app', 'other']}}, [app, one, other])).toEqual(['other', 'app'])
  const full = addon('full', {provides: ['object-store'], profile: 'full'})
  expect(idsOf({addons: {install: ['app']}}, [app, one, full])).toEqual(['full', 'app'])
  const error = errorOf(() => selectAddons(specWith({addons: {install: ['app']}}), [app, one, other]))
  expect(error.code).toBe('DEPENDENCY_MISSING')
  expect(error.suggestions).toContain('--with one')
})

test('an addon that cannot be installed here is refused when it is named, and left out of a profile', () => {
  const unavailable = () => 'aws has its own'
  const catalogue = [
    addon('metallb', {profile: 'standard', unavailable, provides: ['load-balancer']}),
    addon('gateway', {profile: 'standard', needs: ['load-balancer']}),
  ]
  expect(idsOf({}, catalogue)).toEqual([])
  expect(errorOf(() => idsOf({addons: {install: ['metallb']}}, catalogue))).toMatchObject({
    code: 'ADDON_UNAVAILABLE',
    message: 'addon metallb cannot be installed: aws has its own',
  })
  expect(errorOf(() => idsOf({addons: {install: ['gateway']}}, catalogue))).toMatchObject({
    code: 'DEPENDENCY_MISSING',
    message: 'addon gateway needs load-balancer: it cannot be installed here (metallb: aws has its own)',
  })
})

test('an addon of the profile that needs an excluded one is no silence', () => {
  const catalogue = [
    addon('storage', {profile: 'standard', provides: ['default-storage-class']}),
    addon('database', {profile: 'standard', needs: ['default-storage-class']}),
  ]
  expect(errorOf(() => idsOf({addons: {without: ['storage']}}, catalogue))).toMatchObject({
    code: 'DEPENDENCY_MISSING',
    message: 'addon database needs default-storage-class: storage is excluded',
  })
  expect(idsOf({addons: {without: ['storage', 'database']}}, catalogue)).toEqual([])
})

test('whoever brings the pod network fulfils that need', () => {
  const catalogue = [addon('metrics', {profile: 'standard', needs: ['pod-network']})]
  expect(idsOf({network: {cni: 'none'}}, catalogue)).toEqual(['metrics'])
  expect(idsOf({}, catalogue)).toEqual([])
})

test('spec.network.policies chooses the addon in every profile, and excludes it', () => {
  const catalogue = [addon('network-policies', {profile: 'standard'})]
  expect(idsOf({}, catalogue)).toEqual(['network-policies'])
  expect(idsOf({network: {policies: false}}, catalogue)).toEqual([])
  expect(idsOf({addons: {profile: 'minimal'}}, catalogue)).toEqual([])
  expect(idsOf({network: {policies: true}, addons: {profile: 'minimal'}}, catalogue)).toEqual([
    'network-policies',
  ])
})

test('addons that need each other are refused with the way around', () => {
  const catalogue = [
    addon('one', {needs: ['two']}),
    addon('two', {needs: ['three']}),
    addon('three', {needs: ['two']}),
  ]
  expect(errorOf(() => idsOf({addons: {install: ['one']}}, catalogue))).toMatchObject({
    code: 'DEPENDENCY_CYCLE',
    message: 'addons need each other: two -> three -> two',
  })
})

test('an unknown id is refused wherever it stands, with those that are like it', () => {
  const known = [addon('cert-manager'), addon('metallb')]
  for (const addons of [
    {install: ['certmanager']},
    {without: ['certmanager']},
    {parameters: {certmanager: {}}},
  ])
    expect(errorOf(() => idsOf({addons}, known))).toMatchObject({
      code: 'ADDON_UNKNOWN',
      suggestions: ['did you mean cert-manager?'],
    })
  expect(errorOf(() => addonById('x', known)).suggestions).toEqual(['known addons: cert-manager, metallb'])
})

test('all parameters of all addons are judged at once', () => {
  const catalogue = [
    addon('metallb', {parameters: () => z.strictObject({addresses: z.array(z.string()).min(1)})}),
    addon('nats', {
      parameters: () => z.strictObject({replicas: z.int().default(3), size: z.string().default('1Gi')}),
    }),
  ]
  const install = ['metallb', 'nats']
  const given = {install, parameters: {metallb: {addresses: []}, nats: {replicas: '1', sise: 1}}}
  const {code, message} = errorOf(() => idsOf({addons: given}, catalogue))
  expect(code).toBe('ADDON_PARAMETERS_INVALID')
  expect(message).toContain('spec.addons.parameters.metallb.addresses: is empty')
  expect(message).toContain('spec.addons.parameters.nats.replicas: "1" is not a number: leave the quotes out')
  expect(message).toContain('spec.addons.parameters.nats.sise: is not a known key')
  const right = {install, parameters: {metallb: {addresses: ['192.0.2.1/32']}}}
  expect(selectAddons(specWith({addons: right}), catalogue).map(({parameters}) => parameters)).toEqual([
    {addresses: ['192.0.2.1/32']},
    {replicas: 3, size: '1Gi'},
  ])
})

test('of a random graph each comes after what it needs, in the first group that it can be in', () => {
  const graph = fc.integer({min: 1, max: 25}).chain((count) =>
    fc.tuple(
      fc.array(fc.array(fc.nat({max: count - 1}), {maxLength: 4}), {minLength: count, maxLength: count}),
      fc.uniqueArray(fc.nat({max: count - 1}), {minLength: 1}),
      fc.shuffledSubarray(
        Array.from({length: count}, (_, index) => index),
        {minLength: count},
      ),
    ),
  )
  fc.assert(
    fc.property(graph, ([needs, wanted, order]) => {
      // Only what has a smaller number is needed, so that there is no cycle; the catalogue is in any order.
      const all = needs.map((needed, index) =>
        addon(`a${index}`, {
          needs: needed.filter((other) => other < index).map((other) => `a${other}`),
        }),
      )
      const catalogue = order.flatMap((index) => all[index] ?? [])
      const selected = selectAddons(
        specWith({addons: {install: wanted.map((index) => `a${index}`)}}),
        catalogue,
      )
      const ids = selected.map((item) => item.addon.id)
      expect(new Set(ids).size).toBe(ids.length)
      for (const index of wanted) expect(ids).toContain(`a${index}`)
      for (const [place, {addon: one}] of selected.entries())
        for (const need of one.needs) expect(ids.slice(0, place)).toContain(need)
      const groups = groupsOf(selected)
      expect(groups.flat().length).toBe(selected.length)
      for (const [depth, group] of groups.entries())
        for (const {addon: one} of group) {
          const depths = providersOf(
            one,
            selected.map((item) => item.addon),
          ).map(({id}) => groups.findIndex((other) => other.some((item) => item.addon.id === id)))
          expect(depth).toBe(1 + Math.max(-1, ...depths))
        }
    }),
  )
})

test('the profile minimal is what makes nodes Ready and pods start, and checkpoints', () => {
  const minimal = selectAddons(specWith({addons: {profile: 'minimal'}}))
  expect(minimal.map((selected) => selected.addon.id)).toEqual(['cni', 'runtime-class', 'checkpoint'])
  for (const selected of minimal) expect(selected.addon.stage).toBe('bootstrap')
  const bare = specWith({network: {cni: 'none'}, checkpoint: {enabled: false}, addons: {profile: 'minimal'}})
  expect(selectAddons(bare)).toEqual([])
})

test('ids are unique, and the bundle has every image in the version that an addon states', () => {
  const ids = ADDONS.map(({id}) => id)
  expect(new Set(ids).size).toBe(ids.length)
  const {images} = catalogueFor(DEFAULT_KUBERNETES_VERSION)
  for (const {id, version, images: names} of ADDONS) {
    const found = names.map((name) => images.find((image) => image.name === name))
    expect(found, `images of ${id}`).not.toContain(undefined)
    if (found.length > 0)
      expect(
        found.map((image) => image?.version),
        id,
      ).toContain(version)
  }
})
