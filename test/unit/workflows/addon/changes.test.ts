import {expect, test} from 'vitest'
import {selectAddons} from '../../../../src/platform/addons/selection.ts'
import type {Revision} from '../../../../src/platform/release/types.ts'
import {
  specWithAddons,
  specWithoutAddon,
  wantedAddons,
  withNeeds,
} from '../../../../src/workflows/addon/changes.ts'
import {specWith} from '../../spec/documents.ts'

const minimal = specWith({addons: {profile: 'minimal'}})
const idsOf = (spec: typeof minimal): readonly string[] => selectAddons(spec).map(({addon}) => addon.id)

const revision = (name: string, parameters: unknown = {}): Revision => ({
  ...{owner: 'addon', name, revision: 1, version: '1', parameters},
  ...{appliedAt: '2026-01-01T00:00:00Z', state: 'deployed', objects: []},
})

test('an addon that is removed is excluded where the profile has it, and comes back when it is installed', () => {
  const without = specWithoutAddon(minimal, 'cni')
  expect(without.addons).toMatchObject({install: [], without: ['cni']})
  expect(idsOf(without)).toEqual(['runtime-class', 'checkpoint'])
  const again = specWithAddons(without, ['cni'], {})
  expect(again.addons).toMatchObject({install: [], without: []})
  expect(idsOf(again)).toEqual(idsOf(minimal))
})

test('an addon that no profile has is named, with its parameters, and forgotten when it is removed', () => {
  const bare = specWith({addons: {profile: 'minimal', without: ['cni', 'checkpoint', 'runtime-class']}})
  const named = specWithAddons(bare, ['runtime-class'], {})
  expect(idsOf(named)).toEqual(['runtime-class'])
  const set = {...specWith({addons: {install: ['x'], parameters: {x: {a: 1, b: 2}}}})}
  expect(() => specWithAddons(set, ['x'], {b: 3})).toThrow('no addon "x"')
})

test('what an addon needs is changed with it, and nothing else', () => {
  expect(withNeeds(['checkpoint'], selectAddons(minimal))).toEqual(['checkpoint', 'runtime-class'])
  expect(withNeeds(['cni'], selectAddons(minimal))).toEqual(['cni'])
})

test('an installed addon that is not selected keeps its parameters; one of another version of clouder is left alone', () => {
  const spec = specWith({network: {cni: 'none'}, addons: {profile: 'minimal'}})
  const wanted = wantedAddons(spec, [
    revision('cni', {mtu: 1}),
    revision('checkpoint'),
    revision('unheard-of'),
  ])
  expect(wanted.map(({addon, parameters}) => [addon.id, parameters])).toEqual([
    ['runtime-class', {}],
    ['checkpoint', {}],
    ['cni', {mtu: 1}],
  ])
})
