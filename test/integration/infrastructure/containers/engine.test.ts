import {ensureNodeImage} from '../../../../src/infrastructure/containers/node-image.ts'
import {readLocalMachine} from '../../../../src/infrastructure/providers/local-machine.ts'
import {chooseSubnet} from '../../../../src/infrastructure/providers/local-network.ts'
import {engineContract} from '../../../support/engine-contract.ts'
import {localOptions, needEngine} from '../../../support/with-engine.ts'

const signal = AbortSignal.timeout(600_000)
const {capabilities, routes} = await readLocalMachine()

engineContract('the engine of this machine', {
  make: needEngine,
  capabilities,
  image: (engine) =>
    ensureNodeImage({...localOptions(), engine, os: 'debian-13', report: () => undefined, signal}),
  subnet: async (engine) => {
    const networks = await engine.listNetworks({})
    return chooseSubnet([...routes, ...networks.flatMap(({subnets}) => subnets)])
  },
})
