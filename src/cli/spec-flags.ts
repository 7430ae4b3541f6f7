import {Flags} from '@oclif/core'
import type {ContextStore} from '../infrastructure/contexts/contexts.ts'
import {withContext} from '../infrastructure/contexts/with-context.ts'
import {ConfigError} from '../base/errors.ts'
import {loadSpec, readSpecFile, type SpecOverrides} from '../spec/load.ts'
import type {ClusterSpec} from '../spec/cluster-spec.ts'
import {specFromFolder} from '../spec/home-paths.ts'
import {isClusterName} from '../store/names.ts'
import type {ClusterStore} from '../store/types.ts'
import {listOf} from './flags.ts'

/** The flags that describe a cluster; the same on every command that takes a description. */
export const specFlags = {
  config: Flags.string({
    char: 'f',
    description: 'cluster.yaml, or `-` for standard input; flags override it',
    env: 'CLOUDER_CONFIG',
    helpValue: 'FILE',
    helpGroup: 'CLUSTER',
  }),
  provider: Flags.string({
    description: 'where machines come from',
    env: 'CLOUDER_PROVIDER',
    helpValue: 'local|byon|aws|azure',
    helpGroup: 'CLUSTER',
  }),
  ctx: Flags.string({
    description: 'context with the account and region; default: the current one',
    env: 'CLOUDER_CTX',
    helpValue: 'NAME',
    helpGroup: 'CLUSTER',
  }),
  kubernetes: Flags.string({
    description: 'Kubernetes version',
    env: 'CLOUDER_KUBERNETES',
    helpValue: 'VERSION',
    helpGroup: 'CLUSTER',
  }),
  'control-planes': Flags.integer({
    description: 'number of control planes',
    env: 'CLOUDER_CONTROL_PLANES',
    helpValue: 'N',
    helpGroup: 'CLUSTER',
  }),
  workers: Flags.integer({
    description: 'number of workers, if there is a single worker pool',
    env: 'CLOUDER_WORKERS',
    helpValue: 'N',
    helpGroup: 'CLUSTER',
  }),
  'api-endpoint': Flags.string({
    description:
      'address of the API server that does not depend on one control plane; for several control planes',
    env: 'CLOUDER_API_ENDPOINT',
    helpValue: 'HOST[:PORT]',
    helpGroup: 'CLUSTER',
  }),
  'admin-cidr': Flags.string({
    description: 'networks that may reach the API and SSH, separated by commas',
    env: 'CLOUDER_ADMIN_CIDR',
    helpValue: 'CIDR',
    helpGroup: 'CLUSTER',
    multiple: true,
    multipleNonGreedy: true,
    delimiter: ',',
  }),
  'node-image': Flags.string({
    description: 'operating system of local nodes',
    env: 'CLOUDER_NODE_IMAGE',
    helpValue: 'debian-13|debian-12',
    helpGroup: 'CLUSTER',
  }),
  'pod-cidr': Flags.string({
    description: 'network of pods',
    env: 'CLOUDER_POD_CIDR',
    helpValue: 'CIDR',
    helpGroup: 'CLUSTER',
  }),
  'service-cidr': Flags.string({
    description: 'network of services',
    env: 'CLOUDER_SERVICE_CIDR',
    helpValue: 'CIDR',
    helpGroup: 'CLUSTER',
  }),
  cni: Flags.string({
    description: 'pod network',
    env: 'CLOUDER_CNI',
    helpValue: 'flannel|none',
    helpGroup: 'CLUSTER',
  }),
  addons: Flags.string({
    description: 'profile of addons to install',
    env: 'CLOUDER_ADDONS',
    helpValue: 'minimal|standard|full',
    helpGroup: 'CLUSTER',
  }),
  with: Flags.string({
    description: 'addons to install besides, by id, separated by commas',
    env: 'CLOUDER_WITH',
    helpValue: 'ID',
    helpGroup: 'CLUSTER',
    multiple: true,
    multipleNonGreedy: true,
    delimiter: ',',
  }),
  without: Flags.string({
    description: 'addons to leave out, by id, separated by commas',
    env: 'CLOUDER_WITHOUT',
    helpValue: 'ID',
    helpGroup: 'CLUSTER',
    multiple: true,
    multipleNonGreedy: true,
    delimiter: ',',
  }),
}

/** What oclif's parser makes of `specFlags`. */
export interface SpecFlagValues {
  readonly config?: string | undefined
  readonly provider?: string | undefined
  readonly ctx?: string | undefined
  readonly kubernetes?: string | undefined
  readonly 'control-planes'?: number | undefined
  readonly workers?: number | undefined
  readonly 'api-endpoint'?: string | undefined
  readonly 'admin-cidr'?: readonly string[] | string | undefined
  readonly 'node-image'?: string | undefined
  readonly 'pod-cidr'?: string | undefined
  readonly 'service-cidr'?: string | undefined
  readonly cni?: string | undefined
  readonly addons?: string | undefined
  readonly with?: readonly string[] | string | undefined
  readonly without?: readonly string[] | string | undefined
}

export function specOverrides(flags: SpecFlagValues): SpecOverrides {
  const listed = (value: readonly string[] | string | undefined): readonly string[] | undefined => {
    const list = listOf(value)
    return list.length === 0 ? undefined : list
  }
  return {
    provider: flags.provider,
    // `v1.35.4` is what Kubernetes itself prints.
    kubernetes: flags.kubernetes?.replace(/^v(?=\d)/, ''),
    controlPlanes: flags['control-planes'],
    workers: flags.workers,
    apiEndpoint: flags['api-endpoint'],
    adminCidrs: listed(flags['admin-cidr']),
    nodeImage: flags['node-image'],
    podCidr: flags['pod-cidr'],
    serviceCidr: flags['service-cidr'],
    cni: flags.cni,
    addons: flags.addons,
    withAddons: listed(flags.with),
    withoutAddons: listed(flags.without),
  }
}

/**
 * The spec of a command: the file if one is named, else what is remembered of the cluster, else defaults; flags override.
 * Account and region are those of the context where nothing else says them.
 * Without a name it is the file's, then the default cluster. Relative paths in a file begin in the working folder. Throws ConfigError, StateError.
 */
export async function specFromFlags(
  name: string | undefined,
  flags: SpecFlagValues,
  store: Pick<ClusterStore, 'load' | 'defaultCluster'>,
  contexts: Pick<ContextStore, 'find'>,
): Promise<ClusterSpec> {
  const spec = await specWithoutContext(name, flags, store)
  const {kind} = spec.provider
  if (flags.ctx === undefined && kind !== 'aws' && kind !== 'azure') return spec
  const found = await contexts.find(flags.ctx)
  if (flags.ctx !== undefined && found !== undefined && found.context.provider !== kind) {
    const text = `context ${found.name} is for ${found.context.provider}, but the provider is ${kind}`
    throw new ConfigError('FLAG_INVALID', text, {
      suggestions: [`--provider ${found.context.provider}`, 'list the contexts: clouder ctx ls'],
    })
  }
  return withContext(spec, found?.context)
}

async function specWithoutContext(
  name: string | undefined,
  flags: SpecFlagValues,
  store: Pick<ClusterStore, 'load' | 'defaultCluster'>,
): Promise<ClusterSpec> {
  const overrides = specOverrides(flags)
  if (flags.config !== undefined) {
    const text = await readSpecFile(flags.config, process.stdin)
    const file = flags.config === '-' ? 'standard input' : flags.config
    return specFromFolder(loadSpec({text, file, name, overrides}), process.cwd())
  }
  const known = name ?? (await store.defaultCluster())
  if (known === undefined) {
    throw new ConfigError('FLAG_MISSING', 'no cluster given, and no default cluster set', {
      suggestions: [
        'name one: clouder kubeadm init demo',
        'or describe one: clouder kubeadm init --config cluster.yaml',
      ],
    })
  }
  // A name that is no DNS label is told with all other problems of the spec.
  const record = isClusterName(known) ? await store.load(known) : undefined
  return record === undefined
    ? loadSpec({name: known, overrides})
    : loadSpec({
        text: JSON.stringify(record.document),
        file: 'the recorded specification',
        name: known,
        overrides,
      })
}
