type Json = Record<string, unknown>

export const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** `over` laid over `base`. */
export function merged(base: unknown, over: unknown): unknown {
  if (!isObject(base) || !isObject(over)) return over
  const result: Json = {...base}
  for (const [key, value] of Object.entries(over))
    result[key] = key in base ? merged(base[key], value) : value
  return result
}

/** `value` without what `before` has and `now` lacks. */
export function without(value: unknown, before: unknown, now: unknown): unknown {
  if (!isObject(value) || !isObject(before) || !isObject(now)) return value
  const result: Json = {}
  for (const [key, item] of Object.entries(value)) {
    if (key in before && !(key in now)) continue
    result[key] = key in before ? without(item, before[key], now[key]) : item
  }
  return result
}

/** RFC 7396. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch
  const result: Json = isObject(target) ? {...target} : {}
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) Reflect.deleteProperty(result, key)
    else result[key] = mergePatch(result[key], value)
  }
  return result
}

/** `a=b`, `a!=b`, `a`, `!a`, with commas between them. */
export function selectorOf(text: string): (labels: Readonly<Record<string, string>>) => boolean {
  const terms = text.split(',').filter((term) => term !== '')
  return (labels) =>
    terms.every((term) => {
      const [, no, key = '', operator, value] = /^(!?)([^!=]+)(?:(!=|==?)(.*))?$/.exec(term) ?? []
      if (operator === undefined) return (labels[key] !== undefined) !== (no === '!')
      return (labels[key] === value) !== (operator === '!=')
    })
}

/** `spec.nodeName=a,status.phase!=Failed`, on any path of an object. */
export function fieldSelectorOf(text: string): (object: unknown) => boolean {
  const terms = text.split(',').filter((term) => term !== '')
  return (object) =>
    terms.every((term) => {
      const [, path = '', operator, value] = /^([^!=]+)(!=|==?)(.*)$/.exec(term) ?? []
      const found = path.split('.').reduce<unknown>((at, key) => (isObject(at) ? at[key] : undefined), object)
      return ((found ?? '') === value) !== (operator === '!=')
    })
}

export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  for (const item of Object.values(value)) deepFreeze(item)
  return Object.freeze(value)
}
