import {expect, test} from 'vitest'
import {RegistryFault} from '../../../src/registry/fault.ts'
import {registrySession, type RegistryLogin, type Transport} from '../../../src/registry/session.ts'

const signal = AbortSignal.timeout(10_000)
const LOGIN = {username: 'pusher', password: 'secret'}
const BASIC = `Basic ${Buffer.from('pusher:secret').toString('base64')}`
const BEARER = 'Bearer realm="https://auth.example.com/token",service="s",scope="repository:team/app:pull"'

interface Sent {
  readonly url: string
  readonly authorization: string | undefined
}

/** A registry whose current token is `t1`, then `t2`, …; `challenge`: what it requires. */
function registryWith(challenge: string) {
  const sent: Sent[] = []
  let tokens = 0
  const transport: Transport = ({href}, {headers: {authorization}}) => {
    sent.push({url: href, authorization})
    if (href.startsWith('https://auth.example.com/token')) {
      tokens += 1
      return Promise.resolve(Response.json({token: `t${tokens}`}))
    }
    const permitted = authorization === BASIC || (tokens > 0 && authorization === `Bearer t${tokens}`)
    return Promise.resolve(
      permitted || !href.startsWith('https://registry.example.com')
        ? new Response('content')
        : new Response('', {status: 401, headers: {'www-authenticate': challenge}}),
    )
  }
  const session = (login: Partial<RegistryLogin> = {}) =>
    registrySession({baseUrl: 'https://registry.example.com', repository: 'team/app', transport, ...login})
  return {sent, session, expire: () => (tokens += 1)}
}

const get = (url: string) => ({method: 'GET' as const, url, signal})
const paths = (sent: readonly Sent[]): readonly string[] => sent.map(({url}) => new URL(url).pathname)

test('a token is requested once, kept, and replaced when it has expired', async () => {
  const {sent, session, expire} = registryWith(BEARER)
  const {send} = session()
  expect((await send(get('manifests/v1'))).status).toBe(200)
  expect((await send(get('manifests/v1'))).status).toBe(200)
  expect(paths(sent)).toEqual([
    '/v2/team/app/manifests/v1',
    '/token',
    '/v2/team/app/manifests/v1',
    '/v2/team/app/manifests/v1',
  ])
  expire()
  expect((await send(get('blobs/b'))).status).toBe(200)
  expect(paths(sent).slice(4)).toEqual(['/v2/team/app/blobs/b', '/token', '/v2/team/app/blobs/b'])
})

test('a token is for what the registry requires, or for the actions of the session', async () => {
  const {sent, session} = registryWith(BEARER)
  await session().send(get('manifests/v1'))
  await session({actions: ['pull', 'push']}).send(get('manifests/v1'))
  const scopes = sent.flatMap(({url}) => new URL(url).searchParams.get('scope') ?? [])
  expect(scopes).toEqual(['repository:team/app:pull', 'repository:team/app:pull,push'])
})

test('a password goes to the token server only, and to a registry that requires it itself', async () => {
  const bearer = registryWith(BEARER)
  await bearer.session({credentials: () => LOGIN}).send(get('manifests/v1'))
  expect(bearer.sent.map(({authorization}) => authorization)).toEqual([undefined, BASIC, 'Bearer t1'])
  const basic = registryWith('Basic realm="r"')
  expect((await basic.session({credentials: () => LOGIN}).send(get('manifests/v1'))).status).toBe(200)
  expect(basic.sent.map(({authorization}) => authorization)).toEqual([undefined, BASIC])
})

test('another server, to which an upload may go, gets no authorization', async () => {
  const {sent, session} = registryWith(BEARER)
  const {send} = session()
  await send(get('manifests/v1'))
  await send({method: 'PUT', url: 'https://storage.example.com/upload', signal})
  expect(sent.at(-1)).toEqual({url: 'https://storage.example.com/upload', authorization: undefined})
})

test('a registry that refuses the token as well is not asked a third time', async () => {
  const {sent, session} = registryWith(BEARER)
  const {send} = session({
    transport: (url, {headers}) => {
      sent.push({url: url.href, authorization: headers['authorization']})
      return Promise.resolve(
        url.pathname === '/token'
          ? Response.json({access_token: 'refused'})
          : new Response('', {status: 401, headers: {'www-authenticate': BEARER}}),
      )
    },
  })
  expect((await send(get('manifests/v1'))).status).toBe(401)
  expect(paths(sent)).toEqual(['/v2/team/app/manifests/v1', '/token', '/v2/team/app/manifests/v1'])
})

test('a token server that answers without a token is a fault', async () => {
  const {session} = registryWith('Bearer realm="https://other.example.com/token"')
  const failed = session().send(get('manifests/v1'))
  await expect(failed).rejects.toBeInstanceOf(RegistryFault)
  await expect(failed).rejects.toThrow('the token of https://other.example.com is invalid')
})

test.for([
  ['Basic realm="r"', 'it requires credentials, and none are set'],
  ['Bearer realm="http://auth.example.com/token"', 'its token server has no TLS: http://auth.example.com'],
])('without authorization %s is a fault of status 401', async ([challenge = '', message]) => {
  const {session} = registryWith(challenge)
  await expect(session().send(get('manifests/v1'))).rejects.toMatchObject({status: 401, message})
})
