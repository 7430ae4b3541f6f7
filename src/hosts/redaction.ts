import {quoteWord} from './quoting.ts'

/** Takes known secrets out of any text that leaves the program: errors, logs, events. */
export interface Redactor {
  /** Registers a secret and the encodings it may show up in. Empty text is ignored. */
  add(secret: string): void
  redact(text: string): string
}

const mask = '[redacted]'

function encodingsOf(secret: string): readonly string[] {
  const bytes = Buffer.from(secret, 'utf8')
  const base64 = bytes.toString('base64')
  const json = JSON.stringify(secret).slice(1, -1)
  return [
    secret,
    secret.trim(),
    base64,
    base64.replace(/=+$/, ''),
    bytes.toString('base64url'),
    encodeURIComponent(secret.toWellFormed()),
    json,
    // JSON inside JSON: a result line that quotes an error's text.
    JSON.stringify(json).slice(1, -1),
    secret.includes('\0') ? secret : quoteWord(secret).slice(1, -1),
    bytes.toString('hex'),
    bytes.toString('hex').toUpperCase(),
  ]
}

export function createRedactor(): Redactor {
  const hidden = new Set<string>()
  let longestFirst: readonly string[] = []
  return {
    add(secret) {
      if (secret.trim() === '') return
      for (const form of [secret, ...secret.split('\n').filter((line) => line.trim().length >= 8)]) {
        for (const encoded of encodingsOf(form)) if (encoded !== '') hidden.add(encoded)
      }
      // A longer form first: else a part of it would be masked and its rest shown.
      longestFirst = [...hidden].sort((left, right) => right.length - left.length)
    },
    redact(text) {
      return longestFirst.reduce((shown, secret) => shown.replaceAll(secret, () => mask), text)
    },
  }
}
