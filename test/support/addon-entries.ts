import type {Addon} from '../../src/platform/addons/addon.ts'
import {certManagerAddon} from '../../src/platform/addons/cert-manager/addon.ts'
import {gatewayAddon} from '../../src/platform/addons/gateway/addon.ts'
import {localPathStorageAddon} from '../../src/platform/addons/local-path-storage/addon.ts'
import {metalLbAddon} from '../../src/platform/addons/metallb/addon.ts'
import {metricsServerAddon} from '../../src/platform/addons/metrics-server/addon.ts'
import {monitoringAddon} from '../../src/platform/addons/monitoring/addon.ts'
import {natsAddon} from '../../src/platform/addons/nats/addon.ts'
import {networkPoliciesAddon} from '../../src/platform/addons/network-policies/addon.ts'
import {postgresqlAddon} from '../../src/platform/addons/postgresql/addon.ts'

export interface Entry {
  readonly addon: Addon
  readonly parameters: unknown
}

/** Entries that run on machines of any kind, each with the least that it has to be given. */
export const ENTRIES: readonly Entry[] = [
  {addon: networkPoliciesAddon, parameters: {}},
  {addon: localPathStorageAddon, parameters: {}},
  {addon: metricsServerAddon, parameters: {}},
  {addon: certManagerAddon, parameters: {}},
  {addon: metalLbAddon, parameters: {addresses: ['10.0.0.240/28']}},
  {addon: gatewayAddon, parameters: {}},
  {addon: monitoringAddon, parameters: {}},
  {addon: natsAddon, parameters: {replicas: 3}},
  {addon: postgresqlAddon, parameters: {}},
]
