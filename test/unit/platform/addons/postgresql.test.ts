import {expect, test} from 'vitest'
import {postgresqlAddon} from '../../../../src/platform/addons/postgresql/addon.ts'
import {expectGolden, factsOf, faultsOf, privilegesOf, renderedBy} from '../../../support/addon-golden.ts'

const objects = renderedBy(postgresqlAddon)

test('the objects are as their golden file says', () => {
  expectGolden('postgresql', objects)
  expect(faultsOf(postgresqlAddon, objects)).toEqual([])
  expect(privilegesOf(objects)).toEqual([])
})

test('the password is another one each time, and only in a Secret that is created once', () => {
  const passwordOf = () => {
    const [secret] = postgresqlAddon.createdOnce({}, factsOf())
    return /"password":"([0-9a-f]{48})"/.exec(JSON.stringify(secret))?.[1]
  }
  expect(passwordOf()).toBeDefined()
  expect(passwordOf()).not.toBe(passwordOf())
  expect(objects.some(({kind}) => kind === 'Secret')).toBe(false)
})

test.for(['10', '10G', '0Gi', '-1Gi', '1.5Gi'])('size %j is refused', (size) => {
  expect(postgresqlAddon.schema(factsOf().spec).safeParse({size}).success).toBe(false)
})
