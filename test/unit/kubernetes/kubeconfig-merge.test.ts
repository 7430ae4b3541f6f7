import {expect, test} from 'vitest'
import {parse} from 'yaml'
import {z} from 'zod'
import {StateError} from '../../../src/base/errors.ts'
import {externalKubeconfig} from '../../../src/kubernetes/kubeconfig.ts'
import {mergeKubeconfig, type MergeOptions} from '../../../src/kubernetes/kubeconfig-merge.ts'

const PATH = '/home/me/.kube/config'
const plain: MergeOptions = {cluster: 'demo', context: 'demo', force: false, use: false, target: PATH}

function sourceOf(server: string): string {
  const admin = {
    clusters: [{name: 'kubernetes', cluster: {'certificate-authority-data': 'Q0E=', server: 'https://a'}}],
    users: [{name: 'kubernetes-admin', user: {'client-certificate-data': 'QQ==', 'client-key-data': 'Qg=='}}],
  }
  return externalKubeconfig(JSON.stringify(admin), {server, cluster: 'demo'})
}

const source = sourceOf('new:6443')

/** The text of the file afterwards. */
function merged(text: string, options: Partial<MergeOptions> = {}, from = source): string {
  const files = [{path: PATH, text}]
  return mergeKubeconfig(files, from, {...plain, ...options}).changed[0]?.text ?? text
}

const problemOf = (text: string, options: Partial<MergeOptions> = {}): unknown => {
  try {
    return merged(text, options)
  } catch (error) {
    return error
  }
}

const mine = `# work, do not touch
apiVersion: v1
kind: Config
preferences: {}
clusters:
# the big one
- name: prod   # paid for
  cluster: {server: "https://prod.test"}
contexts:
- context:
    cluster: prod
    namespace: "on"
    user: prod
  name: prod
current-context: prod
users:
- name: prod
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: aws
      args: ["yes", "no", "0o14", "1e3", "y", '012']
      env: [{name: DEBUG, value: "off"}]
# the end
`

test('what is there keeps every byte: the new lines are all that was added', () => {
  const lines = mine.split('\n')
  const left = merged(mine)
    .split('\n')
    .filter((line, index, all) => lines.includes(line) || all.indexOf(line) !== index)
  expect(lines.filter((line) => !left.includes(line))).toEqual([])
  expect(merged(mine)).toMatch(/args: \["yes", "no", "0o14", "1e3", "y", '012'\]\n/)
  expect(parse(merged(mine), {version: '1.1'})).toMatchObject({
    clusters: [{name: 'prod'}, {name: 'demo', cluster: {server: 'https://new:6443'}}],
    contexts: [
      {name: 'prod', context: {namespace: 'on'}},
      {name: 'demo', context: {user: 'demo-admin'}},
    ],
    users: [{name: 'prod'}, {name: 'demo-admin', user: {'client-key-data': 'Qg=='}}],
  })
})

test('twice is once, and what the user added to an entry of ours stays', () => {
  const once = merged(mine)
  expect(merged(once)).toBe(once)
  const withMore = once.replace('    user: demo-admin\n', '    user: demo-admin\n    namespace: "no"\n')
  const moved = merged(withMore, {}, sourceOf('moved:6443'))
  expect(parse(moved, {version: '1.1'})).toMatchObject({
    clusters: [{name: 'prod'}, {name: 'demo', cluster: {server: 'https://moved:6443'}}],
    contexts: [{name: 'prod'}, {name: 'demo', context: {namespace: 'no'}}],
  })
  expect(moved).toContain('# the big one\n- name: prod   # paid for\n')
})

test('the current context is left alone where there is one', () => {
  const run = (text: string, options: Partial<MergeOptions> = {}): unknown => {
    const {current, before} = mergeKubeconfig([{path: PATH, text}], source, {...plain, ...options})
    const written: unknown = parse(merged(text, options))
    return {
      current,
      before,
      written: z.looseObject({'current-context': z.string()}).parse(written)['current-context'],
    }
  }
  expect(run(mine)).toEqual({current: 'prod', before: 'prod', written: 'prod'})
  expect(run(mine, {use: true})).toEqual({current: 'demo', before: 'prod', written: 'demo'})
  expect(run('')).toEqual({current: 'demo', before: undefined, written: 'demo'})
  expect(run('current-context: ""\n')).toEqual({current: 'demo', before: undefined, written: 'demo'})
  expect(run('current-context: # none\n')).toEqual({current: 'demo', before: undefined, written: 'demo'})
})

test.each([
  ['cluster', 'clusters: [{name: demo, cluster: {server: "https://theirs"}}]\n'],
  ['user', 'users: [{name: demo-admin, user: {token: theirs}}]\n'],
  ['context', 'contexts: [{name: demo, context: {cluster: theirs, user: theirs}}]\n'],
])('a %s of that name that is not ours is refused, and replaced when told to', (kind, text) => {
  const problem = problemOf(text)
  expect(problem).toBeInstanceOf(StateError)
  expect(problem).toMatchObject({
    code: 'KUBECONFIG_CLASH',
    message: expect.stringMatching(new RegExp(`^${kind} demo.* in ${PATH} is not`)) as unknown,
  })
  expect(merged(text, {context: 'other'})).toContain('theirs')
  expect(merged(text, {force: true})).not.toContain('theirs')
})

test('an entry that bears the mark of another cluster is not ours', () => {
  const other = merged(mine, {cluster: 'other'})
  expect(problemOf(other)).toMatchObject({code: 'KUBECONFIG_CLASH'})
})

test('of several files the one that has the entries is changed, and a clash in any counts', () => {
  const files = [
    {path: '/a', text: mine},
    {path: '/b', text: merged('', {}, sourceOf('old:6443'))},
  ]
  const both = mergeKubeconfig(files, source, {...plain, target: '/a'})
  expect(both.changed.map(({path}) => path)).toEqual(['/b'])
  expect(both).toMatchObject({current: 'prod', before: 'prod'})
  const theirs = [
    {path: '/a', text: mine},
    {path: '/b', text: 'users: [{name: demo-admin, user: {}}]'},
  ]
  expect(() => mergeKubeconfig(theirs, source, {...plain, target: '/a'})).toThrow(/demo-admin in \/b/)
})

test.each([
  ['empty', ''],
  ['comments alone', '# mine'],
  ['a start and nothing', '---\n'],
  ['null', 'null\n'],
  ['an empty mapping', '{}'],
  ['lists that are empty in each way', 'clusters: []\nusers:   # none\ncontexts: null # none\n'],
  ['JSON with tabs', JSON.stringify({clusters: [{name: 'a'}], users: [], contexts: null}, null, '\t')],
  ['flow style with a comma at the end', '{clusters: [{name: a, cluster: {}},], contexts: [ ]}'],
  ['a byte order mark', '\uFEFFusers: []\n'],
  ['Windows line ends', 'clusters:\r\n- cluster:\r\n    server: "https://x"\r\n  name: x\r\nusers: []'],
  ['no line end', 'users:\n  - name: a\n    user: {token: "1e3"} # x'],
  ['anchors and merges', 'clusters: &c\n- &d {name: a, cluster: {server: x}}\n- {<<: *d, name: b}\n'],
  ['a key twice', 'clusters:\n- name: a\n  name: b\n  cluster: {server: x, server: y}\n'],
  ['deeper lists', '  clusters:\n    - name: a\n      cluster: {server: x}\n  kind: Config\n'],
  ['a text with lines at its end', 'users:\n- name: a\n  user:\n    token: |+\n      abc\n\n\nclusters:\n'],
  ['a second document', '---\nusers:\n- name: a\n---\n'],
])('%s: every line stays, and the entries are there', (_what, text) => {
  const after = merged(text)
  const [first = ''] = after.split(/^---\n(?=$)/m).filter((part) => part.includes('clusters'))
  const read: unknown = parse(first.replace('\uFEFF', ''), {version: '1.1', uniqueKeys: false, merge: true})
  expect(read).toMatchObject({
    clusters: expect.arrayContaining([expect.objectContaining({name: 'demo'})]) as unknown,
    users: expect.arrayContaining([expect.objectContaining({name: 'demo-admin'})]) as unknown,
    contexts: expect.arrayContaining([expect.objectContaining({name: 'demo'})]) as unknown,
  })
  expect(merged(after)).toBe(after)
  if (text.includes('\r\n')) expect(after.replaceAll('\r\n', '')).not.toContain('\n')
  if (text.startsWith('\uFEFF')) expect(after.lastIndexOf('\uFEFF')).toBe(0)
})

test.each([
  ['clusters: 7', /clusters is not a list/],
  ['- a', /not a mapping/],
  ['just words', /not a mapping/],
  ['clusters: []\nclusters: []\n', /clusters 2 times/],
  ['a: b: c\n', /line 1, column/],
  ['clusters: *nowhere\n', /nowhere/],
  ['x: &l [{name: a}]\nclusters: *l\n', /does not allow changing one entry without others/],
  ['clusters: &l\n- {name: a}\nx: *l\n', /does not allow changing one entry without others/],
])('%j is refused, not overwritten', (text, problem) => {
  expect(() => merged(text)).toThrow(problem)
  expect(problemOf(text)).toMatchObject({code: 'RECORD_INVALID'})
})
