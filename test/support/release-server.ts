import {createHash} from 'node:crypto'
import {createServer, type IncomingMessage, type Server, type ServerResponse} from 'node:http'
import type {BaseUrls} from '../../src/bundle/release-assets.ts'
import type {Published} from './release-content.ts'

/** What goes wrong, for requests whose path matches; each counts down `times`, default once. */
export type Fault = {path: RegExp; times?: number} & (
  | {kind: 'cut'; afterBytes: number; when?: () => Promise<unknown>}
  | {kind: 'status'; status: number}
  | {kind: 'corrupt'}
  | {kind: 'stall'; afterBytes: number}
  | {kind: 'ignore-range'}
)

export interface Seen {
  readonly path: string
  readonly range: string | undefined
  readonly authorization: string | undefined
  /** True for the host that the first one redirects to. */
  readonly redirected: boolean
  status: number
  sentBytes: number
}

export interface ReleaseServer extends AsyncDisposable {
  readonly baseUrls: BaseUrls
  readonly published: Map<string, Published>
  readonly seen: Seen[]
  readonly faults: Fault[]
  /** Tokens given out so far are refused from now on. */
  expireTokens(): void
  /** Body bytes sent for matching paths, over all connections. */
  sentBytes(path: RegExp): number
}

/**
 * dl.k8s.io, github.com and two registries on local ports, in the published layout with published checksums. Big bodies
 * are redirected to a second origin, as the real hosts do; ghcr.io asks for a token, registry.k8s.io does not.
 */
export async function startReleaseServer(content: ReadonlyMap<string, Published>): Promise<ReleaseServer> {
  const published = new Map(content)
  const seen: Seen[] = []
  const faults: Fault[] = []
  const tokens = {valid: new Set<string>(), given: 0}
  const answer =
    (redirectTo: () => string | undefined) => (request: IncomingMessage, response: ServerResponse) => {
      const entry: Seen = {
        path: decodeURI(request.url ?? '/'),
        range: request.headers.range,
        authorization: request.headers.authorization,
        redirected: redirectTo() === undefined,
        status: 0,
        sentBytes: 0,
      }
      seen.push(entry)
      serve({published, faults, tokens, redirectTo: redirectTo()}, entry, response)
      entry.status = response.statusCode
    }
  const behind = createServer(answer(() => undefined))
  const behindUrl = await listen(behind)
  const front = createServer(answer(() => behindUrl))
  const url = await listen(front)
  return {
    baseUrls: {
      kubernetes: `${url}/dl`,
      github: `${url}/github`,
      helm: `${url}/helm`,
      registry: (host) => `${url}/registry/${host}`,
    },
    published,
    seen,
    faults,
    expireTokens: () => tokens.valid.clear(),
    sentBytes: (path) =>
      seen.filter((entry) => path.test(entry.path)).reduce((sum, entry) => sum + entry.sentBytes, 0),
    async [Symbol.asyncDispose]() {
      for (const server of [front, behind]) {
        server.closeAllConnections()
        await new Promise((resolve) => server.close(resolve))
      }
    },
  }
}

interface Site {
  readonly published: ReadonlyMap<string, Published>
  readonly faults: Fault[]
  readonly tokens: {valid: Set<string>; given: number}
  readonly redirectTo: string | undefined
}

function serve(site: Site, entry: Seen, response: ServerResponse): void {
  const [path = '', query = ''] = entry.path.split('?')
  if (path === '/token') {
    giveToken(site, query, response)
    return
  }
  if (path.endsWith('/v2/'))
    return void response.writeHead(200, {'content-type': 'application/json'}).end('{}')
  if (path.includes('/ghcr.io/') && site.redirectTo !== undefined && !hasToken(site, entry)) {
    const repository = /ghcr\.io\/v2\/(.+)\/(?:manifests|blobs)\//.exec(path)?.[1] ?? ''
    const challenge = `Bearer realm="${originOf(response)}/token",service="ghcr.io",scope="repository:${repository}:pull"`
    return void response.writeHead(401, {'www-authenticate': challenge}).end('{"errors":[]}')
  }
  const found = site.published.get(path)
  if (found === undefined) return void response.writeHead(404).end('not found')
  if (site.redirectTo !== undefined && found.redirected === true) {
    return void response.writeHead(307, {location: site.redirectTo + path}).end()
  }
  send(found, takeFault(site.faults, path), entry, response)
}

function giveToken(site: Site, query: string, response: ServerResponse): void {
  const wanted = new URLSearchParams(query)
  if (wanted.get('service') !== 'ghcr.io' || wanted.get('scope') === null)
    return void response.writeHead(400).end()
  const token = `token-${++site.tokens.given}`
  site.tokens.valid.add(token)
  response.writeHead(200, {'content-type': 'application/json'}).end(JSON.stringify({token, expires_in: 300}))
}

function hasToken(site: Site, entry: Seen): boolean {
  return site.tokens.valid.has(entry.authorization?.replace('Bearer ', '') ?? '')
}

function send(found: Published, fault: Fault | undefined, entry: Seen, response: ServerResponse): void {
  if (fault?.kind === 'status') return void response.writeHead(fault.status).end()
  const body = fault?.kind === 'corrupt' ? corrupted(found.body) : found.body
  const start = Number(/^bytes=(\d+)-$/.exec(entry.range ?? '')?.[1] ?? 0)
  const partial = entry.range !== undefined && fault?.kind !== 'ignore-range'
  if (partial && start >= body.length) return void response.writeHead(416).end()
  const rest = partial ? body.subarray(start) : body
  response.writeHead(partial ? 206 : 200, {
    'content-type': found.mediaType ?? 'application/octet-stream',
    'content-length': rest.length,
    ...(partial ? {'content-range': `bytes ${start}-${body.length - 1}/${body.length}`} : {}),
    ...(found.mediaType === undefined
      ? {}
      : {'docker-content-digest': `sha256:${createHash('sha256').update(found.body).digest('hex')}`}),
  })
  if (fault?.kind !== 'cut' && fault?.kind !== 'stall') {
    entry.sentBytes = rest.length
    response.end(rest)
    return
  }
  entry.sentBytes = Math.min(fault.afterBytes, rest.length)
  response.write(rest.subarray(0, fault.afterBytes))
  if (fault.kind === 'stall') return
  // What was sent and not yet read is lost to the client with the connection: `when` says that it has it.
  const cut = () => response.destroy()
  void (fault.when?.() ?? Promise.resolve()).then(cut, cut)
}

function takeFault(faults: Fault[], path: string): Fault | undefined {
  const fault = faults.find((candidate) => candidate.path.test(path) && (candidate.times ?? 1) > 0)
  if (fault !== undefined) fault.times = (fault.times ?? 1) - 1
  return fault
}

function corrupted(body: Buffer): Buffer {
  const copy = Buffer.from(body)
  copy[copy.length >> 1] = (copy[copy.length >> 1] ?? 0) ^ 0xff
  return copy
}

function originOf(response: ServerResponse): string {
  return `http://${response.req.headers.host ?? ''}`
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server has no port')
  return `http://127.0.0.1:${address.port}`
}
