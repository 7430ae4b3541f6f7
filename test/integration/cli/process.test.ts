import {spawnSync} from 'node:child_process'
import {chmod, mkdir, readdir, readFile, stat, writeFile} from 'node:fs/promises'
import {createServer} from 'node:net'
import {hostname} from 'node:os'
import {delimiter, join} from 'node:path'
import {expect, test} from 'vitest'
import {documentOf, loadSpec} from '../../../src/spec/load.ts'
import {diskStore} from '../../../src/store/disk.ts'
import {clouder, packageRoot} from '../../support/cli.ts'
import {withTempFolder} from '../../support/temp-folder.ts'

const lastLine = (stdout: string): unknown => JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '')

test('an unknown flag exits 2, points to the help and changes nothing', async () => {
  await withTempFolder(async (home) => {
    const result = await clouder(['kubeadm', 'init', 'demo', '--bogus'], {home})
    expect(result.exitCode).toBe(2)
    expect(result.stderr).toBe(
      'Error: Nonexistent flag: --bogus\nTry this:\n  * clouder kubeadm init --help\n',
    )
    expect(await readdir(home)).toEqual([])
  })
})

test('a command that is not there exits 2 with one message', async () => {
  await withTempFolder(async (home) => {
    const result = await clouder(['kubeadm', 'explode'], {home})
    expect(result.exitCode).toBe(2)
    expect(result.stderr).toBe(
      'Error: "clouder kubeadm explode" is not a command\nTry this:\n  * clouder --help\n',
    )
    const mistyped = await clouder(['kubeadm', 'innit', 'demo'], {home})
    expect(mistyped.exitCode).toBe(2)
    expect(mistyped.stderr).toContain('did you mean "clouder kubeadm init"?')
    expect(await readdir(home)).toEqual([])
  })
})

test('what a command loads is compiled once, and a cache that cannot be written is done without', async () => {
  await withTempFolder(async (dir) => {
    const home = join(dir, 'home')
    const cache = join(dir, 'cache')
    const list = (folder: string) =>
      clouder(['kubeadm', 'ls', '--json'], {home, environment: {XDG_CACHE_HOME: folder}})
    expect((await list(cache)).exitCode).toBe(0)
    expect(await readdir(join(cache, 'clouder', 'compiled'))).toHaveLength(1)
    await writeFile(join(dir, 'file'), '')
    const without = await list(join(dir, 'file'))
    expect([without.exitCode, without.stderr]).toEqual([0, ''])
  })
})

test('a wrong configuration exits 3 with every problem, and changes nothing', async () => {
  await withTempFolder(async (dir) => {
    const config = join(dir, 'cluster.yaml')
    await writeFile(
      config,
      'apiVersion: clouder.dev/v1alpha1\nkind: Cluster\nmetadata: {name: Not_A_Label}\nspec:\n  wrokers: 3\n  network: {podCidr: 10.244.0.0/33}\n',
    )
    const home = join(dir, 'home')
    const told = await clouder(['kubeadm', 'init', '--config', config], {home})
    expect(told.exitCode).toBe(3)
    for (const part of ['spec.wrokers', 'metadata.name', '"10.244.0.0/33"', 'Code: CONFIG_INVALID']) {
      expect(told.stderr).toContain(part)
    }
    const json = await clouder(['kubeadm', 'init', '--config', config, '--json'], {home})
    expect(json.exitCode).toBe(3)
    expect(json.stderr).toBe('')
    expect(lastLine(json.stdout)).toMatchObject({type: 'error', code: 'CONFIG_INVALID', exitCode: 3})
    expect(lastLine(json.stdout)).toHaveProperty('problems.length', 3)
    await expect(stat(home)).rejects.toMatchObject({code: 'ENOENT'})
  })
})

test('JSON failures have the chain of causes', async () => {
  await withTempFolder(async (home) => {
    const result = await clouder(['kubeadm', 'plan', '--config', join(home, 'absent.yaml'), '--json'], {home})
    expect(lastLine(result.stdout)).toMatchObject({
      code: 'CONFIG_UNREADABLE',
      causes: [{code: 'ENOENT'}],
    })
  })
})

test('a question without a terminal names the flag and changes nothing', async () => {
  await withTempFolder(async (home) => {
    await remember(home)
    for (const verb of ['terminate', 'reset']) {
      const result = await clouder(['kubeadm', verb, 'demo'], {home})
      expect(result.exitCode).toBe(3)
      expect(result.stderr).toContain('--yes')
    }
    expect(await diskStoreOf(home).list()).toEqual(['demo'])
  })
})

test('the quick help and version are the text of the slow ones', async () => {
  await withTempFolder(async (home) => {
    const [quickHelp, slowHelp, none, version] = await Promise.all([
      clouder(['--help'], {home}),
      clouder(['help'], {home}),
      clouder([], {home}),
      clouder(['--version'], {home}),
    ])
    expect(quickHelp.stdout).toBe(slowHelp.stdout)
    expect(none.stdout).toBe(quickHelp.stdout)
    expect(quickHelp.stdout).toContain('kubeadm init')
    expect(version.stdout).toMatch(/^clouder\/\d+\.\d+\.\d+ linux-\w+ node-v\d+\.\d+\.\d+\n$/)
    const slowVersion = await clouder(['--version', '--json'], {home})
    expect(slowVersion.stdout).toBe(version.stdout)
  })
})

test('too old a Node is told in one line', () => {
  const old =
    'data:text/javascript,Object.defineProperty(process,"versions",{value:{...process.versions,node:"22.14.0"}})'
  const result = spawnSync(
    process.execPath,
    ['--import', old, join(packageRoot, 'bin/run.js'), '--version'],
    {
      encoding: 'utf8',
    },
  )
  expect(result.status).toBe(1)
  expect(result.stdout).toBe('')
  expect(result.stderr).toBe(`clouder needs Node.js 22.19 or newer; this is 22.14.0 (${process.execPath})\n`)
})

test('results of reading commands are one JSON line', async () => {
  await withTempFolder(async (home) => {
    await remember(home)
    const result = await clouder(['kubeadm', 'ls', '--json'], {home})
    expect(result.stdout.trimEnd().split('\n')).toHaveLength(1)
    expect(lastLine(result.stdout)).toMatchObject({type: 'result', clusters: [{name: 'demo', workers: 0}]})
  })
})

test("ssh and kubectl run the program with the cluster's access, words as they are, and give its exit code", async () => {
  await withTempFolder(async (dir) => {
    const home = join(dir, 'home')
    await remember(home)
    const {kubeconfig, knownHosts} = diskStoreOf(home).paths('demo')
    await writeFile(kubeconfig, '')
    const bin = join(dir, 'bin')
    await mkdir(bin)
    for (const name of ['ssh', 'kubectl']) {
      const path = join(bin, name)
      await writeFile(path, '#!/bin/sh\necho "$KUBECONFIG"\nprintf "%s\\n" "$@"\necho trouble >&2\nexit 7\n')
      await chmod(path, 0o755)
    }
    const environment = {PATH: `${bin}${delimiter}${process.env.PATH ?? ''}`}
    const get = ['get', 'pods', '-A', '--json', '-o', "jsonpath={.items[*]['x y']}"]
    const kubectl = await clouder(['kubectl', '--cluster', 'demo', '--', ...get], {home, environment})
    expect(kubectl.exitCode).toBe(7)
    expect(kubectl.stdout.trimEnd().split('\n')).toEqual([kubeconfig, ...get])
    expect(kubectl.stderr).toBe('trouble\n')
    const ssh = await clouder(['ssh', 'cp-1', '-c', 'demo', '--json', '--', 'uptime', '-p'], {
      home,
      environment,
    })
    expect(ssh.exitCode).toBe(7)
    expect(lastLine(ssh.stdout)).toMatchObject({
      type: 'result',
      node: 'cp-1',
      exitCode: 7,
      stderr: 'trouble\n',
    })
    expect(ssh.stdout).toContain('admin@192.0.2.7\\n--\\nuptime -p\\n')
    expect(ssh.stdout).toContain(`UserKnownHostsFile=${knownHosts} `)
  })
})

test('Ctrl-C stops a run with 130, says how to go on, and leaves a run log', async () => {
  await withTempFolder(async (dir) => {
    // A machine that takes connections and never says anything.
    const silent = createServer(() => undefined)
    await new Promise<void>((done) => silent.listen(0, '127.0.0.1', done))
    const address = silent.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const config = join(dir, 'cluster.yaml')
    await writeFile(
      config,
      `apiVersion: clouder.dev/v1alpha1\nkind: Cluster\nmetadata: {name: demo}\nspec:\n  provider: {kind: byon}\n  ssh: {keyPath: ${join(dir, 'key')}}\n  controlPlane: {hosts: [{address: 127.0.0.1, privateAddress: 192.0.2.9, port: ${port}}]}\n`,
    )
    spawnSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(dir, 'key')])
    const home = join(dir, 'home')
    let interruptedAt = 0
    try {
      const result = await clouder(['kubeadm', 'init', '--config', config, '--json'], {
        home,
        onEvent: (event, child) => {
          if (event.type !== 'task-started') return
          interruptedAt = performance.now()
          child.kill('SIGINT')
        },
      })
      expect(result.exitCode).toBe(130)
      // The handshake alone would be given up after 20 s.
      expect(performance.now() - interruptedAt).toBeLessThan(15_000)
      expect(result.stderr).toContain('stopping…')
      expect(lastLine(result.stdout)).toMatchObject({type: 'error', code: 'INTERRUPTED', exitCode: 130})
      const {logs} = diskStoreOf(home).paths('demo')
      const [log = ''] = await readdir(logs)
      expect(log).toMatch(/^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-init\.log$/)
      expect(await readFile(join(logs, log), 'utf8')).toContain('Connecting to 1 machine')
    } finally {
      silent.close()
    }
  })
})

const diskStoreOf = (home: string) => diskStore({home, now: Date.now, pid: process.pid, hostname: hostname()})

/** A record of a cluster of one machine that is nowhere. */
async function remember(home: string): Promise<void> {
  await diskStoreOf(home).update('demo', () => ({
    version: 1,
    name: 'demo',
    createdAt: '2026-11-21T09:00:00.000Z',
    updatedAt: '2026-11-21T09:00:00.000Z',
    provider: 'byon',
    document: documentOf(
      loadSpec({
        name: 'demo',
        text: 'apiVersion: clouder.dev/v1alpha1\nkind: Cluster\nmetadata: {}\nspec:\n  provider: {kind: byon}\n  controlPlane: {hosts: [{name: cp-1, address: 192.0.2.7}]}\n',
      }),
    ),
    machines: [
      {
        name: 'cp-1',
        role: 'control-plane',
        address: '192.0.2.7',
        privateAddress: '10.0.0.7',
        ssh: {user: 'admin', port: 22, hostKeys: []},
        labels: {},
        taints: [],
      },
    ],
    joined: [],
  }))
}

test('the program for development runs the sources, whatever was built before', async () => {
  const told =
    "import {registerHooks} from 'node:module'; registerHooks({load(url, context, next) { if (/commands.kubeadm.ls/.test(url)) process.stderr.write(url); return next(url, context) }})"
  await withTempFolder((home) => {
    const {stderr, status} = spawnSync(
      process.execPath,
      ['--import', `data:text/javascript,${told}`, join(packageRoot, 'bin/dev.js'), 'kubeadm', 'ls'],
      {encoding: 'utf8', env: {...process.env, CLOUDER_HOME: home}},
    )
    expect(status).toBe(0)
    expect(stderr).toContain('/src/commands/kubeadm/ls.ts')
    expect(stderr).not.toContain('/dist/')
    return Promise.resolve()
  })
})
