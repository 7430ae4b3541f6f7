import fc from 'fast-check'
import {expect, test} from 'vitest'
import {quoteWord} from '../../../src/base/quoting.ts'
import {createRedactor} from '../../../src/base/redaction.ts'
import {cutLine, LineSplitter} from '../../../src/bootstrap/hosts/output.ts'
import {anyText} from '../../support/any-text.ts'
import {runsOf} from '../../support/property-runs.ts'

const goJson = (text: string): string =>
  JSON.stringify(text).replace(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
const asciiJson = (text: string): string =>
  JSON.stringify(text).replace(
    /[^\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
const goHtml = (text: string): string =>
  text.replace(
    /[&<>"']/g,
    (character) =>
      ({'&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&#34;', "'": '&#39;'})[character] ?? character,
  )
const formEncoded = (text: string): string => new URLSearchParams({v: text}).toString().slice(2)

/** Every way that a secret may be written in what programs print. */
const writers: Readonly<Record<string, (text: string) => string>> = {
  plain: (text) => text,
  base64: (text) => Buffer.from(text).toString('base64'),
  'base64 of a user and a password': (text) => Buffer.from(`someone:${text}`).toString('base64'),
  'base64 inside of a document': (text) => Buffer.from(`{"auth":"${text}","more":1}`).toString('base64'),
  base64url: (text) => Buffer.from(`x:${text}`).toString('base64url'),
  hex: (text) => Buffer.from(text).toString('hex'),
  'JSON of Go': goJson,
  'JSON in ASCII': asciiJson,
  'JSON of Go inside JSON of Go': (text) => goJson(goJson(text)),
  HTML: goHtml,
  'HTML with other names': (text) => goHtml(text).replaceAll('&#34;', '&quot;').replaceAll('&#39;', '&#x27;'),
  'JSON inside HTML': (text) => goHtml(goJson(text)),
  URI: encodeURIComponent,
  'URI in small letters': (text) =>
    encodeURIComponent(text).replace(/%[0-9A-F]{2}/g, (byte) => byte.toLowerCase()),
  form: formEncoded,
  shell: quoteWord,
}

const secrets = fc
  .oneof(
    anyText({minLength: 12, maxLength: 60}),
    fc.string({minLength: 12, maxLength: 60}),
    fc.string({
      unit: fc.constantFrom('<', '>', '&', '"', "'", '\\', ' ', '+', '/', '=', '%', 'a', '9'),
      minLength: 12,
      maxLength: 40,
    }),
  )
  // A line of its own; one whose pieces are everywhere hides nothing.
  .filter((text) => !/[\n\r\0]/.test(text) && text.trim() === text && new Set(text).size > 4)

test('a secret comes out in no form, through whatever chunks and cuts', () => {
  fc.assert(
    fc.property(
      secrets,
      fc.constantFrom(...Object.keys(writers)),
      fc.oneof(fc.nat({max: 200}), fc.integer({min: 57_000, max: 66_000})),
      fc.array(fc.integer({min: 100, max: 9_000}), {minLength: 1, maxLength: 5}),
      (value, writer, before, sizes) => {
        const written = writers[writer]?.(value) ?? ''
        const redactor = createRedactor()
        redactor.add(value)
        const told: string[] = []
        const splitter = new LineSplitter((line, isCut) => {
          const redacted = redactor.redact(line)
          told.push(isCut ? cutLine(redacted) : redacted)
        })
        const bytes = Buffer.from(`${'.'.repeat(before)} ${written} ${'.'.repeat(9_000)}\nend\n`)
        for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
          const size = sizes[turn % sizes.length] ?? 1
          splitter.add(bytes.subarray(at, at + size))
          at += size
        }
        splitter.end()
        const shown = told.join('\n')
        expect(shown).not.toContain(written)
        // No half of it either, wherever the line was cut.
        expect(shown).not.toContain(written.slice(0, Math.ceil(written.length / 2)))
        expect(told.at(-1)).toBe('end')
      },
    ),
    {numRuns: runsOf(300)},
  )
})

test('whatever a secret holds, the text around it stays and it goes', () => {
  fc.assert(
    fc.property(anyText({minLength: 6}), (value) => {
      fc.pre(value.trim().length >= 6 && !'[redacted]'.includes(value) && !value.includes('['))
      const redactor = createRedactor()
      redactor.add(value)
      expect(redactor.redact(`<${value}>`)).not.toContain(value)
    }),
    {numRuns: runsOf(100)},
  )
})
