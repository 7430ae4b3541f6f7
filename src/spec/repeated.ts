import {formatPath, type Finding, type Path} from './problems.ts'

/** One finding for every key that was met before; it names where. */
export function findRepeated(
  entries: readonly {readonly key: string; readonly path: Path}[],
): readonly Finding[] {
  const first = new Map<string, Path>()
  return entries.flatMap(({key, path}) => {
    const before = first.get(key)
    if (before === undefined) {
      first.set(key, path)
      return []
    }
    return [{path, value: key, problem: `is also at ${formatPath(before)}`, reads: [before]}]
  })
}
