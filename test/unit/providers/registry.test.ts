import {expect, test} from 'vitest'
import {providerFor} from '../../../src/providers/registry.ts'
import {fakeEngine} from '../../support/fake-engine.ts'

const local = {
  engineFor: () => Promise.resolve(fakeEngine()),
  renderer: {render: () => ''},
  cacheDir: '/nowhere',
  environment: {},
}

test.each(['local', 'byon'] as const)('the provider %s is of its kind', (kind) => {
  expect(providerFor(kind, {local}).kind).toBe(kind)
})

test.each(['aws', 'azure'] as const)('the provider %s is told to be absent, by name', (kind) => {
  expect(() => providerFor(kind, {local})).toThrow(`provider ${kind} cannot make machines yet`)
})
