import {execFile} from 'node:child_process'
import {existsSync} from 'node:fs'
import {readdir, readFile, writeFile} from 'node:fs/promises'
import {once} from 'node:events'
import {createServer, type Socket} from 'node:net'
import {promisify} from 'node:util'
import {pack} from 'tar-stream'
import {afterAll, beforeAll, beforeEach, expect, test} from 'vitest'
import {AGENT_AWAY} from '../../src/api/handler-protocol.ts'
import {RESTORE_ANNOTATION} from '../../src/api/names.ts'
import {waitFor} from '../../src/base/waiting.ts'
import {HandlerNode, MODULE} from '../support/restore-handler.ts'

const {signal} = new AbortController()
let node: HandlerNode

beforeAll(async () => {
  node = await HandlerNode.build()
})
beforeEach(async () => {
  await node.reset()
})
afterAll(async () => {
  await node[Symbol.asyncDispose]()
})

test("the handler's own tests pass", async () => {
  const env = {...process.env, CGO_ENABLED: '0', GOFLAGS: '', GOWORK: 'off'}
  const {stdout} = await promisify(execFile)('go', ['test', './...'], {cwd: MODULE, env})
  const files = await readdir(MODULE, {recursive: true, withFileTypes: true})
  const tested = new Set(
    files.filter(({name}) => name.endsWith('_test.go')).map(({parentPath}) => parentPath),
  )
  expect(stdout.match(/^ok/gm)).toHaveLength(tested.size)
})

test('a container is restored from what the agent prepared, is started already, and can be deleted', async () => {
  await node.listen(() => node.restoreAnswer())
  const created = await node.call(...node.createWords('--console-socket', '/tty', '--no-new-keyring'))
  expect(created).toMatchObject({code: 0, stderr: '', logged: undefined})
  expect(node.requests).toEqual([
    {
      version: 1,
      id: 'abc123',
      bundle: node.path('bundle'),
      namespace: 'default',
      pod: 'traveller',
      podUid: 'uid-1',
      container: 'counter',
      checkpoint: 'redis-1',
    },
  ])
  expect(created.runc).toEqual([
    [
      ...['--root', '/run/runc', '--log', node.path('log.json'), '--log-format', 'json', '--systemd-cgroup'],
      ...['restore', '--detach', '--image-path', node.path('restore/pod/counter/checkpoint')],
      ...['--work-path', node.path('restore/pod/counter'), '--bundle', node.path('bundle')],
      ...['--pid-file', node.path('init.pid'), '--console-socket', '/tty', 'abc123'],
    ],
  ])
  // Once it runs, which is before it is started.
  await expect.poll(() => node.notes).toEqual([{...node.requests[0], event: 'restored'}])
  expect(await node.call('--root', '/run/runc', 'start', 'abc123')).toMatchObject({code: 0, runc: []})
  // Of another container it knows nothing.
  expect((await node.call('start', 'other')).runc).toEqual([['start', 'other']])
  expect((await node.call('delete', '--force', 'abc123')).runc).toEqual([['delete', '--force', 'abc123']])
  expect((await node.call('start', 'abc123')).runc).toEqual([['start', 'abc123']])
})

test('memory of a container that comes afterwards is fetched before it is restored, and what came of it is noted', async () => {
  const [socket, state] = [node.path('pages.sock'), node.path('restore/pod/counter.pages')]
  await node.listen(() => node.restoreAnswer({pages: {socket, state}}))
  const connected: Socket[] = []
  const agent = createServer((daemon) => connected.push(daemon)).listen(socket)
  try {
    await node.setCriu(`echo "$@" >'${node.path('criu-calls')}'; printf x >&4; cat <&3 >/dev/null`)
    const created = await node.call(...node.createWords())
    expect(created).toMatchObject({code: 0, logged: undefined})
    expect(created.runc[0]).toEqual(expect.arrayContaining(['restore', '--lazy-pages', '--detach']))
    expect(await node.read('criu-calls')).toContain('lazy-pages --images-dir')
    expect(existsSync(state)).toBe(false)
    connected[0]?.destroy()
    await expect.poll(() => node.read('restore/pod/counter.pages')).toBe('complete\n')

    await node.setRunc('case "$*" in *restore*) exit 3;; esac')
    expect((await node.call(...node.createWords())).code).toBe(1)
    expect(await node.read('restore/pod/counter.pages')).toMatch(/^not-started\n/)
    // Nothing of it may run once that is noted.
    await expect.poll(() => connected.every(({closed}) => closed)).toBe(true)

    await node.setCriu('exit 1')
    const refused = await node.call(...node.createWords())
    expect(refused).toMatchObject({code: 1, runc: []})
    expect(refused.logged).toContain('CRIU cannot receive memory')
  } finally {
    agent.close()
  }
})

test('a container that the agent wants anew is made by runc, as if nobody had asked', async () => {
  await node.listen(() => ({version: 1, action: 'create'}))
  const words = node.createWords('--preserve-fds', '3')
  expect(await node.call(...words)).toMatchObject({code: 0, runc: [words]})
  expect((await node.call('start', 'abc123')).runc).toEqual([['start', 'abc123']])
})

test('what is no container of a checkpoint goes to runc without a question, and ends as runc does', async () => {
  await node.setRunc('exit 7')
  for (const annotations of [
    {},
    {[RESTORE_ANNOTATION]: 'redis-1', 'io.kubernetes.cri.container-type': 'sandbox'},
    {'clouder.dev/another': 'x'},
  ]) {
    await node.setAnnotations(annotations)
    const words = node.createWords('--pidfd-socket', '/s', '--new-flag')
    expect(await node.call(...words)).toMatchObject({code: 7, runc: [words], logged: undefined})
  }
  await node.setAnnotations({[RESTORE_ANNOTATION]: 'redis-1'})
  for (const words of [
    ['features'],
    ['--version'],
    ['--root', '/r', 'state', 'abc123'],
    ['--root', '/r', 'exec', '--process', '/p', '--detach', 'abc123'],
    ['kill', '--all', 'abc123', '9'],
    ['start', '../escaped'],
    ['delete', '../../bundle/config.json'],
  ])
    expect(await node.call(...words)).toMatchObject({code: 7, runc: [words]})
  expect(existsSync(node.path('bundle/config.json'))).toBe(true)
})

test.each([
  ['a refusal', '{"version":1,"action":"refuse","message":"wider \\"privileges\\""}\n', 'wider "privileges"'],
  ['no answer', '', 'gave no answer'],
  ['half an answer', '{"version":1,"act', 'cannot be read'],
  ['another version', '{"version":2,"action":"create"}\n', 'speaks version 2'],
  ['an unknown action', '{"version":1,"action":"run"}\n', 'answered "run"'],
  ['more than is known', '{"version":1,"action":"create","force":true}\n', 'unknown field'],
  ['two answers', '{"version":1,"action":"create"} {}\n', 'has something behind it'],
  [
    'a folder of somebody else',
    '{"version":1,"action":"restore","imageDir":"/tmp/x","workDir":"/tmp"}\n',
    'is neither below',
  ],
])('%s ends the start, with the reason where containerd reads it', async (_what, answer, reason) => {
  await node.listen(() => answer)
  const {code, runc, stderr, logged} = await node.call(...node.createWords())
  expect({code, runc}).toEqual({code: 1, runc: []})
  expect(logged).toContain(reason)
  expect(logged).toMatch(/^clouder restore: /)
  expect(stderr).toBe(`${logged}\n`)
})

test('without an agent nothing starts, neither restored nor anew', async () => {
  const {code, runc, logged} = await node.call(...node.createWords())
  expect({code, runc}).toEqual({code: 1, runc: []})
  expect(logged).toContain(AGENT_AWAY)
})

test('a container of which not all is known is not asked about', async () => {
  await node.listen(() => node.restoreAnswer())
  await node.setAnnotations({[RESTORE_ANNOTATION]: 'redis-1', 'io.kubernetes.cri.sandbox-uid': ''})
  expect(await node.call(...node.createWords())).toMatchObject({code: 1, runc: []})
  await node.setAnnotations({[RESTORE_ANNOTATION]: ''})
  expect(await node.call(...node.createWords())).toMatchObject({code: 1, runc: []})
  await writeFile(node.path('bundle/config.json'), '{')
  expect(await node.call(...node.createWords())).toMatchObject({code: 1, runc: []})
  expect(node.requests).toEqual([])
})

test.each(['--preserve-fds=3', '--pidfd-socket=/s', '--new-flag'])(
  '%s cannot be had with a restore',
  async (flag) => {
    await node.listen(() => node.restoreAnswer())
    const {code, runc, logged} = await node.call(...node.createWords(flag))
    expect({code, runc}).toEqual({code: 1, runc: []})
    expect(logged).toContain(`${flag} is not possible`)
  },
)

async function changesOf(name: string): Promise<string> {
  const archive = pack()
  archive.entry({name, uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0}, 'changed')
  archive.finalize()
  const parts: Buffer[] = []
  for await (const part of archive) parts.push(Buffer.from(part as Uint8Array))
  const path = node.path('restore/pod/counter/changes.tar')
  await writeFile(path, Buffer.concat(parts))
  return path
}

test('the files that the container had changed and deleted are so again before it runs', async () => {
  await writeFile(node.path('bundle/rootfs/etc/gone'), 'image')
  await node.setRunc(`cp '${node.path('bundle/rootfs/etc/new')}' '${node.path('seen')}'`)
  const changes = await changesOf('etc/new')
  await node.listen(() => node.restoreAnswer({changes, deleted: ['/etc/gone']}))
  expect(await node.call(...node.createWords())).toMatchObject({code: 0})
  expect(await node.read('seen')).toBe('changed')
  expect(existsSync(node.path('bundle/rootfs/etc/gone'))).toBe(false)
})

test.each(['../escaped', '/escaped', 'etc/../../escaped'])(
  'an archive with %s in it restores nothing',
  async (name) => {
    const changes = await changesOf(name)
    await node.listen(() => node.restoreAnswer({changes}))
    const {code, runc, logged} = await node.call(...node.createWords())
    expect({code, runc}).toEqual({code: 1, runc: []})
    expect(logged).toContain('leads out of the container')
    expect(existsSync(node.path('bundle/escaped'))).toBe(false)
  },
)

test("a restore that fails says CRIU's errors in their order, and leaves no mark of one that worked", async () => {
  const log = node.path('restore/pod/counter/restore.log')
  await node.setRunc(
    `if [ "$8" = restore ]; then printf 'Error (a.c:1): first\\nfine\\nError (b.c:2): last\\nError (c.c:3): Restoring FAILED.\\n' >'${log}'; exit 1; fi`,
  )
  await node.listen(() => node.restoreAnswer())
  const {code, logged} = await node.call(...node.createWords())
  expect(code).toBe(1)
  expect(logged).toBe(
    'clouder restore: redis-1 could not be restored: exit status 1:\nError (a.c:1): first\nError (b.c:2): last',
  )
  expect((await node.call('start', 'abc123')).runc).toEqual([['start', 'abc123']])
  expect(node.notes).toEqual([])
})

test('a container that runs is not given up because the agent is away by then', async () => {
  await node.listen(() => node.restoreAnswer())
  await node.setRunc(`rm '${node.path('agent.sock')}'`)
  expect(await node.call(...node.createWords())).toMatchObject({code: 0, logged: undefined})
})

test('a runtime that gave up waiting takes the restore with it', async () => {
  await node.setRunc(`echo $$ >'${node.path('pid')}'; exec sleep 600`)
  await node.listen(() => node.restoreAnswer())
  const handler = node.spawn(...node.createWords())
  const waiting = {timeoutMs: 20_000, intervalMs: 20, signal}
  const pid = await waitFor({
    what: 'runc to run',
    check: async () => {
      const text = (await node.read('pid')).trim()
      return text === '' ? {seen: 'nothing'} : {value: Number(text), seen: text}
    },
    ...waiting,
  })
  handler.kill('SIGKILL')
  await once(handler, 'exit')
  await waitFor({
    what: 'runc to end',
    check: async () => {
      const state = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => 'gone')
      return state === 'gone' || / Z /.test(state) ? {value: true, seen: state} : {seen: state}
    },
    ...waiting,
  })
})
