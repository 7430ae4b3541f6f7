import {readdirSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {packageRoot} from '../support/cli.ts'
import {hitsIn, literalsOf, proseOf} from '../support/plain-words.ts'

const files = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  ...filesIn('docs', '.md').filter((path) => path !== 'docs/commands.md'),
  ...filesIn('src', '.ts'),
]

function filesIn(folder: string, end: string): readonly string[] {
  return readdirSync(join(packageRoot, folder), {recursive: true, encoding: 'utf8'})
    .filter((name) => name.endsWith(end))
    .map((name) => join(folder, name))
    .sort()
}

function problemsOf(path: string): readonly string[] {
  const text = readFileSync(join(packageRoot, path), 'utf8')
  const texts = path.endsWith('.ts') ? literalsOf(path, text) : proseOf(text)
  return hitsIn(texts).map(({line, found, but}) => `${path}:${line}: "${found}", better: ${but}`)
}

/** Every file of src is parsed, which takes seconds on a busy machine. */
const PARSING_MS = 60_000

test('messages and pages use the words of the field', {timeout: PARSING_MS}, () => {
  expect(files.flatMap(problemsOf)).toEqual([])
})

test('texts are found in strings, templates and prose, and not in code, comments and imports', () => {
  const source = "import 'asked'\n// asked\nconst a = 'was asked'\nconst b = `${a} goes on ${a}`\n"
  expect(hitsIn(literalsOf('a.ts', source)).map(({line, found}) => [line, found])).toEqual([
    [3, 'asked'],
    [4, 'goes on'],
  ])
  const page = 'It stands still.\n\n```sh\nasked\n```\n\nNot `asked`, but told.\n'
  expect(hitsIn(proseOf(page)).map(({line, found}) => [line, found])).toEqual([
    [1, 'stands still'],
    [7, 'told'],
  ])
})
