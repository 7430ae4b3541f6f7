import {spawnSync} from 'node:child_process'
import {mkdirSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {dirname, join} from 'node:path'
import fc from 'fast-check'
import {parse as parseToml} from 'smol-toml'
import {expect, test} from 'vitest'
import {parse as parseYaml} from 'yaml'
import {createRenderer} from '../../../../src/bootstrap/templating/render.ts'
import type {Renderer} from '../../../../src/base/renderer.ts'
import {anyText} from '../../../support/any-text.ts'

function withTemplates<T>(templates: Readonly<Record<string, string>>, use: (renderer: Renderer) => T): T {
  const dir = mkdtempSync(join(tmpdir(), 'templates-'))
  try {
    for (const [name, content] of Object.entries(templates)) {
      mkdirSync(dirname(join(dir, name)), {recursive: true})
      writeFileSync(join(dir, `${name}.hbs`), content)
    }
    return use(createRenderer(dir))
  } finally {
    rmSync(dir, {recursive: true})
  }
}

function render(
  text: string,
  view: Readonly<Record<string, unknown>>,
  partials: Readonly<Record<string, string>> = {},
): string {
  return withTemplates({'a/one.txt': text, ...partials}, (renderer) => renderer.render('a/one.txt', view))
}

/** Any text a file can hold; NUL can be in no shell word. */
const text = anyText({maxLength: 60})
const shellText = text.map((value) => value.replaceAll('\0', ''))

test('text is not escaped for HTML', () => {
  expect(render('{{value}}', {value: `'"<&>`})).toBe(`'"<&>`)
})

test('a shell reads every quoted word back as it was', () => {
  withTemplates({words: 'printf "%s\\0"{{#each words}} {{sh this}}{{/each}}'}, (renderer) => {
    fc.assert(
      // Starting shells is what takes time.
      fc.property(fc.array(shellText, {minLength: 100, maxLength: 200}), (words) => {
        const {stdout} = spawnSync('sh', ['-s'], {input: renderer.render('words', {words}), encoding: 'utf8'})
        expect(stdout.split('\0').slice(0, -1)).toEqual(words)
      }),
      {numRuns: 5},
    )
  })
})

test('YAML and JSON read every value back as it was', () => {
  const number = fc.double({noNaN: true, noDefaultInfinity: true})
  withTemplates({yaml: 'key: {{yaml value}}\n', json: '{{json value}}'}, (renderer) => {
    fc.assert(
      fc.property(fc.oneof(text, fc.boolean(), fc.integer(), number), (value) => {
        const expected = Object.is(value, -0) ? 0 : value
        expect(parseYaml(renderer.render('yaml', {value}))).toEqual({key: expected})
        expect(JSON.parse(renderer.render('json', {value}))).toEqual(expected)
      }),
    )
  })
})

test('TOML reads every string and list of strings back as it was', () => {
  const template = 'one = {{toml one}}\nlist = {{toml list}}\ncount = {{toml count}}\n'
  withTemplates({template}, (renderer) => {
    fc.assert(
      fc.property(text, fc.array(text, {maxLength: 5}), fc.integer(), (one, list, count) => {
        expect(parseToml(renderer.render('template', {one, list, count}))).toEqual({one, list, count})
      }),
    )
  })
})

test('quoted text is printable ASCII control-wise, as stricter readers of YAML want it', () => {
  expect(render('{{yaml value}}', {value: '\u007f\u0085\u2028\ufeff'})).toBe('"\\u007f\\u0085\\u2028\\ufeff"')
})

test('indent moves every line that is not empty', () => {
  expect(render('{{indent text 2}}', {text: 'a\n\n  b\n'})).toBe('  a\n\n    b\n')
})

test.each([
  ['undefined', {a: {b: [1, undefined]}}, 'a.b[1] is undefined'],
  ['null', {a: null}, 'a is null'],
  ['NaN', {a: {n: Number.NaN}}, 'a.n is NaN'],
  ['a function', {a: () => 1}, 'a is a function'],
  ['a class instance', {a: new Date(0)}, 'a is neither a list nor a plain object'],
  ['a lone surrogate', {a: 'x\ud800'}, 'a is text with half a character (a lone surrogate)'],
])('%s anywhere in the view is refused, used or not', (_what, view, message) => {
  expect(() => render('constant', view)).toThrow(new TypeError(`template a/one.txt: ${message}`))
})

test.each([
  ['{{node.nmae}}', 'the view has no node.nmae'],
  ['{{#if node.nmae}}x{{/if}}', 'the view has no node.nmae'],
  ['{{#each lits}}x{{/each}}', 'the view has no lits'],
  ['{{#each list}}{{other}}{{/each}}', 'the view has no list[0].other'],
  ['{{sh node.nmae}}', 'the view has no node.nmae'],
])('a name that the view does not have is refused: %s', (template, message) => {
  expect(() => render(template, {node: {name: 'cp-1'}, list: [{name: 'x'}]})).toThrow(message)
})

test.each([
  ['{{node}}', 'node is an object: use one of its values'],
  ['{{list}}', 'list is a list: use one of its values'],
])('a list or an object is not rendered as text: %s', (template, message) => {
  expect(() => render(template, {node: {name: 'cp-1'}, list: ['x']})).toThrow(message)
})

test('a misspelt helper is refused', () => {
  expect(() => render('{{shh value}}', {value: 'x'})).toThrow('shh')
})

test('sh refuses what is no word', () => {
  expect(() => render('{{sh value}}', {value: ['a']})).toThrow('sh takes a string, not a list')
  expect(() => render('{{sh value}}', {value: 'a\0b'})).toThrow('sh cannot pass a NUL character')
})

test('a template that does not exist is named', () => {
  expect(() => withTemplates({}, (renderer) => renderer.render('kernel/missing.conf', {}))).toThrow(
    'there is no template kernel/missing.conf.hbs',
  )
})

test('partials are included and are guarded too', () => {
  const partials = {'a/_name': 'name={{name}}'}
  expect(render('{{> a/_name}}', {name: 'x'}, partials)).toBe('name=x')
  expect(() => render('{{> a/_name}}', {nmae: 'x'}, partials)).toThrow('the view has no name')
  expect(() => render('{{> a/_missing}}', {})).toThrow('a/_missing')
})

test('any view either renders or throws a TypeError', () => {
  withTemplates({template: '{{json this}}'}, (renderer) => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.anything({withDate: true, withBigInt: true})), (view) => {
        try {
          expect(typeof renderer.render('template', view)).toBe('string')
        } catch (error) {
          expect(error).toBeInstanceOf(TypeError)
        }
      }),
    )
  })
})
