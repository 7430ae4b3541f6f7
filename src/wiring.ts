import {readFile} from 'node:fs/promises'
import {hostname, tmpdir, userInfo} from 'node:os'
import {join, resolve} from 'node:path'
import {bundleFor, checkKubernetesVersion, type BundleChoice} from './bundle/choice.ts'
import type {CloudOpener} from './infrastructure/clouds/cloud.ts'
import {diskContexts} from './infrastructure/contexts/contexts.ts'
import type {FoundAccount} from './infrastructure/contexts/sync.ts'
import {diskPrices} from './infrastructure/cost/price-cache.ts'
import type {Report} from './base/run-events.ts'
import {ConfigError, StateError} from './base/errors.ts'
import type {HostConnector} from './bootstrap/hosts/host.ts'
import {createKnownHosts} from './bootstrap/hosts/known-hosts.ts'
import type {Redactor} from './base/redaction.ts'
import type {LocalProviderOptions} from './infrastructure/providers/local.ts'
import type {ProviderOptions} from './infrastructure/providers/registry.ts'
import {DEFAULT_KUBERNETES_VERSION, type ClusterSpec} from './spec/cluster-spec.ts'
import {expandHome, machineAtHome} from './spec/home-paths.ts'
import type {SecretRef} from './spec/machine.ts'
import {cacheDir} from './store/cache-dir.ts'
import {diskStore} from './store/disk.ts'
import {readIfThere} from './base/files.ts'
import {acquireLock} from './store/lock.ts'
import {identifyProcess} from './base/process-identity.ts'
import {createRenderer} from './bootstrap/templating/render.ts'
import type {Renderer} from './base/renderer.ts'
import type {PluginCache} from './terraform/plugin-cache.ts'
import type {Terraform} from './terraform/types.ts'
import type {StackAdapters, Tools} from './workflows/session/types.ts'

export {cacheDir}

type Environment = Readonly<Record<string, string | undefined>>

export interface ToolsOptions {
  readonly environment: Environment
  /** The user's home folder. */
  readonly userHome: string
  /** Where clusters are remembered; see `clouderHome`. */
  readonly home: string
  readonly pid: number
  readonly report: Report
  readonly redactor: Redactor
  /** Takes lines for the run log alone. */
  readonly log: (line: string) => void
  readonly signal: AbortSignal
  /** Folder of package.json. */
  readonly packageRoot: string
  /** `2026-11-21T09-14-02-init`. */
  readonly run: string
  /** The bundle to use instead of the one in the cache: its folder, or its `.tar.zst`. */
  readonly bundleDir?: string | undefined
}

/** CLOUDER_HOME, or `~/.clouder`. */
export function clouderHome(environment: Environment, userHome: string): string {
  const said = environment.CLOUDER_HOME ?? ''
  return said === '' ? join(userHome, '.clouder') : resolve(said)
}

/** The real adapters behind every interface, built once per run. What is heavy to load is loaded at its first use. */
export function buildTools(options: ToolsOptions): Tools {
  const now = () => Date.now()
  const where = {home: options.home, now, pid: options.pid, hostname: hostname()}
  const store = diskStore(where)
  const renderer = createRenderer(join(options.packageRoot, 'templates'))
  const choice = bundleChoice(options)
  return {
    store,
    connectorFor: (spec) => connectorFor(spec, store.paths(spec.name).knownHosts, options),
    providerFor: async (kind) => {
      const {providerFor} = await import('./infrastructure/providers/registry.ts')
      return providerFor(kind, {
        local: localProviderOptions(renderer, options),
        cloud: cloudProviderOptions(options),
      })
    },
    bundleFor: (kubernetes, arch, signal) => bundleFor(kubernetes, arch, signal, choice),
    openKube: async (how) => {
      const {openKube} = await import('./kubernetes/client.ts')
      return openKube(how)
    },
    openCloud: openCloudOf(options.environment),
    contexts: diskContexts(where),
    findAccounts: () => findAccounts(options),
    prices: diskPrices({
      dir: cacheDir(options.environment, options.userHome),
      now,
      fetchPrices: async (question) => {
        const {fetchPrices} = await import('./infrastructure/clouds/fetch-prices.ts')
        return fetchPrices(question)
      },
    }),
    checkKubernetesVersion: (version) => checkKubernetesVersion(version, options.signal, choice),
    renderer,
    report: options.report,
    signal: options.signal,
    now,
    run: options.run,
    userKubeconfigs: userKubeconfigs(options),
    hideSecret: (value) => options.redactor.add(value),
    stacks: stackAdapters(options, choice),
  }
}

/** What helm reads of the environment to reach a repository. */
const REACHING = [
  'HTTPS_PROXY',
  'HTTP_PROXY',
  'NO_PROXY',
  'https_proxy',
  'http_proxy',
  'no_proxy',
  'SSL_CERT_FILE',
]

function stackAdapters(options: ToolsOptions, choice: BundleChoice): StackAdapters {
  const {environment, userHome, signal, redactor, pid} = options
  const reaching = REACHING.flatMap((name) => {
    const value = environment[name]
    return value === undefined ? [] : [[name, value] as const]
  })
  return {
    openContext: async (context) => {
      const {openForeignKube} = await import('./kubernetes/foreign.ts')
      const files = userKubeconfigs(options)
      return openForeignKube({files, environment, signal, ...(context === undefined ? {} : {context})})
    },
    program: async (name, kubernetes) => {
      const {toolOf} = await import('./bundle/contents.ts')
      const arch = process.arch === 'arm64' ? 'arm64' : 'amd64'
      const isKnown = await checkKubernetesVersion(kubernetes, signal, choice).then(
        () => true,
        () => false,
      )
      // A cluster that clouder did not make may be of any version; these programs do not depend on it.
      const bundle = await bundleFor(isKnown ? kubernetes : DEFAULT_KUBERNETES_VERSION, arch, signal, choice)
      return toolOf(bundle, name, {cacheDir: cacheDir(environment, userHome), signal})
    },
    helmEnvironment: Object.fromEntries(reaching),
    temporaryDir: tmpdir(),
    holder: `${userInfo().username}@${hostname()}, process ${pid}`,
    redact: (text) => redactor.redact(text),
  }
}

function bundleChoice(options: ToolsOptions): BundleChoice {
  const {bundleDir, packageRoot, environment, userHome, report} = options
  return {
    ...(bundleDir === undefined ? {} : {given: resolve(bundleDir)}),
    cacheDir: cacheDir(environment, userHome),
    packageRoot,
    environment,
    report,
  }
}

/** Without a subscription it is the one that Terraform's or Azure's own variables name. */
export function openCloudOf(environment: Environment): CloudOpener {
  return async (how) => {
    const {openCloud} = await import('./infrastructure/clouds/open.ts')
    const said = environment.ARM_SUBSCRIPTION_ID ?? environment.AZURE_SUBSCRIPTION_ID ?? ''
    const account = how.account ?? (how.kind === 'azure' && said !== '' ? said : undefined)
    return openCloud({...how, account})
  }
}

/** Profiles of the AWS configuration, and the subscriptions that Azure shows. */
async function findAccounts({environment, userHome, signal}: ToolsOptions): Promise<readonly FoundAccount[]> {
  const [{parseProfiles}, {azureSubscriptions}] = await Promise.all([
    import('./infrastructure/contexts/sync.ts'),
    import('./infrastructure/clouds/subscriptions.ts'),
  ])
  const said = environment.AWS_CONFIG_FILE ?? ''
  const profiles = await readIfThere(said === '' ? join(userHome, '.aws', 'config') : said)
  const subscriptions = await azureSubscriptions(signal)
  return [
    ...parseProfiles(profiles ?? ''),
    ...subscriptions.map(({id, title}) => ({title, context: {provider: 'azure' as const, subscription: id}})),
  ]
}

/** The files of KUBECONFIG, each once, as kubectl reads them, or `~/.kube/config`. */
function userKubeconfigs({environment, userHome}: ToolsOptions): readonly string[] {
  const said = (environment.KUBECONFIG ?? '').split(':').filter((path) => path !== '')
  return said.length === 0
    ? [join(userHome, '.kube', 'config')]
    : [...new Set(said.map((path) => resolve(path)))]
}

function connectorFor(spec: ClusterSpec, clusterFile: string, options: ToolsOptions): HostConnector {
  const knownHosts = createKnownHosts({
    clusterFile,
    userFile: join(options.userHome, '.ssh', 'known_hosts'),
    policy: spec.ssh.hostKeys,
    onFirstUse: ({name, address}, fingerprint) => {
      const text = `trusting the host key of ${address} on first use: ${fingerprint}`
      options.report({type: 'note', level: 'info', host: name, text})
    },
  })
  const agentSocket = options.environment.SSH_AUTH_SOCK ?? ''
  const opened = async () => {
    const {sshConnector} = await import('./bootstrap/hosts/ssh.ts')
    return sshConnector({
      knownHosts,
      secrets: (ref) => readSecret(ref, options),
      redactor: options.redactor,
      log: options.log,
      ...(agentSocket === '' ? {} : {agentSocket}),
    })
  }
  let connector: Promise<HostConnector> | undefined
  return {
    connect: async (machine, how) =>
      (await (connector ??= opened())).connect(machineAtHome(machine, options.userHome), how),
  }
}

async function readSecret(ref: SecretRef, {environment, redactor, userHome}: ToolsOptions): Promise<string> {
  const secret = 'env' in ref ? environment[ref.env] : await secretFile(expandHome(ref.file, userHome))
  if (secret === undefined || secret === '') {
    const where = 'env' in ref ? `the environment variable ${ref.env}` : ref.file
    throw new ConfigError('CONFIG_INVALID', `cannot read a secret from ${where}: it is empty`)
  }
  redactor.add(secret)
  return secret
}

async function secretFile(path: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).replace(/\r?\n$/, '')
  } catch (cause) {
    const message = `cannot read a secret from file ${path}`
    throw new ConfigError('CONFIG_UNREADABLE', message, {cause})
  }
}

function localProviderOptions(
  renderer: Renderer,
  {environment, userHome}: ToolsOptions,
): LocalProviderOptions {
  return {
    renderer,
    cacheDir: cacheDir(environment, userHome),
    environment,
    engineFor: async (engine, signal) => {
      const {connectEngine} = await import('./infrastructure/containers/connect.ts')
      return connectEngine({engine, environment, signal})
    },
  }
}

function cloudProviderOptions(options: ToolsOptions): ProviderOptions['cloud'] {
  const {environment, userHome, log} = options
  let program: Promise<Terraform['program']> | undefined
  let cache: Promise<PluginCache | undefined> | undefined
  const sshPublicKey = environment.CLOUDER_SSH_PUBLIC_KEY?.trim() ?? ''
  return {
    userHome,
    temporaryDir: tmpdir(),
    owner: {pid: options.pid, hostname: hostname(), identify: identifyProcess},
    openCloud: openCloudOf(environment),
    ...(sshPublicKey === '' ? {} : {sshPublicKey}),
    terraformIn: async (dir, {report, signal}, variables) => {
      const [{findProgram}, {terraformBinary}] = await Promise.all([
        import('./terraform/program.ts'),
        import('./terraform/binary.ts'),
      ])
      cache ??= pluginCacheOf(options)
      return terraformBinary({
        program: await (program ??= findProgram(environment, signal)),
        dir,
        environment: {...environment, ...variables},
        identify: identifyProcess,
        hostname: hostname(),
        onNote: (text) => report({type: 'note', level: 'info', text}),
        log,
        pluginCache: await cache,
      })
    },
  }
}

/** Providers that Terraform downloads are kept beside bundles; undefined: the user has said otherwise. */
async function pluginCacheOf({environment, userHome, pid}: ToolsOptions): Promise<PluginCache | undefined> {
  const {hasOwnPlugins} = await import('./terraform/plugin-cache.ts')
  if (await hasOwnPlugins(environment, userHome)) return undefined
  const now = () => Date.now()
  const root = cacheDir(environment, userHome)
  const versionsDir = join(root, 'terraform-versions')
  const what = 'the cache of Terraform providers'
  return {
    dir: join(root, 'terraform-plugins'),
    versionsDir,
    now,
    lock: async () => {
      try {
        const owner = {now, pid, hostname: hostname()}
        return await acquireLock({...owner, dir: versionsDir, what, command: 'terraform init'})
      } catch (error) {
        // Without the cache it takes longer, and works.
        if (error instanceof StateError) return undefined
        throw error
      }
    },
  }
}
