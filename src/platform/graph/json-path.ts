type Step = string | number

/** Steps of a path as kubectl writes it, without wildcards and filters; undefined: it is none. */
export function parseJsonPath(text: string): readonly Step[] | undefined {
  const inner = /^\{(.*)\}$/s.exec(text.trim())?.[1] ?? text.trim()
  const steps: Step[] = []
  const pattern = /\.((?:[^.[\]{}\\'"\s]|\\.)+)|\[(\d+)\]|\['([^']*)'\]|\["([^"]*)"\]/y
  while (pattern.lastIndex < inner.length) {
    const found = pattern.exec(inner)
    if (found === null) return undefined
    const [, key, index, single, double] = found
    if (index !== undefined) steps.push(Number(index))
    else steps.push(key?.replaceAll(/\\(.)/g, '$1') ?? single ?? double ?? '')
  }
  return steps.length === 0 ? undefined : steps
}

/** The value at a path; undefined: there is none. */
export function valueAtJsonPath(object: unknown, steps: readonly Step[]): unknown {
  return steps.reduce<unknown>((node, step) => {
    if (typeof node !== 'object' || node === null || !Object.hasOwn(node, step)) return undefined
    const child: unknown = Reflect.get(node, step)
    return child
  }, object)
}
