import {isIP} from 'node:net'
import {z} from 'zod'
import {StateError} from '../base/errors.ts'
import {kubeClient} from './client.ts'
import {readContext, type ForeignContext, type KubeconfigSource} from './foreign-kubeconfig.ts'
import {parseProxy, proxyOfEnvironment} from './proxy-environment.ts'
import {openTransport} from './transport.ts'
import type {KubeClient} from './types.ts'

export type ForeignKubeOptions = KubeconfigSource & {
  /** Default: the current one. */
  readonly context?: string
  /** Of exec plugins; HTTPS_PROXY and NO_PROXY are read here as well. */
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly signal: AbortSignal
  /** How long a login may take. Default: a minute for an exec plugin, 30 s for the issuer of an OIDC token. */
  readonly loginTimeoutMs?: number
}

/**
 * A client for a cluster that clouder did not make, by a kubeconfig as kubectl reads it. One of `files` may name
 * programs to run and files to read: give only what the user of this process wrote. One of `text` may not.
 * Throws StateError RECORD_INVALID, CONTEXT_UNKNOWN, KUBECONFIG_UNSUPPORTED, KubernetesError API_LOGIN_FAILED; from each
 * call KubernetesError as KubeReader says, and API_LOGIN_FAILED.
 */
export async function openForeignKube(options: ForeignKubeOptions): Promise<KubeClient> {
  const {environment, signal, loginTimeoutMs} = options
  const source = 'text' in options ? {text: options.text} : {files: options.files}
  const readAgain = async (): Promise<ForeignContext> => {
    const context = await readContext(source, options.context)
    refuseUnsupported(context)
    return context
  }
  const context = await readAgain()
  const {cluster} = context
  const {host, port, basePath} = addressOf(context)
  const said = cluster['proxy-url']
  const proxy =
    said === undefined ? proxyOfEnvironment(host, port, environment) : parseProxy(said, 'proxy-url')
  const {identityOf} = await import('./foreign-identity.ts')
  const timeout = loginTimeoutMs === undefined ? {} : {timeoutMs: loginTimeoutMs}
  const who = await identityOf(context, {environment, signal, readAgain, ...timeout})
  const server = {
    ...{host, port, basePath, proxy},
    serverName: cluster['tls-server-name'] ?? (isIP(host) === 0 ? host : ''),
    insecure: cluster['insecure-skip-tls-verify'],
    ...who,
  }
  return kubeClient(openTransport(server, signal))
}

/** Without a scheme it is HTTPS, as to kubectl. */
function addressOf({name, cluster}: ForeignContext): {
  readonly host: string
  readonly port: number
  readonly basePath: string
} {
  const {server} = cluster
  const url = z.url().safeParse(server.includes('://') ? server : `https://${server}`)
  if (!url.success) throw unsupported(name, 'its server is not a URL')
  const {protocol, username, password, hostname, port, pathname, search, hash} = new URL(url.data)
  if (protocol !== 'https:')
    throw unsupported(name, `its server is reached by ${protocol.slice(0, -1)}, not https`)
  if (username + password + search + hash !== '')
    throw unsupported(name, 'the URL of its server has more than host, port and path')
  return {
    host: hostname.replace(/^\[|\]$/g, ''),
    port: port === '' ? 443 : Number(port),
    basePath: pathname.replace(/\/+$/, ''),
  }
}

/** What kubectl refuses too, and would else be half of what was meant. */
function refuseUnsupported(context: ForeignContext): void {
  const {name, cluster, user} = context
  addressOf(context)
  if (
    cluster['insecure-skip-tls-verify'] &&
    (cluster['certificate-authority-data'] ?? cluster['certificate-authority']) !== undefined
  )
    throw unsupported(name, 'its cluster has both certificate-authority and insecure-skip-tls-verify')
  const provider = user['auth-provider']?.name
  if (provider !== undefined && provider !== 'oidc')
    throw unsupported(name, `its user has the auth provider ${provider}; oidc and exec plugins are supported`)
  const ways = {
    exec: user.exec,
    'auth-provider': provider,
    token: user.token ?? user.tokenFile,
    username: user.username,
  }
  const used = Object.entries(ways).flatMap(([way, value]) => (value === undefined ? [] : [way]))
  if (used.length > 1) throw unsupported(name, `its user has several credentials: ${used.join(', ')}`)
  const cert = user['client-certificate-data'] ?? user['client-certificate']
  const key = user['client-key-data'] ?? user['client-key']
  if ((cert === undefined) !== (key === undefined))
    throw unsupported(name, 'its user has a client certificate without a key, or a key without a certificate')
  const others = [user['as-uid'], user['as-groups']?.[0], Object.keys(user['as-user-extra'] ?? {})[0]]
  if (user.as === undefined && others.some((value) => value !== undefined))
    throw unsupported(name, 'its user impersonates groups, a UID or extras without a user (as)')
}

const unsupported = (context: string, problem: string): StateError =>
  new StateError('KUBECONFIG_UNSUPPORTED', `context ${context} of the kubeconfig cannot be used: ${problem}`)
