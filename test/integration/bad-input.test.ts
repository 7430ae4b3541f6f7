import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {chmod, chown, mkdir, readdir, readFile, writeFile} from 'node:fs/promises'
import {createServer} from 'node:net'
import {dirname, join} from 'node:path'
import {expect, test} from 'vitest'
import {waitFor} from '../../src/base/waiting.ts'
import {failureOf, listingOf, writeClusterFile} from '../support/byon-cluster.ts'
import {clouder, type CliOptions} from '../support/cli.ts'
import {withTempFolder} from '../support/temp-folder.ts'
import {buildTinyBundle, tinySource} from '../support/tiny-bundle.ts'
import {withNodes, type BareNode, type Nodes} from '../support/with-nodes.ts'

interface Refused {
  readonly exitCode: number
  /** The code of the error, or one of its failures. */
  readonly code: string
  /** What the message must name. */
  readonly says: readonly string[]
}

async function expectRefused(
  what: string,
  args: readonly string[],
  options: CliOptions,
  {exitCode, code, says}: Refused,
): Promise<void> {
  const failure = failureOf(await clouder(['kubeadm', ...args, '--json'], options))
  expect.soft(failure.exitCode, `${what}: ${failure.text}`).toBe(exitCode)
  expect.soft(failure.text, what).toContain(`"code":"${code}"`)
  for (const text of says) expect.soft(failure.text, what).toContain(text)
}

const host = (address: string, more: object = {}): object => ({address, ...more})
const byon = (more: object): Readonly<Record<string, unknown>> => ({provider: {kind: 'byon'}, ...more})

const wrongSpecs: readonly {
  readonly what: string
  readonly spec: Readonly<Record<string, unknown>>
  readonly says: readonly string[]
}[] = [
  {what: 'an unknown key', spec: {netwrok: {cni: 'none'}}, says: ['spec.netwrok', 'network']},
  {
    what: 'a bad CIDR',
    spec: {network: {podCidr: '10.244.0.0/33'}},
    says: ['spec.network.podCidr', '10.244.0.0/33'],
  },
  {
    what: 'overlapping CIDRs',
    spec: {network: {podCidr: '10.100.0.0/16'}},
    says: ['spec.network', '10.100.0.0/16', '10.96.0.0/12'],
  },
  {
    what: 'a host name twice',
    spec: byon({
      controlPlane: {hosts: [host('192.0.2.1', {name: 'one'})]},
      workers: [{hosts: [host('192.0.2.2', {name: 'one'})]}],
    }),
    says: ['spec.workers[0].hosts[0]', 'one'],
  },
  {
    what: 'an address twice',
    spec: byon({controlPlane: {hosts: [host('192.0.2.1')]}, workers: [{hosts: [host('192.0.2.1')]}]}),
    says: ['spec.workers[0].hosts[0]', '192.0.2.1'],
  },
]

test.each(wrongSpecs)(
  '$what is refused by its path and value, before anything is made',
  ({what, spec, says}) =>
    withTempFolder(async (dir) => {
      const home = join(dir, 'home')
      const config = await writeClusterFile(dir, 'bad', spec)
      await expectRefused(
        what,
        ['init', '--config', config],
        {home},
        {exitCode: 3, code: 'CONFIG_INVALID', says},
      )
      expect(await everythingIn(home)).toEqual([])
    }),
)

test('a name that is no DNS label is refused', () =>
  withTempFolder(async (home) => {
    const refused = {exitCode: 3, code: 'CONFIG_INVALID', says: ['Not_A_Label']}
    await expectRefused('name', ['init', 'Not_A_Label', '--provider', 'local'], {home}, refused)
    expect(await everythingIn(home)).toEqual([])
  }))

test('a Kubernetes version that is in no bundle is refused with those that are', () =>
  withTempFolder(async (home) => {
    const refused = {exitCode: 10, code: 'VERSION_NOT_IN_BUNDLE', says: ['1.99.0', '1.35.4', '1.34.4']}
    const args = ['init', 'bad', '--provider', 'local', '--kubernetes', '1.99.0']
    await expectRefused('version', args, {home}, refused)
    expect(await everythingIn(home)).toEqual([])
  }))

test('a container engine that is missing, or not permitted, is told by its socket', () =>
  withTempFolder(async (dir) => {
    const home = join(dir, 'home')
    const socket = join(dir, 'engine.sock')
    const init = ['init', 'bad', '--provider', 'local']
    const environment = {DOCKER_HOST: `unix://${socket}`}
    await expectRefused(
      'no engine',
      init,
      {home, environment},
      {
        exitCode: 5,
        code: 'ENGINE_MISSING',
        says: [socket],
      },
    )
    const server = createServer().listen(socket)
    await once(server, 'listening')
    await chown(socket, 65_534, 65_534)
    await chmod(socket, 0o600)
    // As a user who is not in the group; root without its privileges, who can still read this checkout.
    const through = ['setpriv', '--bounding-set=-dac_override,-dac_read_search', '--inh-caps=-all']
    await expectRefused(
      'no permission',
      init,
      {home, environment, through},
      {
        exitCode: 5,
        code: 'ENGINE_NOT_PERMITTED',
        says: [socket, '65534'],
      },
    )
    server.close()
    expect(await everythingIn(home)).toEqual([])
  }))

test.each([
  {what: 'corrupt', text: '{"version": 1, "name":', code: 'RECORD_INVALID'},
  {
    what: 'newer',
    text: JSON.stringify({version: 2, name: 'bad', shape: 'of tomorrow'}),
    code: 'RECORD_NEWER',
  },
])('a $what state file is refused and left as it is', ({what, text, code}) =>
  withTempFolder(async (home) => {
    const path = join(home, 'kubeadm', 'bad', 'record.json')
    await mkdir(dirname(path), {recursive: true})
    await writeFile(path, text)
    for (const args of [
      ['init', 'bad', '--provider', 'local'],
      ['info', 'bad'],
      ['terminate', 'bad', '--yes'],
    ])
      await expectRefused(`${what}: ${args[0] ?? ''}`, args, {home}, {exitCode: 9, code, says: [path]})
    expect(await readFile(path, 'utf8')).toBe(text)
  }),
)

test('a host that does not answer is told, and a second run beside the first is refused', () =>
  withTempFolder(async (dir) => {
    const home = join(dir, 'home')
    const keyPath = join(dir, 'key')
    await makeKeyAt(keyPath)
    // Nothing listens on the discard port; the first run waits for it, as for a machine that is coming up.
    const hosts = [host('127.0.0.1', {port: 9, privateAddress: '192.0.2.1'})]
    const config = await writeClusterFile(dir, 'bad', byon({ssh: {keyPath}, controlPlane: {hosts}}))
    const connecting = Promise.withResolvers<undefined>()
    const args = ['kubeadm', 'init', '--config', config, '--json']
    const onEvent = (): void => connecting.resolve(undefined)
    const first = clouder(args, {home, onEvent})
    await connecting.promise
    await expectRefused(
      'second run',
      ['init', '--config', config],
      {home},
      {
        exitCode: 9,
        code: 'LOCKED',
        says: ['bad'],
      },
    )
    const failure = failureOf(await first)
    expect(failure.exitCode, failure.text).toBe(6)
    for (const text of ['"code":"HOST_UNREACHABLE"', 'cp-1', '127.0.0.1:9'])
      expect(failure.text).toContain(text)
    expect((await everythingIn(home)).filter((path) => path.endsWith('record.json'))).toEqual([])
  }))

const machines = [{name: 'm1', login: {user: 'ops', sudo: 'refused'}}] as const

test('a machine that lets nobody in, or is not fit, is told with its name and stays as it is', (context) =>
  withNodes(context, machines, async (given) => {
    const [node] = given.nodes
    if (node === undefined) throw new Error('a machine was wanted')
    const before = await listingOf(node)
    await expectLoginRefused(given, node)
    await expectDamagedBundleRefused(given, node)
    expect(await listingOf(node)).toBe(before)
    await expectUnfit(given, node)
    expect(await node.read('ls -A /opt /usr/local/bin /etc/containerd 2>/dev/null || true')).not.toContain(
      'clouder',
    )
  }))

/** `init` of one control plane on a machine, as root unless `entry` says otherwise. */
async function initOn({dir}: Nodes, node: BareNode, entry: object = {}): Promise<readonly string[]> {
  const hosts = [host(node.address, {user: 'root', keyPath: node.keyPath, ...entry})]
  return ['init', '--config', await writeClusterFile(dir, 'bad', byon({controlPlane: {hosts}}))]
}

async function expectLoginRefused(given: Nodes, node: BareNode): Promise<void> {
  const {home, dir} = given
  const wrongKey = join(dir, 'wrong')
  await makeKeyAt(wrongKey)
  await expectRefused(
    'wrong key',
    await initOn(given, node, {keyPath: wrongKey}),
    {home},
    {
      exitCode: 6,
      code: 'AUTH_FAILED',
      says: ['cp-1', node.address, wrongKey],
    },
  )
  const otherHostKey = (await readFile(`${wrongKey}.pub`, 'utf8')).split(' ').slice(0, 2).join(' ')
  const hostKeys = [otherHostKey]
  await expectRefused(
    'changed host key',
    await initOn(given, node, {hostKeys}),
    {home},
    {
      exitCode: 6,
      code: 'HOST_KEY_CHANGED',
      says: ['cp-1', node.address, 'SHA256:'],
    },
  )
  await expectRefused(
    'sudo refused',
    await initOn(given, node, {user: 'ops'}),
    {home},
    {
      exitCode: 6,
      code: 'SUDO_REFUSED',
      says: ['cp-1', 'ops'],
    },
  )
  const sudoPassword = {env: 'NOT_SET_ANYWHERE'}
  await expectRefused(
    'no password',
    await initOn(given, node, {user: 'ops', sudoPassword}),
    {home},
    {
      exitCode: 3,
      code: 'CONFIG_INVALID',
      says: ['NOT_SET_ANYWHERE'],
    },
  )
}

async function expectDamagedBundleRefused(given: Nodes, node: BareNode): Promise<void> {
  const {home, dir} = given
  const bundle = await buildTinyBundle({dir, source: tinySource()})
  const path = bundle.lock.files[0]?.path ?? ''
  const content = await readFile(join(bundle.dir, path))
  content[20] = (content[20] ?? 0) ^ 1
  await chmod(join(bundle.dir, path), 0o644)
  await writeFile(join(bundle.dir, path), content)
  await expectRefused(
    'damaged bundle',
    [...(await initOn(given, node)), '--bundle', bundle.dir],
    {home},
    {
      exitCode: 10,
      code: 'BUNDLE_DIGEST_WRONG',
      says: [path],
    },
  )
  const unknown = ['--ignore-preflight', 'NoSuchCheck']
  const other = ['--kubernetes', '1.34.4', '--bundle', bundle.dir]
  await expectRefused(
    'another version',
    [...(await initOn(given, node)), ...other],
    {home},
    {
      exitCode: 10,
      code: 'VERSION_NOT_IN_BUNDLE',
      says: ['1.34.4', '1.35.4'],
    },
  )
  await expectRefused(
    'unknown check',
    [...(await initOn(given, node)), ...unknown],
    {home},
    {
      exitCode: 3,
      code: 'FLAG_INVALID',
      says: ['NoSuchCheck', 'ClockSkew'],
    },
  )
}

/** Everything that is wrong with a machine is told by one run. */
async function expectUnfit(given: Nodes, node: BareNode): Promise<void> {
  await node.read(`set -e
    cp --remove-destination /usr/lib/os-release /etc/os-release
    sed -i 's/^ID=.*/ID=plan9/; s/^VERSION_ID=.*/VERSION_ID="4"/; s/^PRETTY_NAME=.*/PRETTY_NAME="Plan 9"/' /etc/os-release
    printf '#!/bin/sh\\nif [ "$1" = -m ]; then echo riscv64; else exec /usr/bin/uname "$@"; fi\\n' > /usr/local/bin/uname
    chmod 755 /usr/local/bin/uname
    mount -t tmpfs -o size=100m tmpfs /opt
    setsid python3 -c '
import socket, time
s = socket.socket(); s.bind(("0.0.0.0", 6443)); s.listen(); time.sleep(600)' > /dev/null 2>&1 < /dev/null &`)
  await waitFor({
    what: 'a listener on 6443',
    check: async () => {
      const {stdout} = await node.run('ss -Hltn "sport = :6443"')
      return stdout === '' ? {seen: 'nothing'} : {value: true, seen: stdout}
    },
    timeoutMs: 10_000,
    intervalMs: 100,
    signal: AbortSignal.timeout(10_000),
  })
  await expectRefused(
    'unfit',
    await initOn(given, node),
    {home: given.home},
    {
      exitCode: 4,
      code: 'PREFLIGHT_FAILED',
      says: [
        'OperatingSystem',
        'Plan 9 is not supported',
        'Architecture',
        'riscv64',
        'Disk',
        'free in /opt',
        'Ports',
        'TCP port 6443 is in use by python3',
        'cp-1',
      ],
    },
  )
}

async function makeKeyAt(path: string): Promise<void> {
  const made = spawn('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'test', '-f', path])
  const [code] = (await once(made, 'exit')) as [number]
  if (code !== 0) throw new Error(`ssh-keygen exited with ${code}`)
}

/** Paths of files below a folder that may not exist. */
async function everythingIn(dir: string): Promise<readonly string[]> {
  const entries = await readdir(dir, {recursive: true, withFileTypes: true}).catch(() => [])
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
}
