import {readFile} from 'node:fs/promises'
import type {IncomingMessage} from 'node:http'
import {Agent, request} from 'node:https'
import {
  ClientError,
  ClientSecretBasic,
  ClientSecretPost,
  Configuration,
  customFetch,
  discovery,
  None,
  refreshTokenGrant,
  ResponseBodyError,
  WWWAuthenticateChallengeError,
  type CustomFetch,
} from 'openid-client'
import {z} from 'zod'
import {StateError} from '../base/errors.ts'
import {KubernetesError} from './errors.ts'
import {systemCode} from '../base/system-errors.ts'
import {createRedactor} from '../base/redaction.ts'
import {isTimeUp} from '../base/waiting.ts'
import {loginFailed} from './login-failed.ts'
import {proxyOfEnvironment} from './proxy-environment.ts'
import {TunnelAgent} from './tunnel.ts'

const ISSUER_TIMEOUT_MS = 30_000
/** A token that the API server refuses this soon after its renewal would be refused again. */
const RENEWAL_PAUSE_MS = 30_000
const MOST_BYTES = 1 << 20
const MOST_DESCRIPTION = 300
/** Code of the library: the issuer has another name than was expected. */
const OTHER_ISSUER = 'OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED'
/** A response with one of them has no body. */
const EMPTY_STATUSES: readonly number[] = [204, 205, 304]

const text = z
  .string()
  .optional()
  .transform((value) => (value === '' ? undefined : value))
/** https://kubernetes.io/docs/reference/access-authn-authz/authentication/#using-kubectl */
const settingsSchema = z.object({
  'idp-issuer-url': text,
  'idp-certificate-authority': text,
  'idp-certificate-authority-data': text,
  'client-id': text,
  'client-secret': text,
  'id-token': text,
  'refresh-token': text,
})
type Settings = z.output<typeof settingsSchema>

const claimsSchema = z.object({exp: z.number()})
const answerSchema = z.object({id_token: z.string().min(1), refresh_token: text})

/** `config` of the auth provider `oidc` of a kubeconfig. */
export type OidcConfig = Readonly<Record<string, string>>

export interface OidcOptions {
  /** Name of the context, for errors. */
  readonly context: string
  /** HTTPS_PROXY and NO_PROXY. */
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly signal: AbortSignal
  /** How long a renewal may take. Default: 30 s. */
  readonly timeoutMs?: number
}

interface Renewed {
  /** The refresh token of the kubeconfig that it began with. */
  readonly origin: string
  readonly idToken: string
  /** Many issuers accept each once, and give the next one with the answer. */
  readonly refreshToken: string
  readonly atMs: number
}

/**
 * The ID token of a kubeconfig, renewed at its issuer once it has expired or is refused. What was renewed is kept here,
 * and never written to the kubeconfig.
 */
export class OidcTokens {
  readonly #options: OidcOptions
  readonly #refused = new Set<string>()
  #renewed: Renewed | undefined
  #given: string | undefined

  constructor(options: OidcOptions) {
    this.#options = options
  }

  /** Whether the token has to come from the issuer, unless a newer kubeconfig has one. */
  isStale(config: OidcConfig): boolean {
    return this.#usable(settingsSchema.parse(config)) === undefined
  }

  /** Throws KubernetesError API_LOGIN_FAILED. */
  async token(config: OidcConfig): Promise<string> {
    const settings = settingsSchema.parse(config)
    this.#given = this.#usable(settings) ?? (await this.#renew(settings))
    return this.#given
  }

  /** The API server does not accept what was given last. */
  forget(): void {
    const renewed = this.#renewed
    const isNew = renewed?.idToken === this.#given && Date.now() - (renewed?.atMs ?? 0) < RENEWAL_PAUSE_MS
    if (this.#given !== undefined && !isNew) this.#refused.add(this.#given)
  }

  /** That of the kubeconfig first: kubectl may have renewed it there. */
  #usable(settings: Settings): string | undefined {
    return [settings['id-token'], this.#renewed?.idToken].find(
      (token) => token !== undefined && !hasExpired(token) && !this.#refused.has(token),
    )
  }

  async #renew(settings: Settings): Promise<string> {
    const {'id-token': token = '', 'refresh-token': origin} = settings
    const isRefused = !hasExpired(token)
    if (origin === undefined) {
      // The refusal is the answer then.
      if (isRefused) return token
      throw loginFailed(this.#options.context, 'its OIDC token has expired, and it has no refresh-token')
    }
    const refreshToken = this.#renewed?.origin === origin ? this.#renewed.refreshToken : origin
    const reason = isRefused ? 'was refused by the API server' : 'has expired'
    const answer = await renewedBy({...settings, 'refresh-token': refreshToken}, reason, this.#options)
    this.#renewed = {
      origin,
      idToken: answer.id_token,
      refreshToken: answer.refresh_token ?? refreshToken,
      atMs: Date.now(),
    }
    return answer.id_token
  }
}

/** So does what is no token, or does not say when it expires. */
function hasExpired(token: string): boolean {
  const [, payload = ''] = token.split('.')
  const read = claimsSchema.safeParse(jsonOf(Buffer.from(payload, 'base64url').toString()))
  return !read.success || read.data.exp * 1000 <= Date.now()
}

function jsonOf(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return undefined
  }
}

async function renewedBy(
  settings: Settings & {readonly 'refresh-token': string},
  reason: string,
  options: OidcOptions,
): Promise<z.output<typeof answerSchema>> {
  const {'idp-issuer-url': issuer, 'client-id': clientId, 'client-secret': secret} = settings
  const failed = (problem: string): KubernetesError =>
    loginFailed(options.context, `its OIDC token ${reason}, and ${problem}`)
  if (clientId === undefined) throw failed('it has no client-id to renew it with')
  const url = z.url({protocol: /^https$/}).safeParse(issuer)
  if (!url.success) throw failed('its idp-issuer-url is not an https URL')
  const {origin, pathname} = new URL(url.data)
  const name = `the issuer ${origin}${pathname.replace(/\/$/, '')}`

  const timeoutMs = options.timeoutMs ?? ISSUER_TIMEOUT_MS
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(timeoutMs)])
  try {
    const fetch = fetchOf(await authorityOf(settings), options.environment, signal)
    const timeout = timeoutMs / 1000
    const discover = (named: URL): Promise<Configuration> =>
      discovery(named, clientId, undefined, None(), {[customFetch]: fetch, timeout})
    const written = new URL(url.data)
    // As with kubectl, a slash at its end makes no other issuer of it.
    const found = await discover(written).catch((error: unknown) => {
      if (!(error instanceof ClientError) || error.code !== OTHER_ISSUER) throw error
      return discover(withOtherEnd(written))
    })
    // In the header first, as the standard wants it; some issuers only read the body.
    const [first, second] =
      secret === undefined ? [None()] : [ClientSecretBasic(secret), ClientSecretPost(secret)]
    const grant = (way: typeof first): Promise<unknown> => {
      const configuration = new Configuration(found.serverMetadata(), clientId, undefined, way)
      Object.assign(configuration, {[customFetch]: fetch, timeout})
      return refreshTokenGrant(configuration, settings['refresh-token'])
    }
    const answer = await grant(first).catch((error: unknown) => {
      if (second === undefined || !refusesClient(error)) throw error
      return grant(second)
    })
    const read = answerSchema.safeParse(answer)
    if (!read.success) throw failed(`${name} responded without an id_token`)
    return read.data
  } catch (error) {
    options.signal.throwIfAborted()
    if (error instanceof KubernetesError) throw error
    if (isTimeUp(signal)) throw failed(`${name} did not respond within ${timeoutMs / 1000} s`)
    const redactor = createRedactor()
    for (const value of [secret, settings['refresh-token'], settings['id-token']]) redactor.add(value ?? '')
    throw failed(`${name} did not renew it: ${redactor.redact(problemOf(error)).slice(0, MOST_DESCRIPTION)}`)
  }
}

/** With a slash at its end if it has none, and the other way round. */
function withOtherEnd(url: URL): URL {
  const other = new URL(url)
  other.pathname = url.pathname.endsWith('/') ? url.pathname.slice(0, -1) : `${url.pathname}/`
  return other
}

/** Its data, else its file, as with kubectl; undefined: the authorities that this machine trusts. PEM. */
async function authorityOf(settings: Settings): Promise<string | undefined> {
  const {'idp-certificate-authority-data': data, 'idp-certificate-authority': file} = settings
  if (data !== undefined) return Buffer.from(data, 'base64').toString()
  return file === undefined ? undefined : readFile(file, 'utf8')
}

/** Whether it may be the way in which the client was authenticated: what is said of the refresh token is not. */
function refusesClient(error: unknown): boolean {
  if (error instanceof ResponseBodyError) return error.error !== 'invalid_grant'
  if (error instanceof WWWAuthenticateChallengeError) return true
  const status = statusOf(error)
  return status === 400 || status === 401
}

/** Of a response that is none of the protocol. */
const statusOf = (error: unknown): number | undefined =>
  error instanceof ClientError && error.cause instanceof Response ? error.cause.status : undefined

/** Told without causes: those of the library hold whole responses. */
function problemOf(error: unknown): string {
  if (error instanceof ResponseBodyError) {
    const {status, error: code, error_description: description} = error
    return `${status} ${code}${description === undefined ? '' : `: ${description}`}`
  }
  if (error instanceof WWWAuthenticateChallengeError) return `${error.status}, the client is not accepted`
  if (error instanceof ClientError) {
    const {cause} = error
    if (error.code === undefined && cause instanceof Error) return problemOf(cause)
    const status = statusOf(error)
    return status === undefined ? error.message : `${error.message} ${status}`
  }
  const isOurs = error instanceof IssuerError || error instanceof StateError
  return isOurs || (error instanceof Error && systemCode(error) !== undefined)
    ? error.message
    : 'unexpected response'
}

class IssuerError extends Error {}

/**
 * Requests with the authority and through the proxy of the issuer. The signal is that of the whole renewal, so that of
 * each request is not needed.
 */
function fetchOf(
  ca: string | undefined,
  environment: OidcOptions['environment'],
  signal: AbortSignal,
): CustomFetch {
  return async (address, {method, headers, body}) => {
    const url = new URL(address)
    const host = url.hostname.replace(/^\[|\]$/g, '')
    const port = url.port === '' ? 443 : Number(url.port)
    const proxy = proxyOfEnvironment(host, port, environment)
    const tls = ca === undefined ? {} : {ca}
    const agent = proxy === undefined ? new Agent(tls) : new TunnelAgent(tls, proxy)
    const sent = body instanceof URLSearchParams ? body.toString() : ''
    const length = sent === '' ? {} : {'content-length': Buffer.byteLength(sent)}
    try {
      return await new Promise<Response>((resolve, reject) => {
        const target = {host, port, path: `${url.pathname}${url.search}`}
        request({...target, agent, signal, method, headers: {...headers, ...length}}, (response) => {
          responseOf(response).then(resolve, reject)
        })
          .on('error', (error) => reject(new IssuerError(error.message)))
          .end(sent)
      })
    } finally {
      agent.destroy()
    }
  }
}

async function responseOf(response: IncomingMessage): Promise<Response> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length
    // Ends the loop's response too.
    if (size > MOST_BYTES) throw new IssuerError('it sent more than 1 MiB')
    chunks.push(chunk)
  }
  const {statusCode: status = 0, headers} = response
  const list = Object.entries(headers).flatMap(([name, value]) =>
    [value ?? []].flat().map((each): [string, string] => [name, each]),
  )
  return new Response(EMPTY_STATUSES.includes(status) ? null : Buffer.concat(chunks), {status, headers: list})
}
