import {readFile, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {stringify} from 'yaml'
import {openForeignKube, type ForeignKubeOptions} from '../../../src/kubernetes/foreign.ts'
import {systemCode} from '../../../src/base/system-errors.ts'
import type {KubeClient} from '../../../src/kubernetes/types.ts'
import {withRecordingApi, type RecordingApi} from '../../support/recording-api.ts'

const API_VERSION = 'client.authentication.k8s.io/v1'

interface Plugin {
  /** A program of sh; `$COUNT` is how often it has run, `$DIR` its folder. */
  readonly script: string
  readonly exec?: Readonly<Record<string, unknown>>
  readonly cluster?: Readonly<Record<string, unknown>>
  readonly options?: Partial<Omit<ForeignKubeOptions, 'files' | 'text'>>
}

async function openWith(api: RecordingApi, plugin: Plugin): Promise<KubeClient> {
  const at = (name: string) => join(api.folder, name)
  const counted = `DIR=${api.folder}; echo >> $DIR/runs; COUNT=$(wc -l < $DIR/runs)`
  await writeFile(at('plugin'), `#!/bin/sh\n${counted}\n${plugin.script}\n`, {mode: 0o755})
  const exec = {apiVersion: API_VERSION, command: './plugin', interactiveMode: 'Never', ...plugin.exec}
  const trusted = {server: `https://127.0.0.1:${api.port}`, 'certificate-authority': api.caFile}
  await writeFile(
    at('config'),
    stringify({
      clusters: [{name: 'c', cluster: {...trusted, ...plugin.cluster}}],
      users: [{name: 'u', user: {exec}}],
      contexts: [{name: 'x', context: {cluster: 'c', user: 'u'}}],
      'current-context': 'x',
    }),
  )
  return openForeignKube({
    files: [at('config')],
    environment: {PATH: process.env.PATH},
    signal: new AbortController().signal,
    ...plugin.options,
  })
}

const prints = (status: string) =>
  `printf '{"kind":"ExecCredential","apiVersion":"${API_VERSION}","status":${status}}'`
const COUNTED = `printf '{"kind":"ExecCredential","apiVersion":"${API_VERSION}","status":{"token":"t%s"}}' $COUNT`

/** What a call fails with. */
async function failureOf(api: RecordingApi, plugin: Plugin): Promise<{code: string; message: string}> {
  const kube = await openWith(api, plugin)
  const failure = await kube.fetch('/').catch((error: unknown) => error)
  kube.close()
  expect(api.arrived).toEqual([])
  return failure as {code: string; message: string}
}

const runsOf = async ({folder}: RecordingApi) => (await readFile(join(folder, 'runs'), 'utf8')).length

test('the token that a plugin prints, asked for once for many calls', async () => {
  await withRecordingApi(async (api) => {
    const kube = await openWith(api, {script: COUNTED})
    await Promise.all(Array.from({length: 5}, () => kube.fetch('/')))
    await kube.fetch('/')
    kube.close()
    expect(new Set(api.arrived.map(({headers}) => headers.authorization))).toEqual(new Set(['Bearer t1']))
    expect(await runsOf(api)).toBe(1)
  })
})

test('a plugin is told of the cluster, has the environment that was given and variables of its own', async () => {
  await withRecordingApi(async (api) => {
    const script = `printf '%s' "$KUBERNETES_EXEC_INFO" > $DIR/info; echo "$1 $OWN $GIVEN $HOME" > $DIR/said; ${COUNTED}`
    const extension = {name: 'client.authentication.k8s.io/exec', extension: {audience: 'a'}}
    const kube = await openWith(api, {
      script,
      exec: {args: ['word'], env: [{name: 'OWN', value: 'own'}], provideClusterInfo: true},
      cluster: {
        'tls-server-name': 'other.test',
        extensions: [extension],
      },
      options: {environment: {PATH: process.env.PATH, GIVEN: 'given'}},
    })
    await kube.fetch('/')
    kube.close()
    expect(await readFile(join(api.folder, 'said'), 'utf8')).toBe('word own given \n')
    expect(JSON.parse(await readFile(join(api.folder, 'info'), 'utf8'))).toEqual({
      kind: 'ExecCredential',
      apiVersion: API_VERSION,
      spec: {
        interactive: false,
        cluster: {
          server: `https://127.0.0.1:${api.port}`,
          'tls-server-name': 'other.test',
          'certificate-authority-data': Buffer.from(api.ca).toString('base64'),
          config: {audience: 'a'},
        },
      },
    })
  })
})

test('without provideClusterInfo it is told nothing of the cluster', async () => {
  await withRecordingApi(async (api) => {
    const kube = await openWith(api, {script: `printf '%s' "$KUBERNETES_EXEC_INFO" > $DIR/info; ${COUNTED}`})
    await kube.fetch('/')
    kube.close()
    expect(JSON.parse(await readFile(join(api.folder, 'info'), 'utf8'))).toEqual({
      ...{kind: 'ExecCredential', apiVersion: API_VERSION},
      spec: {interactive: false},
    })
  })
})

test('a token that has expired is not sent, one that the server refuses is replaced once', async () => {
  await withRecordingApi(async (api) => {
    const script = `[ $COUNT = 1 ] && E=,\\"expirationTimestamp\\":\\"2020-01-01T00:00:00Z\\"; printf '{"kind":"ExecCredential","apiVersion":"${API_VERSION}","status":{"token":"t%s"%s}}' $COUNT $E`
    const kube = await openWith(api, {script})
    await kube.fetch('/one')
    await kube.fetch('/two')
    api.refuse = ({headers}) => headers.authorization === 'Bearer t2'
    const posts = await Promise.all([
      kube.post('/three', '{"a":1}'),
      kube.fetch('/three'),
      kube.fetch('/three'),
    ])
    expect(posts.map(({status}) => status)).toEqual([200, 200, 200])
    api.refuse = () => true
    expect((await kube.fetch('/four')).status).toBe(401)
    kube.close()
    const tokens = (path: string) =>
      api.arrived.filter((call) => call.path === path).map(({headers}) => headers.authorization?.slice(7))
    expect([tokens('/one'), tokens('/two')]).toEqual([['t1'], ['t2']])
    expect(tokens('/three').sort()).toEqual(['t2', 't2', 't2', 't3', 't3', 't3'])
    expect(tokens('/four')).toEqual(['t3', 't4'])
  })
})

test('a client certificate that a plugin prints, and another one when that is refused', async () => {
  await withRecordingApi(async (api) => {
    const [first, second] = [await api.client('first'), await api.client('second')]
    for (const [at, made] of [first, second].entries()) {
      const [cert, key] = [await readFile(made.cert, 'utf8'), await readFile(made.key, 'utf8')]
      const status = {clientCertificateData: cert, clientKeyData: key}
      const credential = {kind: 'ExecCredential', apiVersion: API_VERSION, status}
      await writeFile(join(api.folder, `credential-${at + 1}`), JSON.stringify(credential))
    }
    const kube = await openWith(api, {script: 'cat $DIR/credential-$COUNT'})
    await kube.fetch('/')
    api.refuse = ({client}) => client === 'first'
    expect((await kube.fetch('/')).status).toBe(200)
    kube.close()
    expect(api.arrived.map(({client}) => client)).toEqual(['first', 'first', 'second'])
  })
})

test('a plugin that fails is told with its words, and without secrets', async () => {
  await withRecordingApi(async (api) => {
    const web = 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl'
    const failure = await failureOf(api, {
      script: `echo out-of-band; echo "login as ada failed: $OWN, $MY_TOKEN, $1, bearer ${web}, password=hunter2" >&2; exit 3`,
      exec: {env: [{name: 'OWN', value: 'own-secret'}], args: ['--client-secret=arg-secret']},
      options: {environment: {PATH: process.env.PATH, MY_TOKEN: 'env-secret'}},
    })
    expect(failure).toMatchObject({
      code: 'API_LOGIN_FAILED',
      message: `the exec plugin ${api.folder}/plugin of the kubeconfig exited with code 3: login as ada failed: [redacted], [redacted], --client-secret=[redacted], bearer [redacted], password=[redacted]`,
    })
  })
})

const WRONG: readonly (readonly [string, Plugin, RegExp])[] = [
  ['no JSON', {script: 'echo my-secret-token'}, /printed no ExecCredential/],
  ['no credential', {script: prints('{}')}, /neither a token nor a certificate/],
  ['a certificate without its key', {script: prints('{"clientCertificateData":"PEM"}')}, /belong together/],
  [
    'another version',
    {
      script: prints('{"token":"my-secret-token"}'),
      exec: {apiVersion: 'client.authentication.k8s.io/v1beta1'},
    },
    /expected client.authentication.k8s.io\/v1beta1/,
  ],
  [
    'a version of long ago',
    {script: COUNTED, exec: {apiVersion: 'client.authentication.k8s.io/v1alpha1'}},
    /has apiVersion/,
  ],
  ['a need for a terminal', {script: COUNTED, exec: {interactiveMode: 'Always'}}, /needs a terminal/],
  [
    'a token that no header can hold',
    {script: prints('{"token":"my-secret-token\\\\nx: y"}')},
    /is not valid in the header/,
  ],
]

for (const [what, plugin, words] of WRONG) {
  test(`nothing is sent for a plugin with ${what}`, async () => {
    await withRecordingApi(async (api) => {
      const failure = await failureOf(api, plugin)
      expect(failure.code).toBe('API_LOGIN_FAILED')
      expect(failure.message).toMatch(words)
      expect(failure.message).not.toMatch(/my-secret-token/)
    })
  })
}

test('a plugin that is not installed is told with how to get it', async () => {
  await withRecordingApi(async (api) => {
    const exec = {command: 'clouder-no-such-plugin', installHint: 'brew install it'}
    const failure = await failureOf(api, {script: '', exec})
    expect(failure).toMatchObject({
      code: 'API_LOGIN_FAILED',
      message: 'the exec plugin clouder-no-such-plugin of the kubeconfig is not installed',
      suggestions: ['brew install it'],
    })
  })
})

/** Starts a child, as plugins do, and never ends. */
const HANGS = 'sleep 600 & echo $! > $DIR/child; wait'

const isGone = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return false
  } catch (error) {
    return systemCode(error) === 'ESRCH'
  }
}

/** Of a process whose parent died nobody may collect the remains in time: it is as good as gone. */
async function isOver({folder}: RecordingApi): Promise<boolean> {
  const pid = Number(await readFile(join(folder, 'child'), 'utf8'))
  if (isGone(pid)) return true
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => 'State:\tZ')
  return /State:\t[ZX]/.test(status)
}

test('a plugin that hangs is ended when its time is up, with what it started', async () => {
  await withRecordingApi(async (api) => {
    const failure = await failureOf(api, {script: HANGS, options: {loginTimeoutMs: 1500}})
    expect(failure).toMatchObject({
      code: 'API_LOGIN_FAILED',
      message: `the exec plugin ${api.folder}/plugin of the kubeconfig did not finish within 1.5 s`,
    })
    await expect.poll(() => isOver(api)).toBe(true)
  })
})

test('a plugin that hangs ends with the signal; the end of one call ends that call alone', async () => {
  await withRecordingApi(async (api) => {
    const stop = new AbortController()
    const kube = await openWith(api, {script: HANGS, options: {signal: stop.signal}})
    const call = new AbortController()
    const [one, other] = [kube.fetch('/', call.signal), kube.fetch('/')]
    const ends = Promise.allSettled([one, other])
    await expect.poll(() => readFile(join(api.folder, 'child'), 'utf8').catch(() => '')).toMatch(/\d\n/)
    call.abort(new Error('enough'))
    await expect(one).rejects.toThrow('enough')
    expect(await isOver(api)).toBe(false)
    stop.abort(new Error('all over'))
    await expect(other).rejects.toThrow('all over')
    await ends
    await expect.poll(() => isOver(api)).toBe(true)
    expect(await runsOf(api)).toBe(1)
    kube.close()
  })
})
