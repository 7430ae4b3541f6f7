import {posix} from 'node:path'
import {importsOf, type Import, type SourceFile} from './imports.ts'

/** What the parts may import of each other. A part is a folder of src, a file directly in it, or the folder stacks. */
export interface Arrows {
  /** Parts whose code may be used. */
  readonly code: readonly string[]
  /** Parts of which only types may be used. */
  readonly types: readonly string[]
}

export interface Architecture {
  readonly arrows: Readonly<Record<string, Arrows>>
  /** Which files may import a package, or all of a scope (`@scope/*`): paths, or folders that end in `/`. */
  readonly packages: Readonly<Record<string, readonly string[]>>
  /** Files of phases/ that are no phase but used by several. */
  readonly sharedByPhases: readonly string[]
  /** Paths whose name is allowed although it is banned. */
  readonly namedOnPurpose: readonly string[]
}

const BANNED_NAME = /^(utils?|helpers?|common|lib|managers?|services?)$/

/** Everything in the files that the architecture does not allow, one line each. */
export function violationsOf(files: readonly SourceFile[], architecture: Architecture): readonly string[] {
  const imports = files.flatMap(importsOf)
  return [
    ...imports.flatMap((found) =>
      found.isPackage ? packageRule(found, architecture) : arrowRule(found, architecture),
    ),
    ...imports.flatMap((found) => phaseRule(found, architecture)),
    ...files.flatMap(({path}) => nameRule(path, architecture)),
    ...files.flatMap(sleepRule),
  ]
}

/** Parts that reach themselves along the arrows, types included. */
export function cyclesOf(arrows: Readonly<Record<string, Arrows>>): readonly string[] {
  const next = (part: string): readonly string[] => {
    const {code = [], types = []} = arrows[part] ?? {}
    return [...code, ...types]
  }
  const reachable = (start: string): ReadonlySet<string> => {
    const seen = new Set<string>()
    const open = [...next(start)]
    for (let part = open.pop(); part !== undefined; part = open.pop()) {
      if (seen.has(part)) continue
      seen.add(part)
      open.push(...next(part))
    }
    return seen
  }
  return Object.keys(arrows).filter((part) => reachable(part).has(part))
}

/** Files that import each other in a circle, types included: each circle once, its files sorted. */
export function fileCirclesOf(files: readonly SourceFile[]): readonly (readonly string[])[] {
  const next = new Map(
    files.map((file) => [
      file.path,
      importsOf(file)
        .filter(({isPackage}) => !isPackage)
        .map(({to}) => to),
    ]),
  )
  // https://en.wikipedia.org/wiki/Tarjan%27s_strongly_connected_components_algorithm
  const order = new Map<string, number>()
  const open: string[] = []
  const circles: string[][] = []
  const visit = (path: string): number => {
    const own = order.size
    order.set(path, own)
    open.push(path)
    let low = own
    for (const to of next.get(path) ?? []) {
      if (!next.has(to)) continue
      if (!order.has(to)) low = Math.min(low, visit(to))
      else if (open.includes(to)) low = Math.min(low, order.get(to) ?? own)
    }
    if (low === own) {
      const circle = open.splice(open.indexOf(path))
      if (circle.length > 1) circles.push(circle.sort())
    }
    return low
  }
  for (const path of next.keys()) if (!order.has(path)) visit(path)
  return circles
}

function partOf(path: string): string | undefined {
  const [root, part] = path.split('/')
  if (root === 'stacks') return root
  return root === 'src' ? part : undefined
}

function arrowRule({from, to, typeOnly}: Import, {arrows}: Architecture): readonly string[] {
  const [source, target] = [partOf(from), partOf(to)]
  if (target === undefined) return [`${from} imports ${to}: nothing outside src is known there`]
  if (source === target) return []
  const allowed = arrows[source ?? '']
  if (allowed === undefined) return [`${from}: no arrows are drawn for ${source ?? ''}`]
  if (allowed.code.includes(target)) return []
  if (allowed.types.includes(target)) {
    return typeOnly ? [] : [`${from} imports code of ${to}: ${source ?? ''} may use types of ${target} only`]
  }
  return [`${from} imports ${to}: there is no arrow from ${source ?? ''} to ${target}`]
}

function packageRule({from, to}: Import, {packages}: Architecture): readonly string[] {
  if (to.startsWith('node:')) return []
  const importers = packages[to] ?? packages[scopeOf(to)]
  if (importers === undefined) return [`${from} imports ${to}: no place is agreed for that package`]
  const allowed = importers.some((importer) =>
    importer.endsWith('/') ? from.startsWith(importer) : from === importer,
  )
  return allowed ? [] : [`${from} imports ${to}: only ${importers.join(', ')} may`]
}

/** `@aws-sdk/client-ec2` has its place as `@aws-sdk/*`. */
export const scopeOf = (name: string): string => name.replace(/^(@[^/]+)\/.*$/, '$1/*')

/** Phases never import each other; what lies in the folder of a phase is that phase's own. */
function phaseRule({from, to}: Import, {sharedByPhases}: Architecture): readonly string[] {
  const [source, target] = [phaseOf(from), phaseOf(to)]
  if (source === undefined || target === undefined || source === target) return []
  return sharedByPhases.includes(target) ? [] : [`${from} imports ${to}: phases never import each other`]
}

function phaseOf(path: string): string | undefined {
  return /^src\/phases\/([^/]+?)(?:\.ts|\/.*)$/.exec(path)?.[1]
}

function nameRule(path: string, {namedOnPurpose}: Architecture): readonly string[] {
  if (namedOnPurpose.includes(path)) return []
  const banned = path.split('/').filter((word) => BANNED_NAME.test(posix.basename(word, '.ts')))
  return banned.map((word) => `${path}: ${word} says nothing about what is inside`)
}

function sleepRule({path, text}: SourceFile): readonly string[] {
  return /^(?!\s*(\*|\/\/)).*\bsleep\s*\(/m.test(text) ? [`${path}: sleeps; waiting is waitFor or retry`] : []
}
