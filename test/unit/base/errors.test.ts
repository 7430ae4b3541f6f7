import {existsSync, globSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {
  AbortError,
  ConfigError,
  ConnectionError,
  HostsFailedError,
  StateError,
} from '../../../src/base/errors.ts'
import {KubernetesError} from '../../../src/kubernetes/errors.ts'

const root = join(import.meta.dirname, '../../..')
/** What no wing owns stands in base, the rest in the errors.ts of its wing. */
const source = globSync('src/*/errors.ts', {cwd: root})
  .map((path) => readFileSync(join(root, path), 'utf8'))
  .join('')
const page = readFileSync(join(root, 'docs/errors.md'), 'utf8')
const sections = new Map(
  page
    .split(/^## /m)
    .slice(1)
    .map((section): [string, string] => [section.slice(0, section.indexOf('\n')), section]),
)

function capturesOf(text: string, pattern: RegExp): readonly string[] {
  return [...new Set([...text.matchAll(pattern)].flatMap(([, found]) => found ?? []))].sort()
}

const codes = capturesOf(source, /'([A-Z][A-Z_]{3,})'/g)

test('every code has a heading in docs/errors.md, and every heading a code', () => {
  expect(codes.length).toBeGreaterThan(30)
  expect([...sections.keys()].sort()).toEqual(codes)
})

test('every heading tells the exit code of its class', () => {
  // A class and the type of its codes stand together, and a closing brace at the margin ends them.
  const wrong = source.split(/^}$/m).flatMap((declaration) => {
    const exitCode = /exitCode = (\d+)/.exec(declaration)?.[1]
    if (exitCode === undefined) return []
    const known = capturesOf(declaration, /'([A-Z][A-Z_]{3,})'/g)
    return known.filter((code) => !sections.get(code)?.includes(`Exit code ${exitCode}`))
  })
  expect(wrong).toEqual([])
})

test('every heading ends in something to do', () => {
  const without = [...sections].filter(([code, text]) => code !== 'DECLINED' && !text.includes('**Next**: '))
  expect(without.map(([code]) => code)).toEqual([])
})

test('the page names only commands that exist', () => {
  const commands = capturesOf(
    page,
    /`clouder ((?:kubeadm|bundle|ctx|aws|azure|infra|addon|stack|checkpoint|node|runtime|byoc) [a-z-]+|[a-z]+)\b/g,
  )
  const missing = commands.filter(
    (name) => !existsSync(join(root, 'src/commands', `${name.replace(' ', '/')}.ts`)),
  )
  expect(missing).toEqual([])
})

test('an error points at its heading', () => {
  expect(new ConfigError('CONFIG_INVALID', 'x').ref).toBe('docs/errors.md#config_invalid')
})

test('an error keeps its cause and what to do next', () => {
  const cause = new Error('deep')
  const error = new StateError('LOCKED', 'x', {cause, suggestions: ['wait']})
  expect(error.cause).toBe(cause)
  expect(error.suggestions).toEqual(['wait'])
})

test('hosts that fail alike give their own exit code, others the general one', () => {
  const failure = (host: string, error: Error) => ({host, phase: 'p', step: undefined, error})
  const lost = failure('a', new ConnectionError('LINK_LOST', 'x', {host: 'a', address: '10.0.0.1'}))
  const late = failure('b', new KubernetesError('NOT_READY', 'x'))
  expect(new HostsFailedError('join', [lost, {...lost, host: 'c'}]).exitCode).toBe(6)
  expect(new HostsFailedError('join', [lost, late]).exitCode).toBe(1)
  expect(new HostsFailedError('join', [failure('a', new Error('bug'))]).exitCode).toBe(1)
  expect(new HostsFailedError('join', [lost, late]).message).toBe('join failed on a, b')
})

test('no is 1, and Ctrl-C is what shells expect', () => {
  expect(new AbortError('DECLINED', 'x').exitCode).toBe(1)
  expect(new AbortError('INTERRUPTED', 'x').exitCode).toBe(130)
})
