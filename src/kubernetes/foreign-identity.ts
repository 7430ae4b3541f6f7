import {readFile} from 'node:fs/promises'
import type {OutgoingHttpHeaders} from 'node:http'
import type {RequestOptions} from 'node:https'
import {isDeepStrictEqual} from 'node:util'
import {bufferFromFileOrString, KubeConfig} from '@kubernetes/client-node/dist/config.js'
import {z} from 'zod'
import {KubernetesError} from './errors.ts'
import {systemCode} from '../base/system-errors.ts'
import {CredentialPlugin, type PluginOptions} from './exec-plugin.ts'
import type {ForeignContext, ForeignUser} from './foreign-kubeconfig.ts'
import {loginFailed} from './login-failed.ts'
import {OidcTokens} from './oidc.ts'
import type {Identity} from './transport.ts'

/** Who a context of a kubeconfig makes us, and whom it trusts. PEM. */
export interface ForeignIdentity {
  /** Undefined: the authorities that this machine trusts. */
  readonly ca: string | undefined
  readonly identity: (refused?: Identity) => Promise<Identity>
}

export interface IdentityOptions extends Omit<PluginOptions, 'cluster'> {
  /** The context as its files are now: kubectl writes renewed tokens there. */
  readonly readAgain: () => Promise<ForeignContext>
}

type HttpsOptions = Omit<RequestOptions, 'headers'> & {headers?: OutgoingHttpHeaders}

/** The auth provider by which KubeConfig finds our authenticator. */
const OURS = 'clouder'
const NAME = 'context'

const providerSchema = z.object({authProvider: z.object({name: z.literal(OURS)})})
const pem = z.union([z.string(), z.instanceof(Buffer).transform((bytes) => bytes.toString())]).optional()
const optionsSchema = z.object({
  cert: pem,
  key: pem,
  auth: z.string().optional(),
  headers: z.record(z.string(), z.string()).optional(),
})

/**
 * The credentials of a context, by the KubeConfig of client-node; exec plugins, token files and OIDC tokens are an
 * authenticator of ours there. Throws KubernetesError API_LOGIN_FAILED, as `identity` does. Import it lazily: it takes
 * half a second and 85 MB.
 */
export async function identityOf(
  context: ForeignContext,
  options: IdentityOptions,
): Promise<ForeignIdentity> {
  const ca = await told(context, options.signal, () => Promise.resolve().then(() => authoritiesOf(context)))
  const {exec} = context.user
  const data = ca === undefined ? undefined : Buffer.from(ca).toString('base64')
  // A plugin is told the authority itself, also where the kubeconfig names its file.
  const cluster = {...context.cluster, 'certificate-authority-data': data}
  const plugin = exec === undefined ? undefined : new CredentialPlugin(exec, {...options, cluster})
  let now = context
  const oidc = new OidcTokens({...options, context: context.name})
  const logins = {plugin, oidc}
  let config = configOf(now, logins)
  const read = async (): Promise<Identity> => {
    const provider = now.user['auth-provider']
    if (provider !== undefined && oidc.isStale(provider.config ?? {})) {
      now = await options.readAgain()
      config = configOf(now, logins)
    }
    return told(now, options.signal, () => identityBy(config, now))
  }
  let running: Promise<Identity> | undefined
  let last: Identity | undefined
  return {
    ca,
    identity: async (refused) => {
      // Of several calls that were refused with one identity, only the first logs in again.
      if (refused !== undefined && refused === last) {
        last = undefined
        plugin?.forget()
        oidc.forget()
      }
      running ??= read().finally(() => (running = undefined))
      const found = await running
      // One object for as long as it says the same, so that it can be told which one was refused.
      last = isDeepStrictEqual(found, last) ? last : found
      return last ?? found
    },
  }
}

interface Logins {
  readonly plugin: CredentialPlugin | undefined
  readonly oidc: OidcTokens
}

function configOf(context: ForeignContext, logins: Logins): KubeConfig {
  const config = new KubeConfig()
  config.addAuthenticator({
    isAuthProvider: (user) => providerSchema.safeParse(user).success,
    applyAuthentication: (_, options: HttpsOptions) => applyOurs(options, context.user, logins),
  })
  config.loadFromString(JSON.stringify(documentOf(context)))
  return config
}

/** A kubeconfig of this context alone, without what KubeConfig does not know, or does otherwise than kubectl. */
function documentOf({cluster, user}: ForeignContext): object {
  const ours = [user.exec, user.tokenFile, user['auth-provider']].some((way) => way !== undefined)
  return {
    clusters: [{name: NAME, cluster: {server: cluster.server}}],
    users: [
      {
        name: NAME,
        user: {
          'client-certificate':
            user['client-certificate-data'] === undefined ? user['client-certificate'] : undefined,
          'client-certificate-data': user['client-certificate-data'],
          'client-key': user['client-key-data'] === undefined ? user['client-key'] : undefined,
          'client-key-data': user['client-key-data'],
          token: ours ? undefined : user.token,
          username: user.username,
          password: user.password ?? '',
          as: user.as,
          'auth-provider': ours ? {name: OURS} : undefined,
        },
      },
    ],
    contexts: [{name: NAME, context: {cluster: NAME, user: NAME}}],
    'current-context': NAME,
  }
}

async function applyOurs(
  options: HttpsOptions,
  {tokenFile, 'auth-provider': provider}: ForeignUser,
  {plugin, oidc}: Logins,
): Promise<void> {
  const given = await plugin?.credential()
  if (given?.clientCertificateData !== undefined) options.cert = given.clientCertificateData
  if (given?.clientKeyData !== undefined) options.key = given.clientKeyData
  // Read for each call: a service account's token changes.
  const fromFile = tokenFile === undefined ? undefined : (await readFile(tokenFile, 'utf8')).trim()
  const fromIssuer = provider === undefined ? undefined : await oidc.token(provider.config ?? {})
  const token = fromFile ?? fromIssuer ?? given?.token
  if (token !== undefined) options.headers = {...options.headers, Authorization: `Bearer ${token}`}
}

async function identityBy(config: KubeConfig, context: ForeignContext): Promise<Identity> {
  const options: HttpsOptions = {}
  await config.applyToHTTPSOptions(options)
  const {cert, key, auth, headers = {}} = optionsSchema.parse(options)
  const basic = auth === undefined ? {} : {Authorization: `Basic ${Buffer.from(auth).toString('base64')}`}
  const all = {...basic, ...headers, ...impersonation(context.user)}
  const wrong = Object.entries(all).find(
    ([, value]) => !/^[\t\x20-\x7e\x80-\xff]*$/.test([value].flat().join('')),
  )
  if (wrong !== undefined) throw loginFailed(context.name, `its value is not valid in the header ${wrong[0]}`)
  return {headers: all, ...(cert === undefined ? {} : {cert}), ...(key === undefined ? {} : {key})}
}

/** All but the user, which KubeConfig knows. */
function impersonation(user: ForeignUser): Record<string, string | readonly string[]> {
  const extra = Object.entries(user['as-user-extra'] ?? {}).map(
    ([key, values]) => [`Impersonate-Extra-${encodeURIComponent(key)}`, values] as const,
  )
  const [uid, groups] = [user['as-uid'], user['as-groups'] ?? []]
  return {
    ...(uid === undefined ? {} : {'Impersonate-Uid': uid}),
    ...(groups.length === 0 ? {} : {'Impersonate-Group': groups}),
    ...Object.fromEntries(extra),
  }
}

function authoritiesOf({cluster}: ForeignContext): string | undefined {
  const data = cluster['certificate-authority-data']
  const file = data === undefined ? cluster['certificate-authority'] : undefined
  return bufferFromFileOrString(file, data)?.toString()
}

/** Of other errors only those of system calls are told: they may quote what could not be read. */
async function told<T>(context: ForeignContext, signal: AbortSignal, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof KubernetesError) throw error
    const known = error instanceof Error && systemCode(error) !== undefined
    throw loginFailed(context.name, known ? error.message : 'its credentials cannot be read')
  }
}
