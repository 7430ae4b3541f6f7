import {z} from 'zod'
import {textAtMost, TooLargeError} from '../bounded.ts'
import type {StoreProblem} from './objects.ts'
import {statusProblem, withoutSecrets} from './problems.ts'

/** Of a token, an error, or a page of tags. */
const SMALL_MAX_BYTES = 1 << 20
/** For an answer that has no large body. */
const ANSWER_TIMEOUT_MS = 120_000
const ANSWER_WORDS_MAX_LENGTH = 300

const tokenSchema = z.union([
  z.object({token: z.string().min(1)}).transform(({token}) => token),
  z.object({access_token: z.string().min(1)}).transform((answer) => answer.access_token),
])
const errorsSchema = z.object({
  errors: z.array(z.object({code: z.string(), message: z.string().default('')})).min(1),
})

export interface RegistryRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'
  /** Absolute, or below `https://host/v2/<repository>/`. */
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
  /** Whole, so that it can be sent again with a token. */
  readonly body?: Uint8Array<ArrayBuffer>
  readonly signal: AbortSignal
}

/** Requests to one repository, with whatever the registry asks for to let them in. */
export interface RegistrySession {
  /** Any answer but 401; throws RegistryFault for that, and what fetch throws. */
  send(request: RegistryRequest): Promise<Response>
}

export interface RegistryLogin {
  /** `https://registry.example.com:5000`. */
  readonly origin: string
  readonly repository: string
  readonly credentials: Readonly<Record<string, string>> | undefined
}

/** The registry's answer was no success. */
export class RegistryFault extends Error {
  readonly problem: StoreProblem
  readonly status: number
  /** Codes of the distribution specification: `MANIFEST_BLOB_UNKNOWN`. */
  readonly codes: readonly string[]

  constructor(status: number, problem: StoreProblem, codes: readonly string[] = []) {
    super(problem.words)
    this.status = status
    this.problem = problem
    this.codes = codes
  }
}

export function registrySession(login: RegistryLogin): RegistrySession {
  const base = `${login.origin}/v2/${login.repository}/`
  let authorization: string | undefined
  const ask = async ({method, url, headers, body, signal}: RegistryRequest): Promise<Response> => {
    const target = new URL(url, base)
    // Uploads may go elsewhere, with what they need in the address.
    const own = target.origin === login.origin && authorization !== undefined ? {authorization} : {}
    // What is read of a blob goes on for as long as something comes.
    const patience =
      url.startsWith('blobs/') && method === 'GET' ? [] : [AbortSignal.timeout(ANSWER_TIMEOUT_MS)]
    return await fetch(target, {
      method,
      headers: {...headers, ...own},
      signal: AbortSignal.any([signal, ...patience]),
      ...(body === undefined ? {} : {body}),
    })
  }
  return {
    send: async (request) => {
      const first = await ask(request)
      if (first.status !== 401) return first
      await first.body?.cancel()
      // The first time, or the token has run out.
      authorization = await authorizationFor(first.headers.get('www-authenticate'), login, request.signal)
      const second = await ask(request)
      if (second.status === 401) throw await faultOf(second, login.credentials)
      return second
    },
  }
}

async function authorizationFor(
  header: string | null,
  login: RegistryLogin,
  signal: AbortSignal,
): Promise<string> {
  const {origin, repository, credentials} = login
  const refused = (words: string) => new RegistryFault(401, {kind: 'refused', words})
  const {username, password} = credentials ?? {}
  const named = username !== undefined && password !== undefined
  if (credentials !== undefined && !named) {
    throw refused('the Secret of the store has no username or no password')
  }
  const basic = named ? `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` : undefined
  const bearer = challengeOf(header)
  if (bearer === undefined) {
    if (basic === undefined) throw refused('it wants credentials, and the store has none')
    return basic
  }
  const url = new URL(bearer.realm)
  if (origin.startsWith('https:') && url.protocol !== 'https:') {
    throw refused(`it names a token server without TLS: ${url.origin}`)
  }
  if (bearer.service !== undefined) url.searchParams.set('service', bearer.service)
  url.searchParams.set('scope', `repository:${repository}:pull,push,delete`)
  const headers = basic === undefined ? {} : {authorization: basic}
  const patience = AbortSignal.timeout(ANSWER_TIMEOUT_MS)
  const answer = await fetch(url, {headers, signal: AbortSignal.any([signal, patience])})
  if (!answer.ok) throw await faultOf(answer, credentials)
  const text = await smallText(answer)
  const token = tokenSchema.safeParse(parseJson(text ?? '')).data
  if (token === undefined) throw refused(`the token server ${url.origin} gave no token`)
  return `Bearer ${token}`
}

/** The Bearer challenge of a WWW-Authenticate header; undefined when it holds none. */
function challengeOf(header: string | null): {realm: string; service: string | undefined} | undefined {
  const [, bearer] = /(?:^|,)\s*bearer\s+(.*)$/i.exec(header ?? '') ?? []
  const valueOf = (name: string) => new RegExp(`(?:^|[\\s,])${name}="([^"]*)"`, 'i').exec(bearer ?? '')?.[1]
  const realm = valueOf('realm')
  return realm === undefined || !URL.canParse(realm) ? undefined : {realm, service: valueOf('service')}
}

/** What an answer that is no success says. */
export async function faultOf(
  answer: Response,
  credentials: Readonly<Record<string, string>> | undefined,
): Promise<RegistryFault> {
  const {errors = []} = errorsSchema.safeParse(parseJson((await smallText(answer)) ?? '')).data ?? {}
  const said =
    errors.length === 0
      ? answer.statusText
      : errors.map(({code, message}) => `${code} ${message}`.trim()).join(', ')
  const words = withoutSecrets(said.slice(0, ANSWER_WORDS_MAX_LENGTH), credentials)
  const codes = errors.map(({code}) => code)
  const problem = statusProblem(answer.status, words) ?? {kind: 'refused', words: `${answer.status} ${words}`}
  return new RegistryFault(answer.status, problem, codes)
}

/** Undefined: it is not small, and was not read to its end. */
async function smallText(answer: Response): Promise<string | undefined> {
  try {
    return await textAtMost(answer, 'the answer', SMALL_MAX_BYTES)
  } catch (error) {
    if (error instanceof TooLargeError) return undefined
    throw error
  }
}

/** An answer of JSON, as a schema reads it. Throws RegistryFault when it is not that. */
export async function jsonOf<T>(answer: Response, schema: z.ZodType<T>, what: string): Promise<T> {
  const {data} = schema.safeParse(parseJson((await smallText(answer)) ?? ''))
  if (data !== undefined) return data
  throw new RegistryFault(answer.status, {kind: 'refused', words: `${what} cannot be read`})
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
