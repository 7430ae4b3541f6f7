import {posix} from 'node:path'
import {importsOf, type Import, type SourceFile} from './imports.ts'

/** What a wing, or a room of one, may import: names of wings (`spec`), or of one room of them (`bootstrap/hosts`). */
export interface Arrows {
  /** Whose code may be used. */
  readonly code: readonly string[]
  /** Of which only types may be used. */
  readonly types: readonly string[]
}

/** The import table, on two levels. */
export interface Architecture {
  /** A wing is a folder of src, a file directly in it, or the folder stacks. */
  readonly wings: Readonly<Record<string, Arrows>>
  /**
   * Rooms inside a wing: its folders, and files directly in it by their names. A room may import what its own line names:
   * rooms beside it as `./hosts`, and of what the wing may import as much as is named too. A wing that is not
   * here is one room.
   */
  readonly rooms: Readonly<Record<string, Readonly<Record<string, Arrows>>>>
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

/** Wings that reach themselves along the arrows, and rooms along those inside their wing (`wing/room`); types included. */
export function circlesOfTable({wings, rooms}: Pick<Architecture, 'wings' | 'rooms'>): readonly string[] {
  const inside = Object.entries(rooms).flatMap(([wing, arrows]) =>
    cyclesOf(arrows, (name) => (name.startsWith('./') ? name.slice(2) : undefined)).map(
      (room) => `${wing}/${room}`,
    ),
  )
  return [...cyclesOf(wings, wingOf), ...inside]
}

function cyclesOf(
  arrows: Readonly<Record<string, Arrows>>,
  partOf: (name: string) => string | undefined,
): readonly string[] {
  const next = (part: string): readonly string[] => {
    const {code = [], types = []} = arrows[part] ?? {}
    return [...code, ...types].map(partOf).filter((name) => name !== undefined)
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

/** Entries of the table that no import needs, `wing or room -> what it may use`: each lets in what nobody decided on. */
export function unusedArrows(
  files: readonly SourceFile[],
  {wings, rooms}: Pick<Architecture, 'wings' | 'rooms'>,
): readonly string[] {
  const imports = files.flatMap(importsOf).filter(({isPackage}) => !isPackage)
  const levels: (readonly [string, Arrows])[] = [
    ...Object.entries(wings),
    ...Object.entries(rooms).flatMap(([wing, own]) =>
      Object.entries(own).map(([room, arrows]) => [`${wing}/${room}`, arrows] as const),
    ),
  ]
  return levels.flatMap(([name, {code, types}]) => {
    const uses = imports.flatMap(({from, to, typeOnly}) => {
      const [source, target] = [placeOf(from), placeOf(to)]
      if (source === undefined || target === undefined) return []
      if (name !== source.wing && name !== `${source.wing}/${source.room}`) return []
      const beside = source.wing === target.wing
      return [
        {typeOnly, names: beside ? [`./${target.room}`] : [target.wing, `${target.wing}/${target.room}`]},
      ]
    })
    const isUsed = (entry: string, asType: boolean): boolean =>
      uses.some(({typeOnly, names}) => (asType || !typeOnly) && names.includes(entry))
    return [
      ...code.filter((entry) => !isUsed(entry, false)),
      ...types.filter((entry) => !isUsed(entry, true)),
    ].map((entry) => `${name} -> ${entry}`)
  })
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

const wingOf = (name: string): string => name.split('/')[0] ?? name

interface Place {
  readonly wing: string
  readonly room: string
}

function placeOf(path: string): Place | undefined {
  const [root, wing, room = ''] = path.split('/')
  if (root === 'stacks') return {wing: root, room: ''}
  return root === 'src' && wing !== undefined ? {wing, room} : undefined
}

/** How these arrows let a place be used: its code, its types, or not at all. */
function allowedBy(
  {code, types}: Arrows,
  {wing, room}: Place,
  inside: boolean,
): 'code' | 'types' | undefined {
  const names = inside ? [`./${room}`] : [wing, `${wing}/${room}`]
  if (code.some((name) => names.includes(name))) return 'code'
  return types.some((name) => names.includes(name)) ? 'types' : undefined
}

function arrowRule({from, to, typeOnly}: Import, {wings, rooms}: Architecture): readonly string[] {
  const [source, target] = [placeOf(from), placeOf(to)]
  if (source === undefined || target === undefined)
    return [`${from} imports ${to}: nothing outside src is known there`]
  const inside = source.wing === target.wing
  const own = rooms[source.wing]
  if (inside && (own === undefined || source.room === target.room)) return []
  const levels: (readonly [string, Arrows | undefined])[] = [
    ...(inside ? [] : [[source.wing, wings[source.wing]] as const]),
    ...(own === undefined ? [] : [[`${source.wing}/${source.room}`, own[source.room]] as const]),
  ]
  const goal = inside ? target.room : [target.wing, target.room].filter((name) => name !== '').join('/')
  return levels
    .flatMap(([name, arrows]) => {
      if (arrows === undefined) return [`${from}: no arrows are drawn for ${name}`]
      const allowed = allowedBy(arrows, target, inside)
      if (allowed === 'code' || (allowed === 'types' && typeOnly)) return []
      return allowed === 'types'
        ? [`${from} imports code of ${to}: ${name} may use types of ${goal} only`]
        : [`${from} imports ${to}: there is no arrow from ${name} to ${goal}`]
    })
    .slice(0, 1)
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
  return /^src\/bootstrap\/phases\/([^/]+?)(?:\.ts|\/.*)$/.exec(path)?.[1]
}

function nameRule(path: string, {namedOnPurpose}: Architecture): readonly string[] {
  if (namedOnPurpose.includes(path)) return []
  const banned = path.split('/').filter((word) => BANNED_NAME.test(posix.basename(word, '.ts')))
  return banned.map((word) => `${path}: ${word} says nothing about what is inside`)
}

function sleepRule({path, text}: SourceFile): readonly string[] {
  return /^(?!\s*(\*|\/\/)).*\bsleep\s*\(/m.test(text) ? [`${path}: sleeps; waiting is waitFor or retry`] : []
}
