import {spawn} from 'node:child_process'
import {z} from 'zod'
import {KubernetesError} from './errors.ts'
import {systemCode} from '../base/system-errors.ts'
import {createRedactor} from '../base/redaction.ts'
import {isTimeUp} from '../base/waiting.ts'
import type {ExecPlugin, ForeignCluster} from './foreign-kubeconfig.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** Somebody may have to confirm a login in a browser meanwhile. */
const PLUGIN_TIMEOUT_MS = 60_000
const MOST_OUTPUT = 1 << 20
const TOLD_LINES = 10
const API_VERSIONS: readonly string[] = [
  'client.authentication.k8s.io/v1',
  'client.authentication.k8s.io/v1beta1',
]
/** The extension of a cluster that is handed to plugins. */
const CLUSTER_CONFIG = 'client.authentication.k8s.io/exec'

const credentialSchema = z.object({
  kind: z.literal('ExecCredential'),
  apiVersion: z.string(),
  status: z
    .object({
      token: z.string().min(1).optional(),
      clientCertificateData: z.string().min(1).optional(),
      clientKeyData: z.string().min(1).optional(),
      expirationTimestamp: z.iso.datetime({offset: true}).optional(),
    })
    .refine(
      ({clientCertificateData: cert, clientKeyData: key}) => (cert === undefined) === (key === undefined),
      'a certificate and its key belong together',
    )
    .refine(
      ({token, clientCertificateData: cert}) => token !== undefined || cert !== undefined,
      'neither a token nor a certificate',
    ),
})

/** What a plugin gives: https://kubernetes.io/docs/reference/config-api/client-authentication.v1/ */
export type ExecCredential = z.output<typeof credentialSchema>['status']

export interface PluginOptions {
  readonly cluster: ForeignCluster
  /** Of the plugin, which its own variables are added to. */
  readonly environment: Environment
  readonly signal: AbortSignal
  /** Default: a minute. */
  readonly timeoutMs?: number
}

/** The credential of a plugin, kept until it expires or is forgotten. Throws KubernetesError API_LOGIN_FAILED. */
export class CredentialPlugin {
  readonly #plugin: ExecPlugin
  readonly #options: PluginOptions
  #kept: ExecCredential | undefined

  constructor(plugin: ExecPlugin, options: PluginOptions) {
    this.#plugin = plugin
    this.#options = options
  }

  async credential(): Promise<ExecCredential> {
    const expires = this.#kept?.expirationTimestamp
    if (this.#kept !== undefined && (expires === undefined || Date.parse(expires) > Date.now()))
      return this.#kept
    this.#kept = await runPlugin(this.#plugin, this.#options)
    return this.#kept
  }

  /** The server does not accept what was given last. */
  forget(): void {
    this.#kept = undefined
  }
}

async function runPlugin(plugin: ExecPlugin, options: PluginOptions): Promise<ExecCredential> {
  const {apiVersion, interactiveMode} = plugin
  if (!API_VERSIONS.includes(apiVersion))
    throw failed(plugin, `has apiVersion ${apiVersion}, expected ${API_VERSIONS.join(' or ')}`)
  if (interactiveMode === 'Always') throw failed(plugin, 'needs a terminal (interactiveMode: Always)')
  const printed = await outputOf(plugin, options)
  const read = credentialSchema.safeParse(jsonOf(printed))
  // What it printed is not told: it may be half a credential.
  if (!read.success)
    throw failed(
      plugin,
      `printed no ExecCredential: ${read.error.issues.map(({message}) => message).join('; ')}`,
    )
  if (read.data.apiVersion !== apiVersion)
    throw failed(plugin, `printed an ExecCredential of ${read.data.apiVersion}, expected ${apiVersion}`)
  return read.data.status
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

async function outputOf(plugin: ExecPlugin, options: PluginOptions): Promise<string> {
  const timeoutMs = options.timeoutMs ?? PLUGIN_TIMEOUT_MS
  const limit = AbortSignal.timeout(timeoutMs)
  const signal = AbortSignal.any([options.signal, limit])
  signal.throwIfAborted()
  const own = (plugin.env ?? []).map(({name, value}) => [name, value] as const)
  const child = spawn(plugin.command, plugin.args ?? [], {
    env: {
      ...options.environment,
      ...Object.fromEntries(own),
      KUBERNETES_EXEC_INFO: JSON.stringify(infoFor(plugin, options.cluster)),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own: plugins start others, which end with them.
    detached: true,
  })
  const endGroup = (): void => {
    if (child.pid === undefined) return
    try {
      process.kill(-child.pid, 'SIGKILL')
    } catch (error) {
      if (systemCode(error) !== 'ESRCH') throw error
    }
  }
  signal.addEventListener('abort', endGroup, {once: true})
  const [output, words] = [collected(child.stdout), collected(child.stderr)]
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', resolve)
    })
    options.signal.throwIfAborted()
    const said = toldOf(words(), plugin, options.environment)
    if (isTimeUp(signal)) throw failed(plugin, `did not finish within ${timeoutMs / 1000} s${said}`)
    if (code !== 0)
      throw failed(plugin, `${code === null ? 'was killed' : `exited with code ${code}`}${said}`)
    return output()
  } catch (error) {
    options.signal.throwIfAborted()
    if (error instanceof KubernetesError) throw error
    const code = systemCode(error)
    throw failed(
      plugin,
      code === 'ENOENT' ? 'is not installed' : `could not be started: ${code ?? 'unknown'}`,
    )
  } finally {
    signal.removeEventListener('abort', endGroup)
  }
}

function collected(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = []
  let size = 0
  stream.on('data', (chunk: Buffer) => {
    if (size < MOST_OUTPUT) chunks.push(chunk)
    size += chunk.length
  })
  return () => Buffer.concat(chunks).toString('utf8')
}

function infoFor({apiVersion, provideClusterInfo}: ExecPlugin, cluster: ForeignCluster): object {
  const config = cluster.extensions?.find(({name}) => name === CLUSTER_CONFIG)?.extension
  const info = {
    server: cluster.server,
    'tls-server-name': cluster['tls-server-name'],
    'insecure-skip-tls-verify': cluster['insecure-skip-tls-verify'] || undefined,
    'certificate-authority-data': cluster['certificate-authority-data'],
    'proxy-url': cluster['proxy-url'],
    config,
  }
  return {
    kind: 'ExecCredential',
    apiVersion,
    spec: {interactive: false, ...(provideClusterInfo ? {cluster: info} : {})},
  }
}

/** The last lines of standard error. */
function toldOf(text: string, plugin: ExecPlugin, environment: Environment): string {
  const lines = text
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => line !== '')
  if (lines.length === 0) return ''
  return `: ${withoutSecrets(lines.slice(-TOLD_LINES).join('\n'), plugin, environment)}`
}

const SECRET_NAME = /token|secret|password|passwd|credential|private|api_?key|access_?key|session/i
const SECRET_SHAPES: readonly RegExp[] = [
  /-----BEGIN [A-Z ]+-----[\s\S]*?(?:-----END [A-Z ]+-----|$)/g,
  // JSON web tokens, whole or cut off.
  /eyJ[\w-]{8,}(?:\.[\w-]*){0,2}/g,
  /(?<=\b(?:bearer|basic)\s+)[\w.~+/=-]+/gi,
  /(?<=\w*(?:token|secret|password|passwd|api_?key|access_?key)["']?\s*[=:]\s*["']?)[^\s"',;]+/gi,
  /(?<=:\/\/)[^/\s@]+(?=@)/g,
  // Nothing that long is a word.
  /[\w+/=-]{40,}/g,
]

/** Values that the plugin was given as secrets, and whatever looks like one. */
function withoutSecrets(text: string, plugin: ExecPlugin, environment: Environment): string {
  const given = [
    ...(plugin.env ?? []).map(({value}) => value),
    ...(plugin.args ?? []).map((word) => word.replace(/^--?[\w-]+=/, '')),
    ...Object.entries(environment).flatMap(([name, value]) => (SECRET_NAME.test(name) ? [value ?? ''] : [])),
  ].filter((value) => value.length >= 6)
  const redactor = createRedactor()
  for (const value of given) redactor.add(value)
  return SECRET_SHAPES.reduce((shown, shape) => shown.replace(shape, '[redacted]'), redactor.redact(text))
}

function failed({command, installHint}: ExecPlugin, problem: string): KubernetesError {
  return new KubernetesError('API_LOGIN_FAILED', `the exec plugin ${command} of the kubeconfig ${problem}`, {
    suggestions: installHint === undefined ? [] : [installHint],
  })
}
