import {generateKeyPairSync, sign} from 'node:crypto'
import {once} from 'node:events'
import {createServer} from 'node:http'
import type {AddressInfo} from 'node:net'

const SERVICE = 'registry.test'
const ISSUER = 'tokens.test'
const KEY_ID = 'test-key'

/** Gives tokens for a registry to whoever knows the login, for what they ask for. */
export interface TokenServer extends AsyncDisposable {
  /** `http://127.0.0.1:34567/token`. */
  readonly realm: string
  readonly service: string
  readonly issuer: string
  /** The key set by which a registry checks tokens. */
  readonly jwks: string
  /** Scopes that tokens were asked for. */
  readonly scopes: readonly string[]
}

export async function startTokenServer(login: {
  readonly username: string
  readonly password: string
}): Promise<TokenServer> {
  const {privateKey, publicKey} = generateKeyPairSync('rsa', {modulusLength: 2048})
  const scopes: string[] = []
  const expected = `Basic ${Buffer.from(`${login.username}:${login.password}`).toString('base64')}`
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const tokenFor = (scope: string): string => {
    const [type = '', name = '', actions = ''] = scope.split(':')
    const now = Math.floor(Date.now() / 1000)
    const text = [
      encode({typ: 'JWT', alg: 'RS256', kid: KEY_ID}),
      encode({
        iss: ISSUER,
        aud: SERVICE,
        iat: now,
        nbf: now - 60,
        exp: now + 300,
        access: [{type, name, actions: actions.split(',')}],
      }),
    ].join('.')
    return `${text}.${sign('sha256', Buffer.from(text), privateKey).toString('base64url')}`
  }
  const server = createServer((request, response) => {
    if (request.headers.authorization !== expected) {
      response.writeHead(401, {'content-type': 'application/json'})
      response.end(JSON.stringify({errors: [{code: 'UNAUTHORIZED', message: 'who are you'}]}))
      return
    }
    const scope = new URL(request.url ?? '/', 'http://tokens').searchParams.get('scope') ?? ''
    scopes.push(scope)
    response.writeHead(200, {'content-type': 'application/json'})
    response.end(JSON.stringify({token: tokenFor(scope)}))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const {port} = server.address() as AddressInfo
  const key = {...publicKey.export({format: 'jwk'}), kid: KEY_ID, use: 'sig', alg: 'RS256'}
  return {
    realm: `http://127.0.0.1:${port}/token`,
    service: SERVICE,
    issuer: ISSUER,
    jwks: JSON.stringify({keys: [key]}),
    scopes,
    [Symbol.asyncDispose]: async () => {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}
