/**
 * A view that can't render silently wrong: everything in it is text, a finite number, a boolean, a list or a plain object,
 * and reading a key that isn't there throws a TypeError with the key's path.
 */
export function guardView(view: Readonly<Record<string, unknown>>): object {
  const guarded = guard(view, '')
  if (typeof guarded !== 'object' || guarded === null) throw new TypeError('the view is not an object')
  return guarded
}

function guard(value: unknown, path: string): unknown {
  const problem = problemOf(value)
  if (problem !== undefined) throw new TypeError(`${path === '' ? 'the view' : path} is ${problem}`)
  if (typeof value !== 'object' || value === null) return value
  const refuseText = () => {
    throw new TypeError(`${path} is ${Array.isArray(value) ? 'a list' : 'an object'}: use one of its values`)
  }
  if (Array.isArray(value)) {
    const items = value.map((item: unknown, index) => guard(item, `${path}[${index}]`))
    return Object.defineProperty(items, Symbol.toPrimitive, {value: refuseText})
  }
  const keyPath = (key: string) => (path === '' ? key : `${path}.${key}`)
  const entries = Object.entries(value).map(([key, item]) => [key, guard(item, keyPath(key))] as const)
  return new Proxy(Object.fromEntries(entries), {
    // Handlebars asks `in` first and has a message without the path; so the answer is left to `get`.
    has: () => true,
    get(target, key) {
      if (typeof key === 'string' && Object.hasOwn(target, key)) return target[key]
      if (key === Symbol.toPrimitive) return refuseText
      // JSON.stringify asks every object for toJSON.
      if (typeof key === 'symbol' || key === 'toJSON') return undefined
      throw new TypeError(`the view has no ${keyPath(key)}`)
    },
  })
}

function problemOf(value: unknown): string | undefined {
  switch (typeof value) {
    case 'string':
      return value.isWellFormed() ? undefined : 'text with half a character (a lone surrogate)'
    case 'boolean':
      return undefined
    case 'number':
      return Number.isFinite(value) ? undefined : String(value)
    case 'object':
      return value === null ? 'null' : isPlain(value) ? undefined : 'neither a list nor a plain object'
    default:
      return value === undefined ? 'undefined' : `a ${typeof value}`
  }
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return Array.isArray(value) || prototype === Object.prototype || prototype === null
}
