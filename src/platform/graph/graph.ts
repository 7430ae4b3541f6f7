/** What needs what, by name. */
export type Needs = ReadonlyMap<string, readonly string[]>

/** A circle of names, each of which needs the next, the first one again at its end; undefined: there is none. */
export function cycleIn(needs: Needs): readonly string[] | undefined {
  const finished = new Set<string>()
  const open: string[] = []
  const visit = (name: string): readonly string[] | undefined => {
    const at = open.indexOf(name)
    if (at !== -1) return [...open.slice(at), name]
    if (finished.has(name)) return undefined
    open.push(name)
    for (const need of needs.get(name) ?? []) {
      const found = visit(need)
      if (found !== undefined) return found
    }
    open.pop()
    finished.add(name)
    return undefined
  }
  for (const name of needs.keys()) {
    const found = visit(name)
    if (found !== undefined) return found
  }
  return undefined
}

/** Needs of things that are not there. */
export function missingNeeds(needs: Needs): readonly {readonly name: string; readonly need: string}[] {
  return [...needs].flatMap(([name, all]) =>
    all.filter((need) => !needs.has(need)).map((need) => ({name, need})),
  )
}

/** Groups that can be worked on at the same time, each after the ones before it. Without circles only. */
export function stagesOf(needs: Needs): readonly (readonly string[])[] {
  const depth = new Map<string, number>()
  const depthOf = (name: string): number => {
    const known = depth.get(name)
    if (known !== undefined) return known
    const own = Math.max(-1, ...(needs.get(name) ?? []).map(depthOf)) + 1
    depth.set(name, own)
    return own
  }
  const stages: string[][] = []
  for (const name of [...needs.keys()].toSorted()) (stages[depthOf(name)] ??= []).push(name)
  return stages
}

/** The same graph from its end: what is needed by what. */
export function reversed(needs: Needs): Needs {
  const users = new Map<string, string[]>([...needs.keys()].map((name) => [name, []]))
  for (const [name, all] of needs) for (const need of all) users.get(need)?.push(name)
  return users
}

/** All that a name needs, and what that needs. */
export function allNeedsOf(name: string, needs: Needs): ReadonlySet<string> {
  const found = new Set<string>()
  const open = [...(needs.get(name) ?? [])]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (found.has(next)) continue
    found.add(next)
    open.push(...(needs.get(next) ?? []))
  }
  return found
}
