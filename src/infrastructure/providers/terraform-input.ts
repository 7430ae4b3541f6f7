import {readFile} from 'node:fs/promises'
import {join} from 'node:path'
import type {StackInput} from '../../../stacks/input.ts'
import type {WantedInfrastructure} from '../clouds/cloud.ts'
import {ConfigError, StateError} from '../../base/errors.ts'
import {cloudInitOf} from '../../spec/cloud-init.ts'
import {cloudMachine, cloudOf} from '../../spec/cloud-machines.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import {expandHome} from '../../spec/home-paths.ts'
import type {ProviderContext} from './provider.ts'
import {ensureSshKey, readPublicKey} from './ssh-key.ts'

export interface KeyOptions {
  /** Public key to use where the private one is elsewhere. */
  readonly sshPublicKey?: string | undefined
  readonly userHome: string
  /** Folder for a key that nobody will use: of a plan for a cluster that has none yet. */
  readonly scratchDir: string
}

/** Private key file that SSH uses: the spec's, or the one made for the cluster. */
export function keyPathOf({ssh}: ClusterSpec, {paths}: Pick<ProviderContext, 'paths'>): string {
  return ssh.keyPath ?? paths.sshKey
}

/**
 * The public key that machines let in, made when there is none. Throws StateError CLUSTER_MISMATCH when machines exist
 * and their key is elsewhere: another would lock everybody out.
 */
export async function publicKeyOf(
  spec: ClusterSpec,
  context: ProviderContext,
  {sshPublicKey, userHome, scratchDir}: KeyOptions,
  hasMachines: boolean,
): Promise<string> {
  if (sshPublicKey !== undefined) return sshPublicKey
  if (spec.ssh.keyPath !== undefined) return publicHalf(expandHome(spec.ssh.keyPath, userHome))
  const known = await readPublicKey(context.paths.sshKey)
  if (known !== undefined) return known
  if (hasMachines) throw keyElsewhere(spec, context.paths.sshKey)
  return ensureSshKey(context.readOnly === true ? join(scratchDir, 'id_ed25519') : context.paths.sshKey)
}

async function publicHalf(keyPath: string): Promise<string> {
  const own = await readPublicKey(keyPath)
  if (own !== undefined) return own
  try {
    const [type = '', key = ''] = (await readFile(`${keyPath}.pub`, 'utf8')).trim().split(/\s+/)
    return `${type} ${key}`
  } catch (cause) {
    throw new ConfigError(
      'CONFIG_UNREADABLE',
      `the public key of spec.ssh.keyPath, ${keyPath}, was not found`,
      {
        cause,
        suggestions: [`write it next to the private key: ssh-keygen -y -f ${keyPath} > ${keyPath}.pub`],
      },
    )
  }
}

function keyElsewhere({name}: ClusterSpec, path: string): StateError {
  return new StateError('CLUSTER_MISMATCH', `the SSH key for the machines of ${name} not found: ${path}`, {
    suggestions: [
      `copy it from the machine where the cluster was planned or created: scp HOST:${path} ${path}`,
      'or set spec.ssh.keyPath; if the public key is enough, CLOUDER_SSH_PUBLIC_KEY',
    ],
  })
}

export function stackInput(
  spec: ClusterSpec,
  sshPublicKey: string,
  imageIds: StackInput['imageIds'],
): StackInput {
  return {spec, sshPublicKey, cloudInit: cloudInitOf(sshPublicKey), imageIds}
}

/** What the cloud is asked about before anything is made. */
export function wantedOf(spec: ClusterSpec, imageIds: StackInput['imageIds']): WantedInfrastructure {
  const {aws, azure, kind} = spec.provider
  const zones = kind === 'aws' ? aws.zones.map((zone) => `${aws.region ?? ''}${zone}`) : [...azure.zones]
  const order = (pool: string | undefined, count: number) => {
    const {size, spot} = cloudMachine(spec, pool)
    return {size, count, spot, zones}
  }
  const networkId = kind === 'aws' ? aws.network.existing?.vpcId : azure.network.existing?.vnetId
  const images = [cloudOf(spec)?.imageId, ...Object.values(imageIds)].filter((id) => id !== undefined)
  return {
    machines: [
      order(undefined, spec.controlPlane.count ?? 1),
      ...spec.workers.map(({name, count}) => order(name, count ?? 1)),
    ],
    imageIds: [...new Set(images)],
    cidrs: [spec.network.podCidr, spec.network.serviceCidr],
    ...(networkId === undefined ? {} : {networkId}),
  }
}
