import {execFile} from 'node:child_process'
import {writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {promisify} from 'node:util'
import fc from 'fast-check'
import {expect, test} from 'vitest'
import {z} from 'zod'
import {kubectlProgram} from '../../../src/cli/kubectl-program.ts'
import {externalKubeconfig} from '../../../src/kubernetes/kubeconfig.ts'
import {mergeKubeconfig, type MergeOptions} from '../../../src/kubernetes/kubeconfig-merge.ts'
import {tempFolder} from '../../support/temp-folder.ts'
import {needBundle} from '../../support/with-api-server.ts'

/** What YAML 1.1 reads as something else than text, or what is hard to write. */
const text = fc.constantFrom(
  ...['yes', 'no', 'on', 'off', 'y', 'n', 'Y', 'true', 'null', '~', '', ' ', '=', '<<', '1:20', '2001-01-01'],
  ...[
    '012',
    '0o14',
    '0b11',
    '0x1F',
    '1_000',
    '1e3',
    '12e03',
    '.5',
    '.inf',
    '-0',
    '+1',
    '1.',
    '08',
    '--',
    '# x',
  ],
  ...[
    'a: b',
    'a #b',
    '- a',
    '*a',
    '&a',
    '!a',
    '%a',
    '@a',
    '`a`',
    '{a}',
    '[a',
    "it's",
    'say "x"',
    'C:\\x',
    'é\u2028',
  ],
)
const userOf = fc.record(
  {
    token: text,
    exec: fc.record({
      apiVersion: fc.constant('client.authentication.k8s.io/v1'),
      command: text,
      args: fc.array(text, {maxLength: 3}),
      env: fc.array(fc.record({name: text, value: text}), {maxLength: 2}),
      interactiveMode: fc.constant('Never'),
    }),
  },
  {requiredKeys: []},
)
const entries = fc.record({
  clusters: fc.dictionary(
    text,
    fc.record({server: text, 'tls-server-name': text}, {requiredKeys: ['server']}),
    {
      maxKeys: 3,
    },
  ),
  users: fc.dictionary(text, userOf, {maxKeys: 3}),
  contexts: fc.dictionary(
    text,
    fc.record({cluster: text, user: text, namespace: text}, {requiredKeys: ['cluster', 'user']}),
    {maxKeys: 3},
  ),
  current: text,
})
type Entries = typeof entries extends fc.Arbitrary<infer T> ? T : never

const style = fc.record({
  layout: fc.constantFrom('json', 'flow', 'block', 'deeper'),
  quote: fc.constantFrom<'double' | 'single'>('double', 'single'),
  empty: fc.constantFrom('[]', 'null', '', 'absent'),
  comments: fc.boolean(),
  lineEnd: fc.constantFrom('\n', '\r\n'),
  lastLineEnd: fc.boolean(),
  mark: fc.constantFrom('', '\uFEFF'),
  around: fc.constantFrom(
    ['', ''],
    ['---\n', ''],
    ['# mine\n', '\n# end\n'],
    ['---\n', '\n---\n'],
    ['', '\n...\n'],
  ),
  anchors: fc.boolean(),
})
type Style = typeof style extends fc.Arbitrary<infer T> ? T : never

/** A kubeconfig as people and programs write them, without any library that could make the same mistake. */
function written(of: Entries, how: Style): string {
  const lists = {clusters: 'cluster', users: 'user', contexts: 'context'} as const
  const quoted = (value: string): string =>
    how.quote === 'single' && /^[ -~]*$/.test(value)
      ? `'${value.replaceAll("'", "''")}'`
      : JSON.stringify(value)
  const flow = (value: unknown): string => {
    if (typeof value === 'string') return quoted(value)
    if (Array.isArray(value)) return `[${value.map(flow).join(', ')}]`
    return `{${Object.entries(z.record(z.string(), z.unknown()).parse(value))
      .map(([key, item]) => `${key}: ${flow(item)}`)
      .join(', ')}}`
  }
  if (how.layout === 'json' || how.layout === 'flow') {
    const list = ([key, kind]: readonly [string, string]): string => {
      const all = Object.entries(z.record(z.string(), z.unknown()).parse(Reflect.get(of, key)))
      return `${JSON.stringify(key)}: [${all.map(([name, body]) => flowItem(name, kind, body)).join(', ')}]`
    }
    const flowItem = (name: string, kind: string, body: unknown): string =>
      how.layout === 'json' ? JSON.stringify({name, [kind]: body}) : flow({name, [kind]: body})
    const parts = [...Object.entries(lists).map(list), `"current-context": ${JSON.stringify(of.current)}`]
    return `${how.mark}{${parts.join(`,${how.lineEnd}\t`)}}`
  }
  const column = how.layout === 'deeper' ? '  ' : ''
  const remark = how.comments ? '   # "yes": it stays' : ''
  const lines = Object.entries(lists).flatMap(([key, kind]) => {
    const all = Object.entries(z.record(z.string(), z.unknown()).parse(Reflect.get(of, key)))
    if (all.length === 0) return how.empty === 'absent' ? [] : [`${key}: ${how.empty}${remark}`]
    const items = all.flatMap(([name, body], index) => [
      `${column}- name: ${quoted(name)}${remark}`,
      `${column}  ${kind}: ${how.anchors ? `&${kind}${index} ` : ''}${flow(body)}`,
      ...(how.comments ? [`${column}  # below`, ''] : []),
    ])
    return [`${key}:${remark}`, ...items]
  })
  const content = ['apiVersion: v1', ...lines, `current-context: ${quoted(of.current)}${remark}`].join('\n')
  const [before = '', after = ''] = how.around
  const whole = `${how.mark}${before}${content}${after}${how.lastLineEnd && after === '' ? '\n' : ''}`
  return whole.replaceAll('\n', how.lineEnd)
}

const viewSchema = z.looseObject({
  clusters: z.array(z.looseObject({name: z.string()})).nullish(),
  users: z.array(z.looseObject({name: z.string()})).nullish(),
  contexts: z.array(z.looseObject({name: z.string()})).nullish(),
  'current-context': z.string(),
})

test(
  'kubectl reads every entry that is not ours after a merge as it did before',
  {timeout: 600_000},
  async (context) => {
    const bundle = await needBundle(context)
    await using folder = await tempFolder()
    const {signal} = new AbortController()
    const kubernetes = bundle.lock.kubernetes
    const kubectl = await kubectlProgram(
      {kubernetes, path: '', cacheDir: folder.path, pid: process.pid},
      {bundleFor: () => Promise.resolve(bundle), signal},
    )
    const path = join(folder.path, 'config')
    const view = async (content: string, name: string): Promise<z.output<typeof viewSchema>> => {
      const file = join(folder.path, name)
      await writeFile(file, content)
      const argv = ['--kubeconfig', file, 'config', 'view', '--raw', '-o', 'json']
      const {stdout} = await promisify(execFile)(kubectl, argv, {env: {HOME: folder.path}})
      return viewSchema.parse(JSON.parse(stdout))
    }
    const admin = {
      clusters: [{name: 'kubernetes', cluster: {server: 'https://a', 'certificate-authority-data': 'Q0E='}}],
      users: [{name: 'admin', user: {'client-certificate-data': 'QQ==', 'client-key-data': 'Qg=='}}],
    }
    const ours = fc.constantFrom('demo', 'on', '1e3', '012', 'no', 'a: b')

    await fc.assert(
      fc.asyncProperty(entries, style, ours, async (of, how, name) => {
        const mine = written(of, how)
        const source = externalKubeconfig(JSON.stringify(admin), {server: 'new:6443', cluster: name})
        const options: MergeOptions = {cluster: name, context: name, force: true, use: false, target: path}
        const {changed, current} = mergeKubeconfig([{path, text: mine}], source, options)
        const after = changed[0]?.text ?? mine
        const [old, read] = await Promise.all([view(mine, 'before'), view(after, 'after')])
        const others = (list: 'clusters' | 'users' | 'contexts', of: typeof old) =>
          (of[list] ?? []).filter((entry) => entry.name !== (list === 'users' ? `${name}-admin` : name))
        for (const list of ['clusters', 'users', 'contexts'] as const)
          expect(others(list, read)).toEqual(others(list, old))
        expect(read['current-context']).toBe(old['current-context'] === '' ? name : old['current-context'])
        expect(current).toBe(read['current-context'])
        expect(read.contexts).toContainEqual(
          expect.objectContaining({
            name,
            context: expect.objectContaining({cluster: name, user: `${name}-admin`}) as unknown,
          }),
        )
        expect(mergeKubeconfig([{path, text: after}], source, {...options, force: false}).changed).toEqual([])
      }),
      // Each starts kubectl twice, which is all of its time; other cases come with every run.
      {numRuns: 60},
    )
  },
)
