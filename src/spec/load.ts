import {API_VERSION, type ClusterSpec, clusterDocumentSchema} from './cluster-spec.ts'
import {resolveDefaults} from './defaults.ts'
import {invalidDocument, parseYamlDocument} from './document.ts'
import {knownKeysAt} from './json-schema.ts'
import {applyOverrides, type SpecOverrides} from './overrides.ts'
import {type Finding, findingsOf, type Path, toProblem, valueAt} from './problems.ts'
import {settleRenamed} from './renamed.ts'
import {ruleFindings} from './rules.ts'
import {settleSpellings} from './spellings.ts'

export {readSpecFile} from './document.ts'
export type {SpecOverrides} from './overrides.ts'

/** Where every key is explained. */
const PAGE = 'docs/cluster.md'

export interface LoadOptions {
  /** Text of cluster.yaml; without it everything but the name has a default. */
  readonly text?: string | undefined
  /** Where the text came from, for messages only. */
  readonly file?: string | undefined
  /** Name given beside the file; must be the file's, if it has one. */
  readonly name?: string | undefined
  readonly overrides?: SpecOverrides | undefined
}

/** The validated, defaulted, deeply frozen spec. Throws ConfigError CONFIG_INVALID with every problem found. */
export function loadSpec(options: LoadOptions): ClusterSpec {
  const source = options.file ?? (options.text === undefined ? 'the command line' : 'the specification')
  const document =
    options.text === undefined ? emptyDocument() : parseYamlDocument(options.text, {source, page: PAGE})
  const findings = [
    ...settleRenamed(document),
    ...nameDocument(document, options.name),
    ...applyOverrides(document, options.overrides ?? {}),
  ]
  return specOf(document, source, findings)
}

/** The document of a spec, with every default written out; what records keep. */
export function documentOf(spec: ClusterSpec): unknown {
  const {name, ...body} = spec
  return structuredClone({apiVersion: API_VERSION, kind: 'Cluster', metadata: {name}, spec: body})
}

/** The spec of a document that is already parsed, as `documentOf` made it. Throws ConfigError CONFIG_INVALID. */
export function specFromDocument(document: unknown): ClusterSpec {
  const own: unknown = structuredClone(document)
  settleRenamed(own)
  minimalWithoutAddons(own)
  return specOf(own, 'the recorded specification', [])
}

/** A cluster of a version without addons has those of the profile `minimal`, until an `init` says otherwise. */
function minimalWithoutAddons(document: unknown): void {
  const spec = valueAt(document, ['spec'])
  const addons = valueAt(spec, ['addons'])
  const isAbsent = addons === undefined || (Array.isArray(addons) && addons.length === 0)
  if (!isAbsent || typeof spec !== 'object' || spec === null) return
  Reflect.set(spec, 'addons', {profile: 'minimal'})
}

function specOf(document: unknown, source: string, before: readonly Finding[]): ClusterSpec {
  const found = [...before, ...settleSpellings(document)]
  const parsed = clusterDocumentSchema.safeParse(document)
  if (parsed.success) {
    const spec = resolveDefaults(parsed.data)
    const findings = [...found, ...ruleFindings(spec)]
    if (findings.length > 0) throw invalidDocument({source, page: PAGE}, findings.map(toProblem))
    return deepFreeze(spec)
  }
  const shape = findingsOf(parsed.error, document, knownKeysAt)
  const problems = [...found, ...shape, ...rulesOfTheRest(document, shape)].map(toProblem)
  throw invalidDocument({source, page: PAGE}, problems)
}

/** Rules applied to what is left when all misshapen values are taken out, so that one run names every problem. */
function rulesOfTheRest(document: unknown, shape: readonly Finding[]): readonly Finding[] {
  const rest = structuredClone(document)
  const removed: Path[] = []
  let findings = shape
  for (let round = 0; round < 6; round += 1) {
    for (const {path} of findings) removed.push(remove(rest, path))
    const parsed = clusterDocumentSchema.safeParse(rest)
    if (parsed.success) {
      return ruleFindings(resolveDefaults(parsed.data)).filter(({path, reads = []}) =>
        [path, ...reads].every((read) => removed.every((gone) => !touches(read, gone))),
      )
    }
    // Only the places count now; what is wrong there has been said.
    findings = findingsOf(parsed.error, rest, () => [])
  }
  return []
}

/** Takes the value at a path out, or what surrounds it where it is absent or an element of a list. Returns what went. */
function remove(document: unknown, path: Path): Path {
  const key = path.at(-1)
  const parent = valueAt(document, path.slice(0, -1))
  if (key === undefined) return path
  if (typeof key === 'number' || valueAt(document, path) === undefined)
    return remove(document, path.slice(0, -1))
  if (typeof parent === 'object' && parent !== null) Reflect.deleteProperty(parent, key)
  return path
}

function touches(a: Path, b: Path): boolean {
  const [short, long] = a.length < b.length ? [a, b] : [b, a]
  return short.every((key, index) => key === long[index])
}

function emptyDocument(): unknown {
  return {apiVersion: API_VERSION, kind: 'Cluster', metadata: {}, spec: {}}
}

function nameDocument(document: unknown, name: string | undefined): readonly Finding[] {
  if (name === undefined || typeof document !== 'object' || document === null) return []
  const path = ['metadata', 'name']
  const written = valueAt(document, path)
  if (written !== undefined && written !== name) {
    return [{path, value: written, problem: `differs from the name given on the command line, ${name}`}]
  }
  const metadata = valueAt(document, ['metadata'])
  if (metadata === undefined || metadata === null) Reflect.set(document, 'metadata', {name})
  else if (typeof metadata === 'object') Reflect.set(metadata, 'name', name)
  return []
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const child of Object.values(value)) deepFreeze(child)
  }
  return value
}
