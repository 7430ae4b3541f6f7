import {quoteWord} from './quoting.ts'

/** Takes known secrets out of any text that leaves the program: errors, logs, events. */
export interface Redactor {
  /** Registers a secret and the encodings it may show up in. Empty text is ignored. */
  add(secret: string): void
  redact(text: string): string
}

const mask = '[redacted]'
/** A shorter piece of base64 may be anything. */
const shortestPiece = 8

/**
 * Matches a secret whichever of its characters are escaped, and how: by JSON (Go escapes `<`, `>` and `&` as well, others
 * all that is not ASCII), JSON inside JSON, HTML, URLs and forms, shells. All of them leave letters and digits as they are.
 */
function escapedForm(secret: string): string {
  return Array.from(secret, escapedCharacter).join('')
}

const namedEntities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
}
/** What else than `\u000a` and the like JSON and shells write. */
const shortEscapes: Readonly<Record<string, string>> = {
  '\n': 'n',
  '\r': 'r',
  '\t': 't',
  '\b': 'b',
  '\f': 'f',
  '\v': 'v',
}
// As many backslashes as quoting four times over makes; without a bound a long run of them would take quadratic time.
const backslashes = String.raw`\\{1,16}`

function escapedCharacter(character: string): string {
  if (/^[A-Za-z0-9]$/.test(character)) return character
  const point = character.codePointAt(0) ?? 0
  const units = character.split('').map((unit) => anyCase(unit.charCodeAt(0).toString(16).padStart(4, '0')))
  const bytes = [...Buffer.from(character, 'utf8')].map((byte) => anyCase(byte.toString(16).padStart(2, '0')))
  const hex = anyCase(point.toString(16))
  const entity = namedEntities[character]
  const short = shortEscapes[character]
  const unescaped = [
    literal(character),
    bytes.map((byte) => `%${byte}`).join(''),
    `&(?:amp;)?#(?:0*${point}|[xX]0*${hex});`,
    ...(entity === undefined ? [] : [`&(?:amp;)?${entity.slice(1)}`]),
  ]
  const forms = [
    // A shell or JSON may have put a backslash before any of them.
    `\\\\{0,16}(?:${unescaped.join('|')})`,
    units.map((unit) => `${backslashes}u${unit}`).join(''),
    bytes.map((byte) => `${backslashes}x${byte}`).join(''),
    ...(short === undefined ? [] : [backslashes + short]),
  ]
  if (character === '\\') forms.push(backslashes)
  if (character === ' ') forms.push(String.raw`\+`)
  // What a shell writes for a quote between quotes.
  if (character === "'") forms.push(String.raw`'\\{1,16}''`, `'"'"'`)
  return `(?:${forms.join('|')})`
}

const literal = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/-]/g, String.raw`\$&`)

const anyCase = (hex: string): string =>
  hex.replace(/[a-f]/g, (letter) => `[${letter}${letter.toUpperCase()}]`)

/** Base64 of the secret alone, and of whatever it is part of: three ways to lie across its groups of three bytes. */
function base64Forms(bytes: Buffer): readonly string[] {
  const pieces = [0, 1, 2].map((before) => {
    const whole = Buffer.concat([Buffer.alloc(before), bytes])
      .toString('base64')
      .replace(/=+$/, '')
    // The first and the last character hold bits of neighbours as well.
    const from = Math.ceil((before * 4) / 3)
    return whole.slice(from, Math.floor(((before + bytes.length) * 8) / 6))
  })
  const forms = [
    bytes.toString('base64').replace(/=+$/, ''),
    ...pieces.filter(({length}) => length >= shortestPiece),
  ]
  return forms.flatMap((form) => [
    `${literal(form)}={0,2}`,
    literal(form.replaceAll('+', '-').replaceAll('/', '_')),
  ])
}

function patternOf(secret: string): RegExp {
  const bytes = Buffer.from(secret, 'utf8')
  const quoted = secret.includes('\0') ? secret : quoteWord(secret).slice(1, -1)
  const forms = [
    escapedForm(secret),
    ...(secret.trim() === secret ? [] : [escapedForm(secret.trim())]),
    literal(quoted),
    ...base64Forms(bytes),
    anyCase(bytes.toString('hex')),
  ]
  return new RegExp(forms.join('|'), 'g')
}

export function createRedactor(): Redactor {
  const patterns = new Map<string, RegExp>()
  let longestFirst: readonly RegExp[] = []
  return {
    add(secret) {
      if (secret.trim() === '') return
      for (const form of [secret, ...secret.split('\n').filter((line) => line.trim().length >= 8)]) {
        if (!patterns.has(form)) patterns.set(form, patternOf(form))
      }
      // A longer form first: else a part of it would be masked and its rest shown.
      longestFirst = [...patterns]
        .sort(([left], [right]) => right.length - left.length)
        .map(([, pattern]) => pattern)
    },
    redact(text) {
      return longestFirst.reduce((shown, pattern) => shown.replace(pattern, () => mask), text)
    },
  }
}
