import {engineContract} from '../../../support/engine-contract.ts'
import {fakeEngine} from '../../../support/fake-engine.ts'

engineContract('the fake engine', {
  make: () => {
    const engine = fakeEngine()
    engine.addImage('node:1', {})
    return Promise.resolve(engine)
  },
  image: () => Promise.resolve('node:1'),
  capabilities: 'all',
  subnet: () => Promise.resolve('172.30.0.0/24'),
})
