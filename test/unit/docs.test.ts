import {existsSync, readdirSync, readFileSync, statSync} from 'node:fs'
import {basename, dirname, join, relative, resolve} from 'node:path'
import {expect, test} from 'vitest'
import {loadSpec} from '../../src/spec/load.ts'
import {byonMachines} from '../../src/spec/machines.ts'
import {packageRoot} from '../support/cli.ts'
import {pictureOf} from '../support/terminal-picture.ts'

const pages = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...markdownIn('docs')]
const commands = commandIds()
const topics = new Set(commands.filter((id) => id.includes(' ')).map((id) => id.split(' ')[0] ?? ''))
/** Of oclif and its plugins. */
const PLUGIN_COMMANDS = ['help', 'autocomplete']

function markdownIn(folder: string): readonly string[] {
  return readdirSync(join(packageRoot, folder), {recursive: true, encoding: 'utf8'})
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(folder, name))
    .sort()
}

function commandIds(): readonly string[] {
  return readdirSync(join(packageRoot, 'src/commands'), {recursive: true, encoding: 'utf8'})
    .filter((name) => name.endsWith('.ts'))
    .map((name) => name.replace(/\.ts$/, '').replaceAll('/', ' '))
}

function textOf(page: string): string {
  return readFileSync(join(packageRoot, page), 'utf8')
}

function withoutCode(text: string): string {
  return text.replace(/^```[^]*?^```/gm, '').replace(/`[^`\n]*`/g, '')
}

/** What is code on a page: fenced blocks and inline. */
function codeOf(text: string): readonly string[] {
  const blocks = [...text.matchAll(/^```\w*\n([^]*?)^```/gm)].map(([, code]) => code ?? '')
  const inline = [...text.replace(/^```[^]*?^```/gm, '').matchAll(/`([^`\n]+)`/g)].map(
    ([, code]) => code ?? '',
  )
  return [...blocks, ...inline]
}

/** Anchors as GitHub makes them: lower case, punctuation out, spaces to dashes. */
function anchorsOf(text: string): ReadonlySet<string> {
  const headings = [...text.replace(/^```[^]*?^```/gm, '').matchAll(/^#+ (.+)$/gm)].map(
    ([, heading]) => heading ?? '',
  )
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .trim()
        .replaceAll(' ', '-'),
    ),
  )
}

function brokenLinks(page: string): readonly string[] {
  const text = textOf(page)
  const links = [...withoutCode(text).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link ?? '')
  return links.flatMap((link) => {
    if (/^https?:/.test(link)) return []
    const [path = '', anchor] = link.split('#')
    const file = path === '' ? join(packageRoot, page) : resolve(packageRoot, dirname(page), path)
    if (relative(packageRoot, file).startsWith('..') || !existsSync(file)) return [link]
    if (anchor === undefined || statSync(file).isDirectory()) return []
    return anchorsOf(readFileSync(file, 'utf8')).has(anchor) ? [] : [link]
  })
}

/** `clouder …` in code whose words name no command. */
function unknownCommands(code: string): readonly string[] {
  return [...code.matchAll(/(?:^|[\s"(])clouder[ \t]+([a-z][a-z-]*)(?:[ \t]+([a-z][a-z-]*))?/gm)]
    .map(([, first = '', second = '']) => (topics.has(first) ? `${first} ${second}`.trim() : first))
    .filter((id) => !commands.includes(id) && !topics.has(id) && !PLUGIN_COMMANDS.includes(id))
}

test.each(pages)('%s links to files and headings that exist', (page) => {
  expect(brokenLinks(page)).toEqual([])
})

test.each(pages)('%s names only commands that exist', (page) => {
  expect(codeOf(textOf(page)).flatMap(unknownCommands)).toEqual([])
})

/** Files of the project that code names and that are not there; a name with a part left open (`<id>`, `*`) is none. */
function missingFiles(code: string): readonly string[] {
  const named = code.matchAll(
    /(?<![\w./@-])(?:src|test|templates|stacks|bin)\/[\w./-]*[\w/](?![\w./-]*[<*…{$])/g,
  )
  return [...named].map(([path]) => path).filter((path) => !existsSync(join(packageRoot, path)))
}

test.each(pages.filter((page) => page !== 'CHANGELOG.md'))('%s names only files that exist', (page) => {
  expect(codeOf(textOf(page)).flatMap(missingFiles)).toEqual([])
})

test('the table of which file for what names only files that exist', () => {
  const [, table = ''] = textOf('docs/architecture.md').split('### Which file for what')
  const [rows = ''] = table.split(/^#/m)
  const named = [...rows.matchAll(/`([\w-]+\.ts)`/g)].map(([, name = '']) => name)
  const known = new Set(
    readdirSync(join(packageRoot, 'src'), {recursive: true, encoding: 'utf8'}).map((path) => basename(path)),
  )
  expect(named.length).toBeGreaterThan(10)
  expect(named.filter((name) => !known.has(name))).toEqual([])
})

test('a file that does not exist is found', () => {
  const code =
    'see src/spec/load.ts, src/spec/gone.ts; test/unit/<id>.test.ts, `src/cli/*-results.ts` and /usr/bin/env'
  expect(missingFiles(code)).toEqual(['src/spec/gone.ts'])
})

test('a command that does not exist is found', () => {
  expect(unknownCommands('$ clouder kubeadm explode demo\nnpx clouder kubeadm init demo')).toEqual([
    'kubeadm explode',
  ])
  expect(unknownCommands('clouder migrate\nclouder kubectl get pods\nclouder bundle build')).toEqual([
    'migrate',
  ])
})

test('the README begins with the two commands', () => {
  const blocks = codeOf(textOf('README.md'))
  expect(blocks).toContain('npm run quickstart\n')
  expect(blocks).toContain('npm test\n')
})

test('the scripts that the pages name exist', () => {
  const {scripts} = JSON.parse(textOf('package.json')) as {scripts: Readonly<Record<string, string>>}
  const named = pages.flatMap((page) =>
    [...textOf(page).matchAll(/npm run ([a-z][\w:-]*)/g)].map(([, name]) => name ?? ''),
  )
  expect(named.filter((name) => scripts[name] === undefined)).toEqual([])
})

test('the file for machines you bring loads, and the pages show it as it is', () => {
  const text = textOf('docs/how-to/cluster.yaml')
  const spec = loadSpec({text, file: 'docs/how-to/cluster.yaml'})
  expect(byonMachines(spec).map(({name, address}) => `${name} ${address}`)).toEqual([
    'cp-1 192.0.2.10',
    'worker-1 192.0.2.21',
  ])
  const shown = text.replace(/^#.*\n/, '')
  expect(codeOf(textOf('README.md'))).toContain(shown)
  expect(codeOf(textOf('docs/how-to/bring-machines.md'))).toContain(shown)
})

test('every page on how to do something, and every decision, is found from its index', () => {
  const index = textOf('docs/how-to/README.md')
  const howTo = markdownIn('docs/how-to').filter((page) => !page.endsWith('README.md'))
  expect(howTo.filter((page) => !index.includes(`(${relative('docs/how-to', page)})`))).toEqual([])
  const numbers = markdownIn('docs/decisions').map((page) => /(\d{3})-[\w-]+\.md$/.exec(page)?.[1])
  // A number is given when a decision is begun: one that is not finished yet leaves a gap.
  expect(numbers).not.toContain(undefined)
  expect(numbers).toEqual([...new Set(numbers)])
})

test('a screen becomes a picture: colours, columns, and nothing that breaks XML', () => {
  const picture = pictureOf('\u001B[32m✔\u001B[39m done \u001B[2m<1 s\u001B[0m\n  a & b\n', '$ clouder')
  expect(picture).toContain('fill="#3fb950">✔</text>')
  expect(picture).toContain('opacity="0.6">&lt;1 s</text>')
  expect(picture).toContain('>  a &amp; b</text>')
  expect(picture.match(/<text /g)).toHaveLength(5)
  expect(picture).not.toContain('\u001B')
})
