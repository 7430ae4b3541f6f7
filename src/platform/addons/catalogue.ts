import {distanceOf} from '../../spec/problems.ts'
import {PlatformError} from '../errors.ts'
import type {Addon} from './addon.ts'
import {awsCloudProviderAddon} from './aws-cloud-provider/addon.ts'
import {awsEbsCsiAddon} from './aws-ebs-csi/addon.ts'
import {awsEfsCsiAddon} from './aws-efs-csi/addon.ts'
import {awsLoadBalancerControllerAddon} from './aws-load-balancer-controller/addon.ts'
import {azureCloudProviderAddon} from './azure-cloud-provider/addon.ts'
import {azureDiskCsiAddon} from './azure-disk-csi/addon.ts'
import {azureFileCsiAddon} from './azure-file-csi/addon.ts'
import {certManagerAddon} from './cert-manager/addon.ts'
import {checkpointAddon} from './checkpoint/addon.ts'
import {clusterAutoscalerAddon} from './cluster-autoscaler/addon.ts'
import {cniAddon} from './cni/addon.ts'
import {gatewayAddon} from './gateway/addon.ts'
import {localPathStorageAddon} from './local-path-storage/addon.ts'
import {metalLbAddon} from './metallb/addon.ts'
import {metricsServerAddon} from './metrics-server/addon.ts'
import {monitoringAddon} from './monitoring/addon.ts'
import {natsAddon} from './nats/addon.ts'
import {networkPoliciesAddon} from './network-policies/addon.ts'
import {postgresqlAddon} from './postgresql/addon.ts'
import {runtimeClassAddon} from './runtime-class/addon.ts'
import {volumeSnapshotsAddon} from './volume-snapshots/addon.ts'

/** Every addon there is. Of several that provide the same capability, the earlier one is preferred. */
export const ADDONS: readonly Addon[] = [
  cniAddon,
  runtimeClassAddon,
  checkpointAddon,
  volumeSnapshotsAddon,
  awsCloudProviderAddon,
  awsEbsCsiAddon,
  awsEfsCsiAddon,
  awsLoadBalancerControllerAddon,
  azureCloudProviderAddon,
  azureDiskCsiAddon,
  azureFileCsiAddon,
  clusterAutoscalerAddon,
  networkPoliciesAddon,
  localPathStorageAddon,
  metricsServerAddon,
  certManagerAddon,
  metalLbAddon,
  gatewayAddon,
  monitoringAddon,
  natsAddon,
  postgresqlAddon,
]

/** Throws PlatformError ADDON_UNKNOWN, with the ids that are written nearly like it. */
export function addonById(id: string, catalogue: readonly Addon[] = ADDONS): Addon {
  const found = catalogue.find((addon) => addon.id === id)
  if (found !== undefined) return found
  const ids = catalogue.map((addon) => addon.id)
  const near = nearIds(id, ids)
  throw new PlatformError('ADDON_UNKNOWN', `no addon ${JSON.stringify(id)} in the catalogue`, {
    suggestions: [near.length > 0 ? `did you mean ${near.join(' or ')}?` : `known addons: ${ids.join(', ')}`],
  })
}

function nearIds(id: string, known: readonly string[]): readonly string[] {
  return known
    .map((other) => ({other, distance: other.startsWith(id) ? 0 : distanceOf(id.toLowerCase(), other)}))
    .filter(({other, distance}) => distance <= Math.max(1, Math.floor(other.length / 3)))
    .toSorted((one, two) => one.distance - two.distance)
    .slice(0, 3)
    .map(({other}) => other)
}
