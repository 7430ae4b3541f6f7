import type {ContainerEngine} from '../../src/infrastructure/containers/container-engine.ts'
import {readLocalMachine} from '../../src/infrastructure/providers/local-machine.ts'
import {overlaps, parseCidr} from '../../src/base/cidr.ts'

/** Addresses for a VPC that nothing on this machine has; throws when there are none. */
export async function freeVpc(engine: ContainerEngine): Promise<string> {
  const {routes} = await readLocalMachine()
  const networks = await engine.listNetworks({})
  const taken = [...routes, ...networks.flatMap(({subnets}) => subnets)].flatMap(
    (text) => parseCidr(text) ?? [],
  )
  for (let second = 80; second < 120; second += 1) {
    const text = `10.${second}.0.0/20`
    const cidr = parseCidr(text)
    if (cidr !== undefined && !taken.some((other) => overlaps(other, cidr))) return text
  }
  throw new Error('no network of 10.80.0.0 to 10.119.0.0 is free on this machine')
}
