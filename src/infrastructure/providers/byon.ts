import {ConfigError} from '../../base/errors.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import type {Infrastructure} from '../../spec/machine.ts'
import {byonMachines} from '../../spec/machines.ts'
import {withPort} from './endpoint.ts'
import type {Provider} from './provider.ts'

/** Machines that the user brings: told by the spec, never made, changed or removed. */
export function byonProvider(): Provider {
  return {
    kind: 'byon',
    plan: () => Promise.resolve([]),
    provision: (spec) => infrastructureOf(spec),
    inspect: (spec) => infrastructureOf(spec),
    destroy: () => Promise.resolve([]),
  }
}

// eslint-disable-next-line @typescript-eslint/require-await -- async so that a wrong spec is a rejection, as with every provider
async function infrastructureOf(spec: ClusterSpec): Promise<Infrastructure> {
  const machines = byonMachines(spec)
  const first = machines.find(({role}) => role === 'control-plane')
  const endpoint = spec.api.endpoint ?? first?.privateAddress
  if (endpoint === undefined) {
    throw new ConfigError('CONFIG_INVALID', 'the spec contains no control plane host', {
      problems: [
        {
          path: 'spec.controlPlane.hosts',
          value: spec.controlPlane.hosts,
          problem: 'needs at least one host with provider byon',
        },
      ],
    })
  }
  const internal = withPort(endpoint)
  return {endpoint: {internal, external: internal, certSans: []}, machines}
}
