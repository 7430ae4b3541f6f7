import {spawn} from 'node:child_process'
import {chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {afterAll, expect, test, type TestContext} from 'vitest'
import {z} from 'zod'
import {checkpointAdmission} from '../../../src/platform/addons/checkpoint/admission.ts'
import {API_VERSION, HOST_TOKEN_SECONDS, SYSTEM_NAMESPACE} from '../../../src/api/names.ts'
import {KubernetesError} from '../../../src/kubernetes/errors.ts'
import {kubeClient} from '../../../src/kubernetes/client.ts'
import {currentCredentials} from '../../../src/kubernetes/kubeconfig.ts'
import {openTransport} from '../../../src/kubernetes/transport.ts'
import type {HttpAnswer, KubeClient} from '../../../src/kubernetes/types.ts'
import {createRenderer} from '../../../src/bootstrap/templating/render.ts'
import {waitFor} from '../../../src/base/waiting.ts'
import {registerHost, removeHost} from '../../../src/workflows/runtime/byoc.ts'
import {needBundle, serveCheckpoints, startApiServer, type ApiServer} from '../../support/with-api-server.ts'

const {signal} = new AbortController()
const dirs: string[] = []
let started: Promise<ApiServer> | undefined
afterAll(async () => {
  await (await started)?.[Symbol.asyncDispose]()
  for (const dir of dirs) await rm(dir, {recursive: true, force: true})
})

/** One real API server for this file. */
async function apiServer(context: TestContext): Promise<ApiServer> {
  const bundle = await needBundle(context)
  return (started ??= (async () => {
    const api = await startApiServer(bundle)
    await serveCheckpoints(api.kube)
    await api.kube.apply([
      ...checkpointAdmission(),
      {apiVersion: 'v1', kind: 'Namespace', metadata: {name: SYSTEM_NAMESPACE}},
      {apiVersion: 'v1', kind: 'ServiceAccount', metadata: {name: 'other', namespace: SYSTEM_NAMESPACE}},
      // A controller that is not here would write it.
      {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: {name: 'kube-root-ca.crt', namespace: SYSTEM_NAMESPACE},
        data: {'ca.crt': currentCredentials(api.kubeconfig).ca},
      },
    ])
    return api
  })())
}

/** Registers a host as the command does; the API server's certificate is for the name `kubernetes`. */
async function registered(api: ApiServer, name: string) {
  const {kube, port} = api
  const secrets: string[] = []
  const {script = ''} = await registerHost(
    kube,
    {name, capabilities: {}, slots: 1, endpoint: `kubernetes:${port}`},
    {
      renderer: createRenderer(join(import.meta.dirname, '../../../templates')),
      hideSecret: (value) => void secrets.push(value),
      signal,
    },
  )
  const token = secrets.at(-1) ?? ''
  await followed(api, name, token)
  return {script, token}
}

/** Roles take a moment until the API server follows them; waits for those of a host that is registered. */
async function followed(api: ApiServer, name: string, token: string): Promise<void> {
  const kube = as(api, token)
  await waitFor({
    what: `the roles of host ${name}`,
    check: async () => {
      const {status} = await askToken(kube, `container-host-${name}`)
      const seen = `${await beat(kube, name)} ${status}`
      return {seen, ...(seen === 'ok 201' ? {value: true} : {})}
    },
    timeoutMs: 30_000,
    intervalMs: 100,
    signal,
  })
  kube.close()
  // As if it had never been heard.
  await api.kube.patch(host(name), {status: {lastHeartbeatTime: null}}, {subresource: 'status'})
}

function as({kubeconfig, port}: ApiServer, token: string): KubeClient {
  const {ca} = currentCredentials(kubeconfig)
  const identity = () => Promise.resolve({headers: {authorization: `Bearer ${token}`}})
  return kubeClient(openTransport({host: '127.0.0.1', port, ca, identity}, signal))
}

function askToken(
  kube: KubeClient,
  account: string,
  seconds = HOST_TOKEN_SECONDS,
  namespace = SYSTEM_NAMESPACE,
): Promise<HttpAnswer> {
  const request = {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: {expirationSeconds: seconds},
  }
  return kube.post(
    `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`,
    JSON.stringify(request),
  )
}

const tokenSchema = z.looseObject({status: z.looseObject({token: z.string()})})
const tokenIn = ({status, body}: HttpAnswer): string => {
  expect(status, body).toBe(201)
  return tokenSchema.parse(JSON.parse(body)).status.token
}
const claimsSchema = z.looseObject({iat: z.number(), exp: z.number()})
const claimsOf = (token: string) =>
  claimsSchema.parse(JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()))

const host = (name: string) => ({apiVersion: API_VERSION, kind: 'ContainerHost', name}) as const
/** Status of the answer to a heartbeat. */
async function beat(kube: KubeClient, name: string): Promise<string> {
  try {
    await kube.patch(
      host(name),
      {status: {lastHeartbeatTime: new Date().toISOString()}},
      {subresource: 'status'},
    )
    return 'ok'
  } catch (error) {
    if (error instanceof KubernetesError) return error.code
    throw error
  }
}

/** The API server remembers for some seconds that a token was good. */
const refused = (kube: KubeClient, account: string): Promise<unknown> =>
  waitFor({
    what: 'the token to be refused',
    check: async () => {
      const {status} = await askToken(kube, account)
      return {seen: String(status), ...(status === 401 ? {value: true} : {})}
    },
    timeoutMs: 60_000,
    intervalMs: 200,
    signal,
  })

test('the token of a host lasts a day, renews itself, and reaches nothing of another host', async (context) => {
  const api = await apiServer(context)
  const [{token}] = [await registered(api, 'one'), await registered(api, 'two')]
  const {iat, exp} = claimsOf(token)
  expect(exp - iat).toBe(24 * 3600)
  using connections = new DisposableStack()
  const open = (text: string): KubeClient => connections.adopt(as(api, text), (kube) => kube.close())
  const renewed = open(tokenIn(await askToken(open(token), 'container-host-one')))
  for (const kube of [open(token), renewed]) {
    expect(await beat(kube, 'one')).toBe('ok')
    expect(await beat(kube, 'two')).toBe('API_REJECTED')
    for (const [account, namespace] of [
      ['container-host-two', SYSTEM_NAMESPACE],
      ['other', SYSTEM_NAMESPACE],
      ['container-host-one', 'default'],
    ] as const)
      expect((await askToken(kube, account, 600, namespace)).status, account).toBe(403)
    const account = `/api/v1/namespaces/${SYSTEM_NAMESPACE}/serviceaccounts/container-host-one`
    expect((await kube.fetch(account)).status).toBe(403)
  }
  // A policy takes a moment until it is followed.
  await waitFor({
    what: 'a longer life to be refused',
    check: async () => {
      const {status} = await askToken(renewed, 'container-host-one', HOST_TOKEN_SECONDS + 1)
      return {seen: String(status), ...(status === 201 ? {} : {value: status})}
    },
    timeoutMs: 30_000,
    intervalMs: 200,
    signal,
  })
  const long = await askToken(renewed, 'container-host-one', 365 * 24 * 3600)
  expect([long.status, long.body]).toEqual([422, expect.stringContaining('86400 s at most')])
  expect((await askToken(renewed, 'container-host-one')).status).toBe(201)
})

test('tokens of a host end when it is removed, and when it is registered again, however long they were to last', async (context) => {
  const api = await apiServer(context)
  const again = async (name: string) => {
    const {token} = await registered(api, name)
    // As registrations had them before tokens were renewed.
    const long = as(api, tokenIn(await askToken(api.kube, `container-host-${name}`, 365 * 24 * 3600)))
    const first = as(api, token)
    for (const kube of [long, first]) expect(await beat(kube, name)).toBe('ok')
    return {former: [long, first], current: as(api, (await registered(api, name)).token)}
  }
  const [three, five] = [await again('three'), await again('five')]
  await removeHost(api.kube, 'five')
  // What the API server remembers of tokens that were good it forgets of all at the same time.
  await Promise.all([
    ...three.former.map((kube) => refused(kube, 'container-host-three')),
    ...[...five.former, five.current].map((kube) => refused(kube, 'container-host-five')),
  ])
  expect(await beat(three.current, 'three')).toBe('ok')
  for (const {former, current} of [three, five]) for (const kube of [...former, current]) kube.close()
})

/** Runs a script, with an hour that is not now, until its folder or what it says is as wanted. */
async function running(api: ApiServer, dir: string, hours = 0) {
  const bin = join(dir, 'bin')
  await mkdir(bin, {recursive: true})
  await writeFile(
    join(bin, 'date'),
    `#!/bin/sh\ncase $* in +%s) echo $(($(/bin/date +%s) + ${hours * 3600}));; *) exec /bin/date "$@";; esac\n`,
  )
  await writeFile(join(bin, 'sleep'), '#!/bin/sh\nexec /bin/sleep 0.2\n')
  for (const name of ['date', 'sleep']) await chmod(join(bin, name), 0o755)
  await writeFile(join(dir, '.curlrc'), `resolve = "kubernetes:${api.port}:127.0.0.1"\n`)
  const env = {PATH: `${bin}:/usr/bin:/bin`, HOME: dir, TMPDIR: dir}
  const child = spawn('/bin/sh', [join(dir, 'host.sh')], {env, stdio: ['ignore', 'ignore', 'pipe']})
  const ended = new Promise((resolve) => child.once('close', resolve))
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => void (stderr += text))
  return {
    until: (what: string, holds: () => Promise<boolean>) =>
      waitFor({
        what,
        check: async () => ({seen: stderr, ...((await holds()) ? {value: true} : {})}),
        timeoutMs: 60_000,
        intervalMs: 100,
        signal,
      }),
    said: () => stderr,
    stop: async () => {
      child.kill()
      await ended
    },
  }
}

test('a heartbeat renews its token, goes on with it after a restart, and says what to run once the host is removed', async (context) => {
  const api = await apiServer(context)
  const dir = await mkdtemp(join(tmpdir(), 'clouder-host-'))
  dirs.push(dir)
  const {script, token} = await registered(api, 'four')
  await writeFile(join(dir, 'host.sh'), script)
  const file = join(dir, 'host.sh.token')
  const kept = async (): Promise<string> => (await readFile(file, 'utf8')).trim().split(' ').at(-1) ?? ''
  const heard = async (): Promise<string | undefined> =>
    z
      .looseObject({status: z.looseObject({lastHeartbeatTime: z.string().optional()}).optional()})
      .parse(await api.kube.get(host('four'))).status?.lastHeartbeatTime
  // Half a day later, seen from the host.
  const later = await running(api, dir, 13)
  await later.until('a renewed token', async () => {
    const {exp} = claimsOf((await heard()) === undefined ? token : await kept())
    return exp > claimsOf(token).exp
  })
  await later.stop()
  expect(later.said()).toBe('')
  expect((await stat(file)).mode & 0o777).toBe(0o600)
  expect((await readdir(dir)).toSorted()).toEqual(['.curlrc', 'bin', 'host.sh', 'host.sh.token'])
  const renewed = await kept()
  const before = await heard()
  const again = await running(api, dir)
  await again.until('a heartbeat', async () => (await heard()) !== before)
  expect(await kept()).toBe(renewed)
  await removeHost(api.kube, 'four')
  await again.until('what to run', () => Promise.resolve(again.said().includes('clouder byoc register four')))
  await again.stop()
})
