import {mkdtempSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {documentOf, loadSpec, readSpecFile, specFromDocument} from '../../../src/spec/load.ts'
import {documentWith, errorOf, problemsOf, specWith} from './documents.ts'

test('a name is enough', () => {
  const spec = loadSpec({name: 'demo', overrides: {provider: 'local'}})
  expect(spec).toMatchObject({
    name: 'demo',
    provider: {kind: 'local'},
    controlPlane: {count: 1},
    workers: [{name: 'worker', count: 2}],
    network: {podCidr: '10.244.0.0/16', cni: 'flannel'},
  })
})

test('a name is required', () => {
  expect(problemsOf(() => loadSpec({}))).toEqual(['metadata.name: is required'])
})

test('flags win over the file', () => {
  const text = documentWith({network: {podCidr: '10.1.0.0/16'}, workers: [{name: 'w', count: 1}]})
  const spec = loadSpec({
    text,
    overrides: {
      provider: 'local',
      kubernetes: 'v1.34.4',
      controlPlanes: 1,
      workers: 5,
      adminCidrs: ['192.0.2.0/24'],
      podCidr: '10.2.0.0/16',
      serviceCidr: '10.3.0.0/16',
      cni: 'none',
      nodeImage: 'debian-12',
      engine: 'podman',
      subnet: '10.4.0.0/24',
      apiEndpoint: 'api.example.org',
    },
  })
  expect(spec).toMatchObject({
    provider: {kind: 'local', local: {engine: 'podman', image: 'debian-12', subnet: '10.4.0.0/24'}},
    kubernetes: {version: '1.34.4'},
    workers: [{name: 'w', count: 5}],
    network: {podCidr: '10.2.0.0/16', serviceCidr: '10.3.0.0/16', cni: 'none'},
    api: {endpoint: 'api.example.org'},
    access: {adminCidrs: ['192.0.2.0/24']},
  })
})

test('a flag mends a wrong value of the file', () => {
  expect(specWith({network: {podCidr: 'x'}}, {podCidr: '10.2.0.0/16'}).network.podCidr).toBe('10.2.0.0/16')
})

test('a wrong flag is reported where the document would hold it', () => {
  expect(
    problemsOf(() => loadSpec({name: 'demo', overrides: {provider: 'locl', kubernetes: 'latest'}})),
  ).toEqual([
    'spec.provider.kind: is not one of local, byon, aws, azure; did you mean local?',
    'spec.kubernetes.version: is not one exact version such as 1.35.4',
  ])
})

test('no workers at all can be asked for', () => {
  expect(loadSpec({name: 'demo', overrides: {workers: 0}}).workers).toMatchObject([
    {name: 'worker', count: 0},
  ])
})

test('one number cannot size several pools', () => {
  expect(problemsOf(() => specWith({workers: [{name: 'a'}, {name: 'b'}]}, {workers: 3}))).toEqual([
    'spec.workers: sets the size of a single worker pool, but there are 2; set their counts in the file',
  ])
})

test('the file may leave its name to the command line, but not contradict it', () => {
  const text = 'apiVersion: clouder.dev/v1alpha1\nkind: Cluster\n'
  expect(loadSpec({text, name: 'demo'}).name).toBe('demo')
  expect(loadSpec({text: documentWith({}), name: 'demo'}).name).toBe('demo')
  expect(problemsOf(() => loadSpec({text: documentWith({}), name: 'other'}))).toEqual([
    'metadata.name: differs from the name given on the command line, other',
  ])
})

test('all problems are reported at once: shape, values, and values against each other', () => {
  const text = `
apiVersion: clouder.dev/v1alpha1
kind: Cluster
metadata: {name: Demo}
spec:
  netwrk: {}
  provider: {kind: byon}
  kubernetes: {version: 1.35}
  network: {podCidr: 10.244.0.0/33, serviceCidr: 10.0.0.0/12, podCIDR: x}
  controlPlane:
    hosts:
      - {address: 10.1.2.3, labels: {a/b: 1}}
      - {address: 10.1.2.3}
      - {address: 10.1.2.4}
  api: {endpoint: api.example.org}
`
  const error = errorOf(() => loadSpec({text, file: 'cluster.yaml'}))
  expect(error.message).toBe('cluster.yaml is not valid: 8 problems')
  expect(error.exitCode).toBe(3)
  expect(error.problems.map(({path}) => path).toSorted()).toEqual([
    'metadata.name',
    'spec.controlPlane.hosts[0].labels["a/b"]',
    'spec.controlPlane.hosts[1].address',
    'spec.kubernetes.version',
    'spec.network.podCIDR',
    'spec.network.podCidr',
    'spec.network.serviceCidr',
    'spec.netwrk',
  ])
  expect(error.problems).toContainEqual({
    path: 'spec.kubernetes.version',
    value: 1.35,
    problem: 'is not text: put it in quotes',
  })
})

test('an unknown key comes with the key that was meant', () => {
  expect(problemsOf(() => specWith({network: {podCdir: '10.0.0.0/16'}}))).toEqual([
    'spec.network.podCdir: is not a known key; did you mean podCidr?',
  ])
  expect(problemsOf(() => specWith({workers: [{hosts: [], zzz: 1}]}))).toEqual([
    'spec.workers[0].zzz: is not a known key; known are name, count, size, diskGiB, spot, labels, taints, hosts',
  ])
})

test('what a misshapen value would have decided is not held against others', () => {
  const spec = {
    provider: {kind: 'byon'},
    controlPlane: {hosts: 'cp'},
    workers: [{hosts: [{adress: '10.0.0.1'}]}],
  }
  expect(problemsOf(() => specWith(spec))).toEqual([
    'spec.controlPlane.hosts: is not a list',
    'spec.workers[0].hosts[0].address: is required',
    'spec.workers[0].hosts[0].adress: is not a known key; did you mean address?',
  ])
})

test('a password in the wrong place is not repeated', () => {
  const error = errorOf(() =>
    specWith({
      ssh: {sudoPassword: 'hunter2', pasword: 'hunter2', sudoPasword: 'hunter2'},
      containerd: {
        registryMirrors: [{registry: 'docker.io', endpoints: ['https://me:hunter2@mirror.example.org']}],
      },
      sshh: {sudoPassword: 'hunter2'},
    }),
  )
  const text = JSON.stringify([error.message, error.problems])
  expect(error.problems).toHaveLength(5)
  expect(text).not.toContain('hunter2')
})

test.each([
  ['', 'is empty'],
  ['# nothing\n', 'is empty'],
  ['[]', 'is not a mapping'],
  ['text', 'is not a mapping'],
  ['a: 1\na: 2\n', 'has a duplicate key'],
  ['a: 1\n---\nb: 2\n', 'contains a second document: use one file for each'],
  ['a: &a [*a]\n', 'is nested more than 32 levels deep'],
  ['['.repeat(5000), 'is nested more than 32 levels deep'],
  ['a: !!js/function x\n', 'unresolved tag: tag:yaml.org,2002:js/function'],
  ['%YAML 1.1\n---\na: !!set {x, y}\n', 'unresolved tag: tag:yaml.org,2002:set'],
  ['a: *b\n', 'is not usable YAML: unresolved alias (the anchor must be set before the alias): b'],
])('YAML that cannot be meant is refused: %j', (text, problem) => {
  expect(errorOf(() => loadSpec({text: text.slice(0, 6000)})).problems.map((one) => one.problem)).toContain(
    problem,
  )
})

test('a few bytes of aliases cannot become a large document', () => {
  const levels = Array.from({length: 20}, (_, i) => `a${i + 1}: &a${i + 1} [*a${i},*a${i},*a${i},*a${i}]`)
  const text = ['a0: &a0 x', ...levels].join('\n')
  expect(problemsOf(() => loadSpec({text}))[0]).toMatch(/is not usable YAML: excessive alias count/)
})

test('a file larger than a specification can be is refused', () => {
  expect(errorOf(() => loadSpec({text: `# ${'x'.repeat(1024 * 1024)}`})).code).toBe('CONFIG_UNREADABLE')
})

test('a file that cannot be read says why', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'spec-'))
  try {
    writeFileSync(join(dir, 'binary.yaml'), Buffer.from([0xff, 0xfe, 0x00]))
    writeFileSync(join(dir, 'good.yaml'), documentWith({}))
    await expect(readSpecFile(join(dir, 'missing.yaml'))).rejects.toMatchObject({
      code: 'CONFIG_UNREADABLE',
      exitCode: 3,
    })
    await expect(readSpecFile(dir)).rejects.toMatchObject({code: 'CONFIG_UNREADABLE'})
    await expect(readSpecFile(join(dir, 'binary.yaml'))).rejects.toThrow('it is not UTF-8 text')
    expect(loadSpec({text: await readSpecFile(join(dir, 'good.yaml'))}).name).toBe('demo')
  } finally {
    rmSync(dir, {recursive: true})
  }
})

test('a spec is frozen all the way down', () => {
  const spec = specWith({workers: [{labels: {a: 'b'}}]})
  const open = (value: unknown): boolean =>
    typeof value === 'object' &&
    value !== null &&
    (!Object.isFrozen(value) || Object.values(value).some(open))
  expect(open(spec)).toBe(false)
})

test('a spec comes back from its document as it was', () => {
  const spec = specWith({
    provider: {kind: 'byon'},
    kubernetes: {version: 'v1.34.4'},
    controlPlane: {hosts: [{address: '192.0.2.1', sudoPassword: {env: 'A'}}]},
    workers: [{name: 'w', hosts: [{address: '192.0.2.2', taints: [{key: 'a', effect: 'NoSchedule'}]}]}],
  })
  expect(specFromDocument(documentOf(spec))).toEqual(spec)
  expect(specFromDocument(JSON.parse(JSON.stringify(documentOf(spec))))).toEqual(spec)
  expect(errorOf(() => specFromDocument({version: 1})).code).toBe('CONFIG_INVALID')
})
