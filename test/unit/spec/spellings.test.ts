import {Readable} from 'node:stream'
import {expect, test} from 'vitest'
import {documentOf, loadSpec, readSpecFile, specFromDocument} from '../../../src/spec/load.ts'
import {parseSshAddress} from '../../../src/spec/ssh-address.ts'
import {documentWith, problemsOf, specWith} from './documents.ts'

const head = 'apiVersion: clouder.dev/v1alpha1\nkind: Cluster\nmetadata:\n  name: demo\n'

test.each([
  ['a --- at the end', `${head}---\n`],
  ['and comments behind it', `${head}---\n# that was it\n\n`],
  ['several', `---\n${head}---\n---\n`],
  ['an end of the document', `${head}...\n`],
  ['Windows line ends', `${head}---\n`.replaceAll('\n', '\r\n')],
  ['a byte order mark', `\uFEFF${head}`],
  ['no-break spaces in a comment', `# a\u00A0cluster\n${head}`],
  ['no line end', head.trimEnd()],
])('%s means nothing else', (_what, text) => {
  expect(loadSpec({text}).name).toBe('demo')
})

test('a --- inside of a text that goes on is a second document', () => {
  expect(problemsOf(() => loadSpec({text: `${head}---\nkind: Cluster\n`}))[0]).toMatch(/second document/)
  expect(problemsOf(() => loadSpec({text: '---\n'}))).toEqual([': is empty'])
})

test('merge keys are merged, and what stands beside them wins', () => {
  const text = `${head}spec:
  provider: {kind: byon}
  controlPlane:
    hosts:
      - &host {address: 192.0.2.1, user: admin, port: 2222}
  workers:
    - hosts:
        - <<: *host
          address: 192.0.2.2
`
  expect(loadSpec({text}).workers[0]?.hosts[0]).toMatchObject({
    address: '192.0.2.2',
    user: 'admin',
    port: 2222,
  })
})

test.each([
  ['as indentation', `${head}spec:\n\u00A0\u00A0kubernetes: {}\n`, 'line 6, column 1', 'a no-break space'],
  ['behind a colon', `${head}spec:\n  kubernetes:\u00A0{}\n`, 'line 6, column 14', 'U+00A0'],
  ['of no width', `${head}spec:\n  api: {endpoint: a\u200Bb}\n`, 'line 6, column 20', 'U+200B'],
  ['of a second byte order mark', `${head}\uFEFFspec: {}\n`, 'line 5, column 1', 'U+FEFF'],
])('an invisible character %s is named with its place', (_what, text, place, what) => {
  const [problem, ...others] = problemsOf(() => loadSpec({text}))
  expect(problem).toContain(`${place}: contains`)
  expect(problem).toContain(what)
  expect(others).toEqual([])
})

test.each([
  ['192.0.2.1', {address: '192.0.2.1'}],
  ['192.0.2.1:2222', {address: '192.0.2.1', port: 2222}],
  ['admin@node.example', {address: 'node.example', user: 'admin'}],
  ['ssh://admin@node.example:2222/', {address: 'node.example', user: 'admin', port: 2222}],
  ['2001:db8::1', {address: '2001:db8::1'}],
  ['root@[2001:db8::1]:22', {address: '2001:db8::1', user: 'root', port: 22}],
  ['ssh://node/etc', undefined],
  ['me:secret@node', undefined],
  ['node:0', undefined],
  ['node:70000', undefined],
  ['http://node', undefined],
  ['a@b@c', undefined],
  ['', undefined],
])('%s is an address as people write it: %j', (text, parts) => {
  expect(parseSshAddress(text)).toEqual(parts)
})

const byon = (host: object, ssh: object = {}) => ({
  provider: {kind: 'byon'},
  controlPlane: {hosts: [{privateAddress: '10.0.0.1', ...host}]},
  ssh,
})

test('user and port in an address are those of the host, also of the bastion', () => {
  const spec = specWith(
    byon(
      {address: 'ssh://admin@node.example:2222'},
      {bastion: {address: 'jump@192.0.2.9:2200', user: 'jump'}},
    ),
  )
  expect(spec.controlPlane.hosts[0]).toMatchObject({address: 'node.example', user: 'admin', port: 2222})
  expect(spec.ssh.bastion).toMatchObject({address: '192.0.2.9', user: 'jump', port: 2200})
  expect(specFromDocument(documentOf(spec))).toEqual(spec)
})

test('an address that says another user or port than stands beside it is refused', () => {
  expect(
    problemsOf(() => specWith(byon({address: 'admin@node.example:22', user: 'root', port: 2222}))),
  ).toEqual([
    'spec.controlPlane.hosts[0].address: has user admin, but the field user is "root"; remove one of them',
    'spec.controlPlane.hosts[0].address: has port 22, but the field port is 2222; remove one of them',
  ])
})

test('the endpoint may be the URL of a kubeconfig, as long as it has its port', () => {
  expect(specWith({api: {endpoint: 'https://api.example.org:6443/'}}).api.endpoint).toBe(
    'api.example.org:6443',
  )
  expect(specWith({}, {apiEndpoint: 'https://[2001:db8::1]:443'}).api.endpoint).toBe('[2001:db8::1]:443')
  expect(problemsOf(() => specWith({api: {endpoint: 'https://api.example.org'}}))).toEqual([
    'spec.api.endpoint: has no port; write api.example.org:443 or api.example.org:6443, as the load balancer listens',
  ])
  expect(problemsOf(() => specWith({api: {endpoint: 'http://api.example.org:80'}}))[0]).toContain(
    'plain HTTP',
  )
})

test('an empty list of addons, as records of older versions hold it, is no list of addons', () => {
  expect(specWith({addons: []})).toEqual(specWith({}))
  expect(problemsOf(() => specWith({addons: [{id: 'ingress-nginx'}]}))).toEqual([
    'spec.addons: is not a mapping',
  ])
})

test('a record of a version without addons is of a cluster with the fewest', () => {
  const header = {apiVersion: 'clouder.dev/v1alpha1', kind: 'Cluster', metadata: {name: 'demo'}}
  for (const spec of [{addons: []}, {}])
    expect(specFromDocument({...header, spec}).addons.profile).toBe('minimal')
  const own = specWith({addons: {profile: 'full'}})
  expect(specFromDocument(documentOf(own)).addons).toEqual(own.addons)
})

test('addons of the command line are added to those of the file, and taken out of the opposite list', () => {
  const addons = {profile: 'full', install: ['nats', 'metallb'], without: ['gateway']}
  const overrides = {addons: 'minimal', withAddons: ['gateway', 'nats'], withoutAddons: ['metallb']}
  expect(specWith({addons}, overrides).addons).toEqual({
    profile: 'minimal',
    install: ['nats', 'gateway'],
    without: ['metallb'],
    parameters: {},
  })
})

test('an addon cannot be wanted and excluded', () => {
  expect(problemsOf(() => specWith({addons: {install: ['nats'], without: ['nats']}}))).toEqual([
    'spec.addons.install[0]: is in spec.addons.without too',
  ])
})

test.each([
  [{kubernetes: {version: 1.3}}, 'spec.kubernetes.version: is not text: put it in quotes'],
  [{ssh: {port: '22'}}, 'spec.ssh.port: is not a number: leave the quotes out'],
  [
    {controlPlane: {schedulable: 'true'}},
    'spec.controlPlane.schedulable: is neither true nor false: leave the quotes out',
  ],
  [{ssh: {keyPath: null}}, 'spec.ssh.keyPath: is not text: nothing is written there'],
  [{ssh: {keyPath: '~admin/.ssh/id'}}, /keyPath: is not a file path: ~ is replaced only in front of a \//],
  [{ssh: {keyPath: '$HOME/.ssh/id'}}, /keyPath: is not a file path: variables are not replaced/],
  [{ssh: {keyPath: '${HOME}/.ssh/id'}}, /variables are not replaced/],
  [byon({address: '${NODE_IP}'}), /hosts\[0\].address: is neither an IP address nor a DNS name: variables/],
  [{api: {endpoint: '{{ endpoint }}:6443'}}, /variables are not replaced/],
])('what is nearly right says how to write it: %j', (spec, problem) => {
  const problems = problemsOf(() => specWith(spec))
  expect(problems[0]).toEqual(typeof problem === 'string' ? problem : expect.stringMatching(problem))
})

test('- is standard input, as far as it can be a specification', async () => {
  const text = documentWith({})
  expect(
    await readSpecFile('-', Readable.from([Buffer.from(text.slice(0, 9)), Buffer.from(text.slice(9))])),
  ).toBe(text)
  const endless = Readable.from(
    (function* () {
      for (;;) yield Buffer.alloc(64 * 1024, 0x20)
    })(),
  )
  await expect(readSpecFile('-', endless)).rejects.toMatchObject({code: 'CONFIG_UNREADABLE'})
})
