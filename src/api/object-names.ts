import {createHash} from 'node:crypto'

/** Of a label's value, and of names that are used as one. */
const MOST = 63
const DIGEST = 12

/**
 * A name of an object made of parts that are names, joined by `-`: a DNS-1123 subdomain of at most `most` letters. What
 * is too long is cut and gets a digest of all of it. Only then it has exactly that many letters, so that no whole name is
 * ever equal to a cut one.
 */
export function objectName(parts: readonly string[], most = MOST): string {
  const whole = parts.join('-')
  return whole.length < most ? whole : cut(whole, parts.join('/'), most)
}

/** The value of a label that stands for a name; what is too long is cut as `objectName` does. */
export const labelValue = (name: string): string => objectName([name])

/** Whether a label's value is the name itself, and not one that was cut. */
export const isWholeName = (value: string): boolean => value.length < MOST

/** Name of a Service, a DNS-1035 label: no dots, and a letter first. */
export function serviceName(name: string): string {
  if (/^[a-z][-a-z0-9]*$/.test(name) && name.length < MOST) return name
  return cut(`s-${name.replaceAll('.', '-')}`, name, MOST)
}

/** `most` letters: the beginning, and a digest of what it stands for. */
function cut(whole: string, identity: string, most: number): string {
  const digest = createHash('sha256').update(identity).digest('hex').slice(0, DIGEST)
  const head = whole.slice(0, most - DIGEST - 1).padEnd(most - DIGEST - 1, '0')
  // A name is cut at any letter, and must not be cut behind a dot or a dash.
  return `${head.replace(/[^a-z0-9]+$/, (end) => '0'.repeat(end.length))}-${digest}`
}
