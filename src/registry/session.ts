import {z} from 'zod'
import {parseChallenge} from './challenge.ts'
import {faultOf, jsonOf, RegistryFault} from './fault.ts'

/** For a response without a large body. */
const RESPONSE_TIMEOUT_MS = 120_000

const tokenSchema = z.union([
  z.object({token: z.string().min(1)}).transform(({token}) => token),
  z.object({access_token: z.string().min(1)}).transform((answer) => answer.access_token),
])

export interface RegistryRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'
  /** Absolute, or below `https://host/v2/<repository>/`. */
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
  /** Whole, so that it can be sent again with a token. */
  readonly body?: Uint8Array<ArrayBuffer>
  readonly signal: AbortSignal
}

/** Sends one request, and follows redirects. */
export type Transport = (
  url: URL,
  request: {
    readonly method: string
    readonly headers: Readonly<Record<string, string>>
    readonly body?: Uint8Array<ArrayBuffer>
    readonly signal: AbortSignal
  },
) => Promise<Response>

export interface RegistryLogin {
  /** `https://registry.example.com:5000`. */
  readonly baseUrl: string
  readonly repository: string
  /** What a token has to permit; default: what the registry requires for the request. */
  readonly actions?: readonly ('pull' | 'push' | 'delete')[]
  /** Called when the registry requires a login; undefined: anonymous. */
  readonly credentials?: () => {readonly username: string; readonly password: string} | undefined
  /** Default: fetch. */
  readonly transport?: Transport
}

/** Requests to one repository, with the authorization that its registry requires. */
export interface RegistrySession {
  /**
   * Any response; with status 401 the registry refuses the authorization as well. Throws RegistryFault when there is no
   * authorization, and what the transport throws.
   */
  readonly send: (request: RegistryRequest) => Promise<Response>
}

export function registrySession(login: RegistryLogin): RegistrySession {
  const {baseUrl, repository, transport = fetch} = login
  const base = `${baseUrl}/v2/${repository}/`
  const {origin} = new URL(baseUrl)
  let authorization: string | undefined
  const sendOnce = ({method, url, headers, body, signal}: RegistryRequest): Promise<Response> => {
    const target = new URL(url, base)
    // Uploads may go to another server, with what they need in the URL.
    const own = target.origin === origin && authorization !== undefined ? {authorization} : {}
    // A blob is read for as long as something arrives.
    const timeouts =
      url.startsWith('blobs/') && method === 'GET' ? [] : [AbortSignal.timeout(RESPONSE_TIMEOUT_MS)]
    return transport(target, {
      method,
      headers: {...headers, ...own},
      signal: AbortSignal.any([signal, ...timeouts]),
      ...(body === undefined ? {} : {body}),
    })
  }
  return {
    send: async (request) => {
      const first = await sendOnce(request)
      if (first.status !== 401) return first
      await first.body?.cancel()
      // The first request, or the token has expired.
      authorization = await authorizationFor(
        first.headers.get('www-authenticate'),
        {...login, transport},
        request.signal,
      )
      return sendOnce(request)
    },
  }
}

async function authorizationFor(
  header: string | null,
  {baseUrl, repository, actions, credentials, transport}: RegistryLogin & {readonly transport: Transport},
  signal: AbortSignal,
): Promise<string> {
  const known = credentials?.()
  const basic =
    known === undefined
      ? undefined
      : `Basic ${Buffer.from(`${known.username}:${known.password}`).toString('base64')}`
  const challenge = parseChallenge(header)
  if (challenge === undefined || !URL.canParse(challenge.realm)) {
    if (basic === undefined) throw new RegistryFault(401, 'it requires credentials, and none are set')
    return basic
  }
  const url = new URL(challenge.realm)
  if (baseUrl.startsWith('https:') && url.protocol !== 'https:') {
    throw new RegistryFault(401, `its token server has no TLS: ${url.origin}`)
  }
  const scope =
    actions === undefined
      ? (challenge.scope ?? `repository:${repository}:pull`)
      : `repository:${repository}:${actions.join(',')}`
  if (challenge.service !== undefined) url.searchParams.set('service', challenge.service)
  url.searchParams.set('scope', scope)
  const response = await transport(url, {
    method: 'GET',
    headers: basic === undefined ? {} : {authorization: basic},
    signal: AbortSignal.any([signal, AbortSignal.timeout(RESPONSE_TIMEOUT_MS)]),
  })
  if (!response.ok) throw await faultOf(response)
  return `Bearer ${await jsonOf(response, tokenSchema, `the token of ${url.origin}`)}`
}
