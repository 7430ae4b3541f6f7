import {expect, test} from 'vitest'
import {providerFor} from '../../../../src/infrastructure/providers/registry.ts'
import {fakeEngine} from '../../../support/fake-engine.ts'

const local = {
  engineFor: () => Promise.resolve(fakeEngine()),
  renderer: {render: () => ''},
  cacheDir: '/nowhere',
  environment: {},
}

const never = () => Promise.reject(new Error('nothing is asked for yet'))
const owner = {pid: 1, hostname: 'laptop', identify: never}
const cloud = {terraformIn: never, openCloud: never, temporaryDir: '/nowhere', owner, userHome: '/nowhere'}

test.each(['local', 'byon', 'aws', 'azure'] as const)('the provider %s is of its kind', (kind) => {
  expect(providerFor(kind, {local, cloud}).kind).toBe(kind)
})
