import {readFile, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {stringify} from 'yaml'
import {ClouderError} from '../../../src/base/errors.ts'
import {openForeignKube} from '../../../src/kubernetes/foreign.ts'
import type {KubeClient} from '../../../src/kubernetes/types.ts'
import {freePort} from '../../support/free-port.ts'
import {withRecordingApi, withRecordingProxy, type RecordingApi} from '../../support/recording-api.ts'
import {ISSUER_NAMES, withRecordingIssuer, type RecordingIssuer} from '../../support/recording-issuer.ts'

type Config = Readonly<Record<string, string | undefined>>

const base64 = (text: string) => Buffer.from(text).toString('base64')
const nowS = () => Math.floor(Date.now() / 1000)
const CLIENT_ID = 'my client'
const SECRET = 'the+client/secret'
const REFRESH = 'refresh-token-of-the-kubeconfig'

/** A token of that issuer which nobody has signed: only the API server would look. `mark` tells one from another. */
function idToken(
  issuer: Pick<RecordingIssuer, 'port' | 'path'>,
  expiresS: number,
  mark = '',
  host = 'localhost',
) {
  const claims = {
    iss: `https://${host}:${issuer.port}${issuer.path}`,
    aud: CLIENT_ID,
    sub: 'ada',
    iat: nowS(),
    mark,
  }
  return [{alg: 'RS256'}, {...claims, exp: expiresS}, {}]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.')
}
const tokens = (token: string, more: object = {}) => ({
  status: 200,
  body: {access_token: 'access', token_type: 'Bearer', id_token: token, ...more},
})

interface Scene {
  readonly api: RecordingApi
  readonly issuer: RecordingIssuer
  readonly expired: string
  /** Writes a kubeconfig, by default with a token that has expired; gives its path. */
  readonly write: (config?: Config) => Promise<string>
  readonly open: (
    config?: Config,
    more?: {
      readonly environment?: Record<string, string>
      readonly loginTimeoutMs?: number
      readonly signal?: AbortSignal
    },
  ) => Promise<KubeClient>
  /** The tokens that the API server was sent. */
  readonly sent: () => readonly (string | undefined)[]
}

const withIssuer = (use: (scene: Scene) => Promise<void>): Promise<void> =>
  withRecordingApi((api) =>
    withRecordingIssuer(async (issuer) => {
      const expired = idToken(issuer, nowS() - 60, 'expired')
      const path = join(api.folder, 'config')
      const write = async (config: Config = {}): Promise<string> => {
        const all: Config = {
          'idp-issuer-url': `https://localhost:${issuer.port}`,
          'idp-certificate-authority-data': base64(issuer.ca),
          'client-id': CLIENT_ID,
          'client-secret': SECRET,
          'id-token': expired,
          'refresh-token': REFRESH,
          ...config,
        }
        const set = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
        const cluster = {
          server: `https://127.0.0.1:${api.port}`,
          'certificate-authority-data': base64(api.ca),
        }
        const document = {
          clusters: [{name: 'c', cluster}],
          users: [{name: 'u', user: {'auth-provider': {name: 'oidc', config: set}}}],
          contexts: [{name: 'x', context: {cluster: 'c', user: 'u'}}],
          'current-context': 'x',
        }
        await writeFile(path, stringify(document))
        return path
      }
      await use({
        ...{api, issuer, expired, write},
        open: async (config, more = {}) =>
          openForeignKube({
            ...{files: [await write(config)], environment: {}, signal: new AbortController().signal},
            ...more,
          }),
        sent: () => api.arrived.map(({headers}) => headers.authorization?.replace(/^Bearer /, '')),
      })
    }),
  )

/** What a call fails with; the error and what it holds quote no secret. */
async function failureOf(kube: KubeClient, secrets: readonly string[]): Promise<ClouderError> {
  const error: unknown = await kube.fetch('/').catch((thrown: unknown) => thrown)
  kube.close()
  if (!(error instanceof ClouderError)) throw new Error('the call did not fail', {cause: error})
  const all = [error.message, String(error.cause), JSON.stringify(error), ...error.suggestions].join('\n')
  for (const secret of secrets) {
    expect(all).not.toContain(secret)
    expect(all).not.toContain(encodeURIComponent(secret))
    expect(all).not.toContain(base64(secret))
  }
  expect(error.code).toBe('API_LOGIN_FAILED')
  expect(error.suggestions).toEqual(['kubectl --context x auth whoami'])
  return error
}

test('a token that is valid is used as it is, and the issuer is not asked', async () => {
  await withIssuer(async ({issuer, open, sent}) => {
    const valid = idToken(issuer, nowS() + 600)
    const kube = await open({'id-token': valid})
    await kube.fetch('/')
    kube.close()
    expect(sent()).toEqual([valid])
    expect(issuer.paths).toEqual([])
  })
})

test('one that has expired is renewed once, by several calls too, and the kubeconfig stays as it was', async () => {
  await withIssuer(async ({issuer, open, sent, write}) => {
    const renewed = idToken(issuer, nowS() + 600, 'renewed')
    issuer.answer = () => tokens(renewed)
    const kube = await open()
    const before = await readFile(await write(), 'utf8')
    await Promise.all([kube.fetch('/'), kube.fetch('/'), kube.fetch('/')])
    await kube.fetch('/')
    kube.close()
    expect(sent()).toEqual([renewed, renewed, renewed, renewed])
    expect(issuer.paths).toEqual(['/.well-known/openid-configuration', '/token'])
    expect(issuer.requests).toEqual([
      {
        // Each part in the form of a form, as RFC 6749 has it.
        authorization: `Basic ${base64('my+client:the%2Bclient%2Fsecret')}`,
        form: {grant_type: 'refresh_token', refresh_token: REFRESH},
      },
    ])
    expect(await readFile(await write(), 'utf8')).toBe(before)
  })
})

test('a refresh token that came with the answer is the next one; one that came into the kubeconfig is newer', async () => {
  await withIssuer(async ({issuer, open, write}) => {
    let count = 0
    // Over at once, so that each call needs another.
    issuer.answer = () =>
      tokens(idToken(issuer, nowS() - 1, String(count)), {refresh_token: `next-${++count}`})
    const kube = await open()
    await kube.fetch('/')
    await kube.fetch('/')
    await write({'refresh-token': 'of-kubectl'})
    await kube.fetch('/')
    await kube.fetch('/')
    kube.close()
    const used = issuer.requests.map(({form}) => form.refresh_token)
    expect(used).toEqual([REFRESH, 'next-1', 'of-kubectl', 'next-3'])
  })
})

test('an issuer that does not accept the client in the header gets it in the body', async () => {
  await withIssuer(async ({issuer, open, sent}) => {
    const renewed = idToken(issuer, nowS() + 600, 'renewed')
    issuer.answer = ({authorization}) =>
      authorization === undefined ? tokens(renewed) : {status: 401, body: {error: 'invalid_client'}}
    const kube = await open()
    await kube.fetch('/')
    kube.close()
    expect(sent()).toEqual([renewed])
    expect(issuer.requests[1]).toEqual({
      authorization: undefined,
      form: {
        ...{grant_type: 'refresh_token', refresh_token: REFRESH},
        ...{client_id: CLIENT_ID, client_secret: SECRET},
      },
    })
  })
})

test('a client without a secret gives its name alone', async () => {
  await withIssuer(async ({issuer, open}) => {
    issuer.answer = () => tokens(idToken(issuer, nowS() + 600))
    const kube = await open({'client-secret': undefined})
    await kube.fetch('/')
    kube.close()
    const form = {grant_type: 'refresh_token', refresh_token: REFRESH, client_id: CLIENT_ID}
    expect(issuer.requests).toEqual([{authorization: undefined, form}])
  })
})

test('a refusal is reported without secrets, also where the issuer repeats them', async () => {
  await withIssuer(async ({issuer, open, expired, api}) => {
    issuer.answer = () => ({
      status: 400,
      body: {error: 'invalid_grant', error_description: `${REFRESH} of ${SECRET} is over, as is ${expired}`},
    })
    const {message} = await failureOf(await open(), [SECRET, REFRESH, expired])
    expect(message).toContain(
      `its OIDC token has expired, and the issuer https://localhost:${issuer.port} did not renew it: 400 invalid_grant: [redacted] of [redacted]`,
    )
    // It is not the way in which the client was named: another would change nothing.
    expect(issuer.requests).toHaveLength(1)
    expect(api.arrived).toEqual([])
  })
})

test.for<[string, Config, RegExp]>([
  ['no refresh token', {'refresh-token': undefined}, /has expired, and it has no refresh-token/],
  ['no client', {'client-id': ''}, /no client-id/],
  ['an issuer without TLS', {'idp-issuer-url': 'http://localhost:1'}, /not an https URL/],
  ['an authority that does not exist', {'idp-certificate-authority': '/nowhere/ca.crt'}, /ENOENT.*nowhere/],
])('%s is reported', async ([, config, words]) => {
  await withIssuer(async ({issuer, open}) => {
    const data = {'idp-certificate-authority-data': undefined}
    const {message} = await failureOf(await open({...data, ...config}), [SECRET, REFRESH])
    expect(message).toMatch(words)
    expect(issuer.paths).toEqual([])
  })
})

// kubectl does not compare them: https://github.com/kubernetes/client-go/blob/v0.35.0/plugin/pkg/client/auth/oidc/oidc.go
test.for<readonly [string, string]>([
  ['/realms/one/', '/realms/one'],
  ['/realms/one', '/realms/one/'],
])('an issuer %s that calls itself %s is the same one', async ([written, own]) => {
  await withIssuer(async ({issuer, open, sent}) => {
    issuer.path = own
    const renewed = idToken(issuer, nowS() + 600, 'renewed')
    issuer.answer = () => tokens(renewed)
    const kube = await open({'idp-issuer-url': `https://localhost:${issuer.port}${written}`})
    await kube.fetch('/')
    kube.close()
    expect(sent()).toEqual([renewed])
    expect(new Set(issuer.paths)).toEqual(new Set(['/realms/one/.well-known/openid-configuration', '/token']))
  })
})

test('an issuer that calls itself by another name gets no secret', async () => {
  await withIssuer(async ({issuer, open, expired}) => {
    issuer.path = '/realms/two'
    const kube = await open({'idp-issuer-url': `https://localhost:${issuer.port}/realms/one/`})
    const {message} = await failureOf(kube, [SECRET, REFRESH, expired])
    expect(message).toMatch(/realms\/one did not renew it: discovered metadata issuer does not match/)
    expect(issuer.requests).toEqual([])
  })
})

test('an issuer that is away', async () => {
  const port = await freePort()
  await withIssuer(async ({open, expired}) => {
    const kube = await open({'idp-issuer-url': `https://127.0.0.1:${port}/realms/one`})
    const {message} = await failureOf(kube, [SECRET, REFRESH, expired])
    expect(message).toMatch(
      /the issuer https:\/\/127\.0\.0\.1:\d+\/realms\/one did not renew it: .*ECONNREFUSED/,
    )
  })
})

test('an issuer whose certificate is from another authority gets no secret', async () => {
  await withIssuer(async ({api, issuer, open, expired}) => {
    for (const data of [base64(api.ca), undefined]) {
      const kube = await open({'idp-certificate-authority-data': data})
      const {message} = await failureOf(kube, [SECRET, REFRESH, expired])
      expect(message).toMatch(/certificate/)
    }
    expect(issuer.paths).toEqual([])
  })
})

test('its authority as a file', async () => {
  await withIssuer(async ({issuer, open, sent}) => {
    const renewed = idToken(issuer, nowS() + 600)
    issuer.answer = () => tokens(renewed)
    const file = {'idp-certificate-authority-data': undefined, 'idp-certificate-authority': issuer.caFile}
    const kube = await open(file)
    await kube.fetch('/')
    kube.close()
    expect(sent()).toEqual([renewed])
  })
})

test('through the proxy of HTTPS_PROXY, but for what NO_PROXY excludes', async () => {
  await withIssuer(({issuer, open, sent}) =>
    withRecordingProxy(async (proxy) => {
      const [, host] = ISSUER_NAMES
      const renewed = idToken(issuer, nowS() + 600, 'renewed', host)
      issuer.answer = () => tokens(renewed)
      const config = {'idp-issuer-url': `https://${host}:${issuer.port}`}
      const environment = {HTTPS_PROXY: `http://127.0.0.1:${proxy.port}`}
      const kube = await open(config, {environment})
      await kube.fetch('/')
      kube.close()
      expect(sent()).toEqual([renewed])
      const authority = `${host}:${issuer.port}`
      expect(proxy.tunnels.map((tunnel) => tunnel.authority)).toEqual([authority, authority])
      // Nobody else knows that name.
      await failureOf(await open(config, {environment: {...environment, NO_PROXY: '.test'}}), [SECRET])
      expect(proxy.tunnels).toHaveLength(2)
    }),
  )
})

test('a token that the API server refuses is renewed once, before it has expired', async () => {
  await withIssuer(async ({api, issuer, open, sent}) => {
    const valid = idToken(issuer, nowS() + 600, 'of the kubeconfig')
    const renewed = idToken(issuer, nowS() + 600, 'renewed')
    issuer.answer = () => tokens(renewed)
    api.refuse = ({headers}) => headers.authorization === `Bearer ${valid}`
    const kube = await open({'id-token': valid})
    expect((await kube.fetch('/')).status).toBe(200)
    expect(sent()).toEqual([valid, renewed])
    // What it has just issued is refused as well: another one would be too.
    api.refuse = () => true
    expect((await kube.fetch('/')).status).toBe(401)
    expect((await kube.fetch('/')).status).toBe(401)
    kube.close()
    expect(issuer.requests).toHaveLength(1)
  })
})

test('without a refresh token a refusal is the answer', async () => {
  await withIssuer(async ({api, issuer, open}) => {
    api.refuse = () => true
    const kube = await open({'id-token': idToken(issuer, nowS() + 600), 'refresh-token': undefined})
    expect((await kube.fetch('/')).status).toBe(401)
    kube.close()
    expect(issuer.paths).toEqual([])
  })
})

test('an issuer that does not respond is given up, after a time or with the client', async () => {
  await withIssuer(async ({issuer, open}) => {
    issuer.answer = () => undefined
    const {message} = await failureOf(await open({}, {loginTimeoutMs: 300}), [SECRET, REFRESH])
    expect(message).toMatch(/did not respond within 0\.3 s/)
    const ended = new AbortController()
    const kube = await open({}, {signal: ended.signal})
    const call = kube.fetch('/')
    await expect.poll(() => issuer.requests.length).toBe(2)
    ended.abort(new Error('enough'))
    await expect(call).rejects.toThrow('enough')
    kube.close()
  })
})

test.for<[string, number, string | object, RegExp]>([
  ['more than anybody reads', 200, `"${'x'.repeat(2 << 20)}"`, /more than 1 MiB/],
  ['what is no JSON', 200, 'eyJhbGciOi', /did not renew it/],
  ['no token of this kind', 200, {access_token: 'a', token_type: 'Bearer'}, /without an id_token/],
  ['an error of a proxy in front', 502, 'Bad Gateway', /status code 502/],
])('an answer with %s is reported', async ([, status, body, words]) => {
  await withIssuer(async ({issuer, open}) => {
    issuer.answer = () => ({status, body})
    expect((await failureOf(await open(), [SECRET, REFRESH, 'eyJhbGciOi'])).message).toMatch(words)
  })
})
