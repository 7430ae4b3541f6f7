import {expect, test} from 'vitest'
import {cutLine, LineSplitter} from '../../../src/bootstrap/hosts/output.ts'
import {quoteWord} from '../../../src/base/quoting.ts'
import {createRedactor} from '../../../src/base/redaction.ts'

const secret = `p@ss "wörd" it's & more`
const encodings: readonly (readonly [string, string])[] = [
  ['plain', secret],
  ['base64', Buffer.from(secret).toString('base64')],
  ['base64url', Buffer.from(secret).toString('base64url')],
  ['URI', encodeURIComponent(secret)],
  ['JSON', JSON.stringify({secret})],
  ['JSON in JSON', JSON.stringify({text: JSON.stringify({secret})})],
  ['shell', quoteWord(secret)],
  ['hex', Buffer.from(secret).toString('hex')],
]

test.for(encodings)('a secret is hidden in its %s form', ([, encoded]) => {
  const redactor = createRedactor()
  redactor.add(secret)
  const shown = redactor.redact(`before ${encoded} after`)
  expect(shown).toMatch(/^before .*\[redacted\].* after$/)
  expect(shown).not.toContain('rd')
})

test('half of a secret that the end of a long line cuts is not shown', () => {
  const secret = '0123456789abcdef'.repeat(4)
  const redactor = createRedactor()
  redactor.add(secret)
  const told: string[] = []
  const splitter = new LineSplitter((line, isCut) => {
    const redacted = redactor.redact(line)
    told.push(isCut ? cutLine(redacted) : redacted)
  })
  splitter.add(Buffer.from(`${'.'.repeat(65_536 - 32)}${secret}\nend\n`))
  expect(told).toEqual([expect.stringMatching(/^\.+ … \(rest of the line truncated\)$/), 'end'])
})

test('what looks like an escape of something else stays', () => {
  const redactor = createRedactor()
  redactor.add('a<b>c&d-secret')
  for (const text of ['a\\u003db', 'a<b>c&d', '\\\\\\\\'.repeat(5_000), 'a%3Cb%3Ec']) {
    expect(redactor.redact(text)).toBe(text)
  }
})

test('of two secrets the longer is hidden whole', () => {
  const redactor = createRedactor()
  redactor.add('token')
  redactor.add('token-and-more')
  expect(redactor.redact('is token-and-more here')).toBe('is [redacted] here')
})

test('each long line of a secret is hidden by itself, as logs show lines', () => {
  const redactor = createRedactor()
  redactor.add('-----BEGIN KEY-----\nMIIEvQIBADANBg\n-----END KEY-----\n')
  expect(redactor.redact('line: MIIEvQIBADANBg')).toBe('line: [redacted]')
})

test('empty text is no secret', () => {
  const redactor = createRedactor()
  redactor.add('')
  redactor.add(' \n')
  expect(redactor.redact('a b\nc')).toBe('a b\nc')
})
