import {readFile} from 'node:fs/promises'
import {LineCounter, parseDocument} from 'yaml'
import {ConfigError, type ConfigProblem, errorMessage} from '../base/errors.ts'
import {API_VERSION, type ClusterSpec, clusterDocumentSchema} from './cluster-spec.ts'
import {resolveDefaults} from './defaults.ts'
import {knownKeysAt} from './json-schema.ts'
import {applyOverrides, type SpecOverrides} from './overrides.ts'
import {type Finding, findingsOf, formatPath, type Path, toProblem, valueAt} from './problems.ts'
import {settleRenamed} from './renamed.ts'
import {ruleFindings} from './rules.ts'
import {settleSpellings} from './spellings.ts'
import {
  invisibleProblems,
  lowerFirst,
  MAX_DEPTH,
  MAX_SYNTAX_PROBLEMS,
  syntaxProblems,
  withoutEmptyTail,
} from './yaml-text.ts'

export type {SpecOverrides} from './overrides.ts'

export interface LoadOptions {
  /** Text of cluster.yaml; without it everything but the name has a default. */
  readonly text?: string | undefined
  /** Where the text came from, for messages only. */
  readonly file?: string | undefined
  /** Name given beside the file; must be the file's, if it has one. */
  readonly name?: string | undefined
  readonly overrides?: SpecOverrides | undefined
}

const MAX_BYTES = 1024 * 1024

/** Text of a specification file, of standard input for `-`. Throws ConfigError CONFIG_UNREADABLE. */
export async function readSpecFile(path: string, stdin?: AsyncIterable<Uint8Array>): Promise<string> {
  try {
    const content = path === '-' && stdin !== undefined ? await readStart(stdin) : await readFile(path)
    if (content.byteLength > MAX_BYTES) {
      throw new ConfigError('CONFIG_UNREADABLE', `${path} is larger than ${MAX_BYTES / 1024} KiB`)
    }
    return new TextDecoder('utf-8', {fatal: true}).decode(content)
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause
    const reason = cause instanceof TypeError ? 'it is not UTF-8 text' : reasonOf(cause)
    throw new ConfigError('CONFIG_UNREADABLE', `cannot read ${path}: ${reason}`, {
      cause,
      suggestions: [`check that the file exists and is readable: ls -l ${path}`],
    })
  }
}

/** As much of a stream as shows that it is too large. */
async function readStart(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of stream) {
    chunks.push(chunk)
    size += chunk.byteLength
    if (size > MAX_BYTES) break
  }
  return Buffer.concat(chunks)
}

/** The validated, defaulted, deeply frozen spec. Throws ConfigError CONFIG_INVALID with every problem found. */
export function loadSpec(options: LoadOptions): ClusterSpec {
  const source = options.file ?? (options.text === undefined ? 'the command line' : 'the specification')
  const document = options.text === undefined ? emptyDocument() : parseText(options.text, source)
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
    if (findings.length > 0) throw invalid(source, findings.map(toProblem))
    return deepFreeze(spec)
  }
  const shape = findingsOf(parsed.error, document, knownKeysAt)
  throw invalid(source, [...found, ...shape, ...rulesOfTheRest(document, shape)].map(toProblem))
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

function parseText(text: string, source: string): unknown {
  if (Buffer.byteLength(text) > MAX_BYTES) {
    throw new ConfigError('CONFIG_UNREADABLE', `${source} is larger than ${MAX_BYTES / 1024} KiB`)
  }
  const invisible = invisibleProblems(text)
  if (invisible.length > 0) throw invalid(source, invisible.slice(0, MAX_SYNTAX_PROBLEMS))
  const lines = new LineCounter()
  try {
    const document = parseDocument(withoutEmptyTail(text), {
      lineCounter: lines,
      prettyErrors: false,
      uniqueKeys: true,
      // Also where the text asks for YAML 1.1, whose dates, sets and merges are no JSON.
      schema: 'core',
      merge: true,
      logLevel: 'error',
    })
    const faults = syntaxProblems([...document.errors, ...document.warnings], lines)
    if (faults.length > 0) throw invalid(source, faults)
    const value: unknown = document.toJS({maxAliasCount: 50})
    if (value === null || value === undefined) throw invalid(source, [{path: '', value, problem: 'is empty'}])
    const deep = tooDeep(value)
    if (deep !== undefined) {
      const problem = `is nested more than ${MAX_DEPTH} levels deep`
      throw invalid(source, [{path: formatPath(deep), value: undefined, problem}])
    }
    return value
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause
    // Too many aliases, or nesting beyond the parser's stack.
    throw invalid(
      source,
      [{path: '', value: undefined, problem: `is not usable YAML: ${reasonOf(cause)}`}],
      cause,
    )
  }
}

function tooDeep(root: unknown): Path | undefined {
  const open: {value: unknown; path: Path}[] = [{value: root, path: []}]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const {value, path} = next
    if (typeof value !== 'object' || value === null) continue
    if (path.length > MAX_DEPTH) return path.slice(0, 4)
    const isList = Array.isArray(value)
    for (const [key, child] of Object.entries(value)) {
      open.push({value: child, path: [...path, isList ? Number(key) : key]})
    }
  }
  return undefined
}

function invalid(source: string, problems: readonly ConfigProblem[], cause?: unknown): ConfigError {
  const [only] = problems
  const what = problems.length === 1 && only !== undefined ? sentenceOf(only) : `${problems.length} problems`
  return new ConfigError('CONFIG_INVALID', `${source} is not valid: ${what}`, {
    problems,
    cause,
    suggestions: ['correct the values above; every key is described in docs/cluster.md'],
  })
}

function sentenceOf({path, value, problem}: ConfigProblem): string {
  const shown = ['string', 'number', 'boolean'].includes(typeof value) ? JSON.stringify(value) : ''
  return [path === '' ? '' : `${path}:`, shown, problem].filter((part) => part !== '').join(' ')
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const child of Object.values(value)) deepFreeze(child)
  }
  return value
}

function reasonOf(error: unknown): string {
  const text = errorMessage(error)
  // Node's `ENOENT: no such file or directory, open '/x'`: the words alone, the path is told already.
  return lowerFirst(/^E[A-Z]+: ([^,]+), /.exec(text)?.[1] ?? text)
}
