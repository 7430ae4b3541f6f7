import {expect, test} from 'vitest'
import fc from 'fast-check'
import {quoteWord} from '../../../src/hosts/quoting.ts'
import {createRedactor} from '../../../src/hosts/redaction.ts'
import {anyText} from '../../support/any-text.ts'

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

test('whatever a secret holds, the text around it stays and it goes', () => {
  fc.assert(
    fc.property(anyText({minLength: 6}), (value) => {
      fc.pre(value.trim().length >= 6 && !'[redacted]'.includes(value) && !value.includes('['))
      const redactor = createRedactor()
      redactor.add(value)
      expect(redactor.redact(`<${value}>`)).not.toContain(value)
    }),
  )
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
