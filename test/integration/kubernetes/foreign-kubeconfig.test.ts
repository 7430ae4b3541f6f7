import {readFile, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {stringify} from 'yaml'
import {openForeignKube, type ForeignKubeOptions} from '../../../src/kubernetes/foreign.ts'
import {
  withRecordingApi,
  withRecordingProxy,
  type Arrived,
  type RecordingApi,
} from '../../support/recording-api.ts'

type Body = Readonly<Record<string, unknown>>

const base64 = (text: string) => Buffer.from(text).toString('base64')
const signal = () => new AbortController().signal
const environment = {PATH: process.env.PATH}

/** A kubeconfig of one context, that trusts the server. */
function documentFor(api: Pick<RecordingApi, 'port' | 'ca'>, user: Body, cluster: Body = {}): object {
  const trusted = {server: `https://127.0.0.1:${api.port}`, 'certificate-authority-data': base64(api.ca)}
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{name: 'c', cluster: {...trusted, ...cluster}}],
    users: [{name: 'u', user}],
    contexts: [{name: 'x', context: {cluster: 'c', user: 'u'}}],
    'current-context': 'x',
  }
}

async function written(api: RecordingApi, user: Body, cluster?: Body): Promise<string> {
  const path = join(api.folder, 'config')
  await writeFile(path, stringify(documentFor(api, user, cluster)))
  return path
}

/** Sends a call and gives what arrived last. */
async function asks(api: RecordingApi, options: ForeignKubeOptions): Promise<Arrived | undefined> {
  const kube = await openForeignKube(options)
  try {
    await kube.fetch('/api/v1/nodes')
  } finally {
    kube.close()
  }
  return api.arrived.at(-1)
}

const ask = async (
  api: RecordingApi,
  user: Body,
  cluster?: Body,
  more: Partial<Pick<ForeignKubeOptions, 'environment'>> = {},
): Promise<Arrived | undefined> =>
  asks(api, {files: [await written(api, user, cluster)], environment, signal: signal(), ...more})

test('a token, by the name in the server and without a client certificate', async () => {
  await withRecordingApi(async (api) => {
    const seen = await ask(api, {token: 't0ken'})
    expect(seen?.headers.authorization).toBe('Bearer t0ken')
    expect(seen?.client).toBeUndefined()
    expect(seen?.path).toBe('/api/v1/nodes')
    // There are no server names for addresses.
    expect(seen?.sni).toBeUndefined()
  })
})

test('nobody, where the user has no credential', async () => {
  await withRecordingApi(async (api) => {
    expect((await ask(api, {}))?.headers.authorization).toBeUndefined()
  })
})

test('a token file, found beside the kubeconfig and read again for each call', async () => {
  await withRecordingApi(async (api) => {
    const path = await written(api, {tokenFile: 'token'})
    await writeFile(join(api.folder, 'token'), 'one\n')
    const kube = await openForeignKube({files: [path], environment, signal: signal()})
    await kube.fetch('/')
    await writeFile(join(api.folder, 'token'), 'two\n')
    await kube.fetch('/')
    kube.close()
    expect(api.arrived.map(({headers}) => headers.authorization)).toEqual(['Bearer one', 'Bearer two'])
  })
})

test('a token that the server refuses is asked for once more, and a refusal that stays is the answer', async () => {
  await withRecordingApi(async (api) => {
    const path = await written(api, {tokenFile: 'token'})
    await writeFile(join(api.folder, 'token'), 'old')
    const kube = await openForeignKube({files: [path], environment, signal: signal()})
    expect((await kube.fetch('/')).status).toBe(200)
    api.refuse = ({headers}) => headers.authorization === 'Bearer old'
    expect((await kube.fetch('/')).status).toBe(401)
    kube.close()
    expect(api.arrived).toHaveLength(2)
  })
})

test('a name and a password', async () => {
  await withRecordingApi(async (api) => {
    const seen = await ask(api, {username: 'ada', password: 'l:ove'})
    expect(seen?.headers.authorization).toBe(`Basic ${base64('ada:l:ove')}`)
  })
})

test('a client certificate, in the file and as files beside it, with the authority as a file', async () => {
  await withRecordingApi(async (api) => {
    const {cert, key} = await api.client('grace')
    const [certText, keyText] = [await readFile(cert, 'utf8'), await readFile(key, 'utf8')]
    const data = {'client-certificate-data': base64(certText), 'client-key-data': base64(keyText)}
    expect((await ask(api, data))?.client).toBe('grace')
    const files = {'client-certificate': 'grace.crt', 'client-key': 'grace.key'}
    const authority = {'certificate-authority-data': null, 'certificate-authority': 'authority.crt'}
    expect((await ask(api, files, authority))?.client).toBe('grace')
  })
})

test('a server that the authority does not vouch for is refused, and taken where it says insecure', async () => {
  await withRecordingApi(async (api) => {
    const untrusting = {'certificate-authority-data': null}
    await expect(ask(api, {token: 't'}, untrusting)).rejects.toMatchObject({code: 'API_UNREACHABLE'})
    expect(api.arrived).toEqual([])
    const insecure = {...untrusting, 'insecure-skip-tls-verify': true}
    expect((await ask(api, {token: 't'}, insecure))?.headers.authorization).toBe('Bearer t')
  })
})

test('the name of tls-server-name is asked for and looked for', async () => {
  await withRecordingApi(async (api) => {
    expect((await ask(api, {token: 't'}, {'tls-server-name': 'other.test'}))?.sni).toBe('other.test')
    await expect(ask(api, {token: 't'}, {'tls-server-name': 'wrong.test'})).rejects.toThrow(/wrong\.test/)
  })
})

test('a path in the URL of the server stands before that of each call', async () => {
  await withRecordingApi(async (api) => {
    const server = `https://127.0.0.1:${api.port}/k8s/clusters/c-1/`
    expect((await ask(api, {token: 't'}, {server}))?.path).toBe('/k8s/clusters/c-1/api/v1/nodes')
    const files = [await written(api, {token: 't'}, {server})]
    const kube = await openForeignKube({files, environment, signal: signal()})
    await kube.list({apiVersion: 'v1', kind: 'Node'})
    // Of a kind that not every server has, the place is read first.
    await kube.list({apiVersion: 'v1', kind: 'Unheard'})
    kube.close()
    const paths = api.arrived.map(({path}) => path)
    expect(paths.slice(1)).toEqual(['/k8s/clusters/c-1/api/v1/nodes?limit=500', '/k8s/clusters/c-1/api/v1'])
  })
})

test('impersonation: user, UID, groups and extras', async () => {
  await withRecordingApi(async (api) => {
    const user = {
      ...{token: 't', as: 'jane', 'as-uid': '42', 'as-groups': ['dev', 'ops']},
      'as-user-extra': {'acme.com/scope': ['view', 'edit']},
    }
    const seen = await ask(api, user)
    expect(seen?.headers.authorization).toBe('Bearer t')
    expect(seen?.values).toMatchObject({
      'impersonate-user': ['jane'],
      'impersonate-uid': ['42'],
      'impersonate-group': ['dev', 'ops'],
      'impersonate-extra-acme.com%2fscope': ['view', 'edit'],
    })
  })
})

/** A token in the form of a web token; nobody checks its signature here. */
const jwt = (expiresS: number) =>
  [{alg: 'none'}, {exp: expiresS}, {}]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.')
const oidc = (token: string) => ({
  'auth-provider': {
    name: 'oidc',
    config: {'client-id': 'c', 'idp-issuer-url': 'https://idp.test', 'id-token': token},
  },
})
const nowS = () => Math.floor(Date.now() / 1000)

test('an OIDC token; one that kubectl has renewed meanwhile; none that has expired', async () => {
  await withRecordingApi(async (api) => {
    const [good, newer, old] = [jwt(nowS() + 600), jwt(nowS() + 1200), jwt(nowS() - 10)]
    expect((await ask(api, oidc(good)))?.headers.authorization).toBe(`Bearer ${good}`)

    const path = await written(api, oidc(old))
    const kube = await openForeignKube({files: [path], environment, signal: signal()})
    const refusal = await kube.fetch('/').catch((error: unknown) => error)
    expect(refusal).toMatchObject({
      code: 'API_LOGIN_FAILED',
      message: expect.stringMatching(/expired/) as string,
    })
    expect(JSON.stringify(refusal) + String(refusal)).not.toContain(old)
    expect(api.arrived).toHaveLength(1)
    await written(api, oidc(newer))
    await kube.fetch('/')
    kube.close()
    expect(api.arrived.at(-1)?.headers.authorization).toBe(`Bearer ${newer}`)
  })
})

test('the proxy of proxy-url, with its login, whatever NO_PROXY says', async () => {
  await withRecordingApi((api) =>
    withRecordingProxy(async (proxy) => {
      const server = `https://api.test:${api.port}`
      const cluster = {server, 'proxy-url': `http://me:p%40ss@127.0.0.1:${proxy.port}`}
      const seen = await ask(api, {token: 't'}, cluster, {environment: {NO_PROXY: '*'}})
      expect(seen?.sni).toBe('api.test')
      expect(seen?.headers.authorization).toBe('Bearer t')
      // What is for the server is not told to the proxy, nor the other way round.
      expect(seen?.headers['proxy-authorization']).toBeUndefined()
      expect(proxy.tunnels).toEqual([
        {authority: `api.test:${api.port}`, login: `Basic ${base64('me:p@ss')}`},
      ])
    }),
  )
})

test('the proxy of HTTPS_PROXY, but for what NO_PROXY excludes and for the loopback', async () => {
  await withRecordingApi((api) =>
    withRecordingProxy(async (proxy) => {
      const named = {server: `https://api.test:${api.port}`}
      const through = {HTTPS_PROXY: `http://127.0.0.1:${proxy.port}`}
      const seen = await ask(api, {token: 't'}, named, {environment: {...through, NO_PROXY: 'else.test'}})
      expect(seen?.path).toBe('/api/v1/nodes')
      expect(proxy.tunnels).toHaveLength(1)
      await ask(api, {token: 't'}, {}, {environment: through})
      expect(api.arrived).toHaveLength(2)
      // Nobody else knows that name.
      const excluded = ask(api, {token: 't'}, named, {environment: {...through, NO_PROXY: '.test'}})
      await expect(excluded).rejects.toMatchObject({code: 'API_UNREACHABLE'})
      expect(proxy.tunnels).toHaveLength(1)
    }),
  )
})

test('many calls go through one tunnel, and watches through others', async () => {
  await withRecordingApi((api) =>
    withRecordingProxy(async (proxy) => {
      const cluster = {server: `https://api.test:${api.port}`, 'proxy-url': `http://127.0.0.1:${proxy.port}`}
      const files = [await written(api, {token: 't'}, cluster)]
      const kube = await openForeignKube({files, environment, signal: signal()})
      for (let count = 0; count < 5; count += 1) await kube.fetch('/')
      expect(api.arrived).toHaveLength(5)
      expect(proxy.tunnels).toHaveLength(1)
      const enough = new AbortController()
      const watched = kube.watch({apiVersion: 'v1', kind: 'Node'}, () => undefined, enough.signal)
      await expect.poll(() => api.arrived.some(({path}) => path.includes('watch='))).toBe(true)
      enough.abort()
      await watched.catch(() => undefined)
      kube.close()
      expect(api.arrived.every(({headers}) => headers.authorization === 'Bearer t')).toBe(true)
      expect(proxy.tunnels.length).toBeGreaterThan(1)
    }),
  )
})

test('a proxy that is spoken to by HTTPS, with a certificate of the same authority', async () => {
  await withRecordingApi(async (api) => {
    const [cert, key] = [join(api.folder, 'server.crt'), join(api.folder, 'server.key')]
    const tls = {cert: await readFile(cert), key: await readFile(key)}
    await withRecordingProxy(async (proxy) => {
      const cluster = {server: `https://api.test:${api.port}`, 'proxy-url': `https://127.0.0.1:${proxy.port}`}
      expect((await ask(api, {token: 't'}, cluster))?.headers.authorization).toBe('Bearer t')
      expect(proxy.tunnels).toHaveLength(1)
    }, tls)
  })
})

test('a proxy that refuses is named, without its login', async () => {
  await withRecordingApi((api) =>
    withRecordingProxy(async (proxy) => {
      proxy.status = 407
      const url = `http://me:hidden@127.0.0.1:${proxy.port}`
      const refused = ask(api, {token: 't'}, {'proxy-url': url})
      await expect(refused).rejects.toThrow(/proxy http:\/\/127\.0\.0\.1:\d+ responded 407/)
      await expect(refused).rejects.not.toThrow(/hidden/)
    }),
  )
})

test('of several files the first that has an entry counts, absent ones are skipped', async () => {
  await withRecordingApi(async (api) => {
    const at = (name: string) => join(api.folder, name)
    const users = (token: string) => [{name: 'u', user: {token}}]
    await writeFile(at('one'), stringify({users: users('first'), 'current-context': 'x'}))
    await writeFile(
      at('two'),
      stringify({...documentFor(api, {token: 'second'}), 'current-context': 'other'}),
    )
    const files = [at('absent'), at('one'), at('two')]
    const seen = await asks(api, {files, environment, signal: signal()})
    expect(seen?.headers.authorization).toBe('Bearer first')
    const other = openForeignKube({files, context: 'z', environment, signal: signal()})
    await expect(other).rejects.toMatchObject({
      code: 'CONTEXT_UNKNOWN',
      message: 'the kubeconfig has no context z; its contexts: x',
    })
  })
})

test('a text is enough, and reaches no program and no file of this machine', async () => {
  await withRecordingApi(async (api) => {
    const of = (user: Body) => ({text: stringify(documentFor(api, user)), environment, signal: signal()})
    expect((await asks(api, of({token: 't'})))?.headers.authorization).toBe('Bearer t')
    const exec = {apiVersion: 'client.authentication.k8s.io/v1', command: 'sh'}
    for (const user of [{exec}, {tokenFile: '/etc/hostname'}])
      await expect(openForeignKube(of(user))).rejects.toMatchObject({code: 'KUBECONFIG_UNSUPPORTED'})
    expect(api.arrived).toHaveLength(1)
  })
})

const REFUSED: readonly (readonly [string, Body, Body, RegExp])[] = [
  ['an auth provider that nobody has any more', {'auth-provider': {name: 'gcp'}}, {}, /auth provider gcp/],
  ['two credentials', {token: 't', username: 'ada'}, {}, /several credentials: token, username/],
  ['a server without TLS', {token: 't'}, {server: 'http://127.0.0.1:1'}, /http, not https/],
  ['a login in the URL', {}, {server: 'https://a:secret@127.0.0.1:1'}, /more than host, port and path/],
  ['a proxy that is none of HTTP', {}, {'proxy-url': 'socks5://127.0.0.1:1'}, /protocol socks5/],
  [
    'an authority that would not be asked',
    {},
    {'insecure-skip-tls-verify': true},
    /certificate-authority and/,
  ],
  ['groups without a user', {'as-groups': ['a']}, {}, /without a user/],
  ['half a certificate', {'client-key-data': base64('secret')}, {}, /key without a certificate/],
]

for (const [what, user, cluster, words] of REFUSED) {
  test(`refused, not left out: ${what}`, async () => {
    const text = stringify(documentFor({port: 1, ca: 'nobody'}, user, cluster))
    const opened = openForeignKube({text, environment, signal: signal()})
    await expect(opened).rejects.toMatchObject({
      code: 'KUBECONFIG_UNSUPPORTED',
      message: expect.stringMatching(words) as string,
    })
    await expect(opened).rejects.not.toThrow(/secret/)
  })
}
