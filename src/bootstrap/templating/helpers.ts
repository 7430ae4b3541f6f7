/** The helpers that every template may use; each turns one value into text that its language reads back as that value. */
export const helpers = {sh, yaml, toml, json, indent}

// Raw, YAML readers refuse DEL, C1 and the non-characters, TOML readers DEL; U+2028, U+2029 and U+0085 are line breaks to some.
const unprintable = /[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/gu

/** One word of a POSIX shell. */
function sh(value: unknown): string {
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (typeof value !== 'string') throw new TypeError(`sh takes a string, not ${kindOf(value)}`)
  if (value.includes('\0')) throw new TypeError('sh cannot pass a NUL character')
  return `'${value.replaceAll("'", `'\\''`)}'`
}

/** Any value as YAML flow text, which for scalars is a quoted string, a number or a boolean. */
function yaml(value: unknown): string {
  return json(value)
}

/** A TOML string, number, boolean, or array of them. */
function toml(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((item: unknown) => toml(item)).join(', ')}]`
  if (typeof value === 'string') return json(value)
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  throw new TypeError(`toml takes a string, number, boolean or list, not ${kindOf(value)}`)
}

/** Any value as JSON on one line. */
function json(value: unknown): string {
  if (value === undefined) throw new TypeError('a helper was called with undefined')
  return JSON.stringify(value).replaceAll(
    unprintable,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** Text with every line that is not empty moved right by `width` spaces. */
function indent(value: unknown, width: unknown): string {
  if (typeof value !== 'string') throw new TypeError(`indent takes text, not ${kindOf(value)}`)
  if (typeof width !== 'number') throw new TypeError('indent takes a number of spaces: {{indent text 4}}')
  return value.replaceAll(/^(?=.)/gm, ' '.repeat(width))
}

function kindOf(value: unknown): string {
  return Array.isArray(value) ? 'a list' : value === null ? 'null' : typeof value
}
