import {expect, test} from 'vitest'
import {mayUse} from '../../../src/checkpoint/store-use.ts'
import {NAMESPACES, STORE_USE_CASES} from '../../support/store-use-cases.ts'

test.for(STORE_USE_CASES)('store $store with $allowed is for $may', ({store, allowed, may}) => {
  const spec = {node: {}, ...(allowed === undefined ? {} : {allowedNamespaces: allowed})}
  const found = Object.entries(NAMESPACES)
    .filter(([name, labels]) => mayUse({metadata: {name: store}, spec}, {name, labels}))
    .map(([name]) => name)
  expect(found).toEqual(may)
})
