import {isDeepStrictEqual} from 'node:util'
import {isMap, isNode, isScalar, isSeq, LineCounter, parseAllDocuments, type YAMLMap} from 'yaml'
import {z} from 'zod'
import {StateError} from '../base/errors.ts'
import {yamlForGo} from './yaml.ts'

/**
 * Changes a kubeconfig as text: what is not changed keeps its bytes, its comments and its quotes. kubectl reads
 * YAML 1.1 and refuses the whole file for one value that has become a boolean, so nothing here is printed again.
 */
export type EntryList = 'clusters' | 'users' | 'contexts'

export interface NamedEntry {
  readonly name: string
  readonly [key: string]: unknown
}

interface Place {
  readonly text: string
  readonly path: string
}

/** As kubectl reads it. */
const READ = {
  version: '1.1',
  merge: true,
  uniqueKeys: false,
  prettyErrors: false,
  logLevel: 'silent',
} as const

const EMPTY = {apiVersion: 'v1', kind: 'Config', clusters: [], contexts: [], 'current-context': '', users: []}
const SINGLE_KEYS = ['clusters', 'users', 'contexts', 'current-context']

const namedSchema = z.looseObject({name: z.string()})

/** The entries of a list that have a name. Throws StateError RECORD_INVALID. */
export function entriesOf(place: Place, list: EntryList): readonly NamedEntry[] {
  const found = valueOf(place)[list] ?? []
  if (!Array.isArray(found)) throw invalid(place, `${list} is not a list`)
  return found.flatMap((item: unknown) => {
    const named = namedSchema.safeParse(item)
    return named.success ? [named.data] : []
  })
}

/** Undefined where none is set. Throws StateError RECORD_INVALID. */
export function currentContextOf(place: Place): string | undefined {
  const name = valueOf(place)['current-context']
  return typeof name === 'string' && name !== '' ? name : undefined
}

/** The text with the entry in place of the one of its name, or at the end of its list. Throws StateError RECORD_INVALID. */
export function withEntry(place: Place, list: EntryList, entry: NamedEntry): string {
  const started = {...place, text: withContent(place)}
  return checked(started, putEntry(started, list, entry), (before) => {
    const others = listOf(before[list]).filter((item) => nameOf(item) !== entry.name)
    const at = listOf(before[list]).findIndex((item) => nameOf(item) === entry.name)
    return {...before, [list]: others.toSpliced(at === -1 ? others.length : at, 0, entry)}
  })
}

/** The text with another current context. Throws StateError RECORD_INVALID. */
export function withCurrentContext(place: Place, name: string): string {
  const started = {...place, text: withContent(place)}
  const {text} = started
  const map = mapOf(started)
  const pair = pairOf(map, 'current-context')
  const value = pair?.value
  const written = JSON.stringify(name)
  const range = isScalar(value) ? value.range : undefined
  const colon = text.indexOf(':', keyEnd(pair)) + 1
  const changed =
    range === undefined || range === null
      ? withKey(started, map, 'current-context', written, written)
      : range[0] === range[1]
        ? splice(text, [colon, colon], ` ${written}`)
        : splice(text, [range[0], range[1]], written)
  return checked(started, changed, (before) => ({...before, 'current-context': name}))
}

function putEntry(place: Place, list: EntryList, entry: NamedEntry): string {
  const {text} = place
  const map = mapOf(place)
  const pair = pairOf(map, list)
  const value = pair?.value
  const inFlow = JSON.stringify(entry)
  if (value === undefined) return withKey(place, map, list, `[${inFlow}]`, `\n${itemText(entry, '')}`)
  const range = isNode(value) ? value.range : undefined
  if (range === undefined || range === null) throw invalid(place, `${list} is not a list`)
  const [start, end] = range
  if (isSeq(value) && value.items.length > 0) {
    const index = listOf(valueOf(place)[list]).findIndex((item) => nameOf(item) === entry.name)
    const item = value.items[index === -1 ? value.items.length - 1 : index]
    const itemRange = isNode(item) ? item.range : undefined
    if (itemRange === undefined || itemRange === null) throw untouchable(place)
    const [from, to] = itemRange
    const flow = value.flow === true
    if (index !== -1) {
      const written = flow ? inFlow : indented(mapText(entry), ' '.repeat(columnOf(text, from)))
      return splice(text, [from, to], `${written}${text[to - 1] === '\n' ? '\n' : ''}`)
    }
    if (flow) return splice(text, [to, to], `, ${inFlow}`)
    const column = ' '.repeat(columnOf(text, start))
    return afterLine(text, to, `${column}${indented(itemText(entry, ''), column)}`)
  }
  if (map.flow === true) return splice(text, [start, end], `[${inFlow}]`)
  const column = ' '.repeat(columnOf(text, map.range?.[0] ?? 0))
  const written = `\n${column}${indented(itemText(entry, ''), column)}`
  // Where nothing is written, the place of the value can be behind a comment.
  const colon = text.indexOf(':', keyEnd(pair)) + 1
  return start === end
    ? splice(text, [colon, colon], written)
    : splice(text, [text.slice(0, start).trimEnd().length, end], written)
}

/** Adds a key in front of those that are there, where nothing that follows can be taken for a part of it. */
function withKey({text}: Place, map: YAMLMap, key: string, inFlow: string, inBlock: string): string {
  const start = map.range?.[0] ?? 0
  if (map.flow === true) {
    const separator = map.items.length > 0 ? ', ' : ''
    return splice(text, [start + 1, start + 1], `${JSON.stringify(key)}: ${inFlow}${separator}`)
  }
  const column = ' '.repeat(columnOf(text, start))
  const value = inBlock.startsWith('\n') ? inBlock : ` ${inBlock}`
  return splice(text, [start, start], `${indented(`${key}:${value}`, column)}\n${column}`)
}

const mapText = (entry: NamedEntry): string => yamlForGo(entry).trimEnd()
const itemText = (entry: NamedEntry, column: string): string =>
  `${column}- ${indented(mapText(entry), `${column}  `)}`
const indented = (text: string, column: string): string => text.replaceAll('\n', `\n${column}`)

/** Behind the line in which a value ends: what stands there is a comment. */
function afterLine(text: string, end: number, line: string): string {
  if (text[end - 1] === '\n') return splice(text, [end, end], `${line}\n`)
  const lineEnd = text.indexOf('\n', end)
  if (lineEnd === -1) return splice(text, [text.length, text.length], `\n${line}`)
  return splice(text, [lineEnd + 1, lineEnd + 1], `${line}\n`)
}

/** New lines end as the first line of the text does. */
function splice(text: string, [start, end]: readonly [number, number], insert: string): string {
  const windows = /^[^\n]*\r\n/.test(text)
  return `${text.slice(0, start)}${windows ? insert.replaceAll('\n', '\r\n') : insert}${text.slice(end)}`
}

const columnOf = (text: string, offset: number): number =>
  text.slice(text.lastIndexOf('\n', offset - 1) + 1, offset).replace(/^\uFEFF/, '').length

/** A file in which nothing is yet gets its frame; its comments stay above. */
function withContent(place: Place): string {
  const {text} = place
  const contents = documentOf(place)?.contents ?? null
  if (contents !== null && !(isScalar(contents) && contents.value === null)) return text
  const frame = yamlForGo(EMPTY)
  const [start = 0, end = 0] = contents?.range ?? []
  if (start < end) return splice(text, [start, end], frame)
  const gap = text === '' || text.endsWith('\n') || text === '\uFEFF' ? '' : '\n'
  return splice(text, [text.length, text.length], `${gap}${frame}`)
}

/** Gives the changed text if it says what was meant; where anchors or odd layouts make it say anything else, refuses. */
function checked(
  place: Place,
  text: string,
  change: (value: Record<string, unknown>) => Record<string, unknown>,
): string {
  const wanted = change(valueOf(place))
  const found = readAgain({...place, text})
  if (isDeepStrictEqual(plain(found), plain(wanted))) return text
  throw untouchable(place)
}

function readAgain(place: Place): unknown {
  try {
    return valueOf(place)
  } catch (error) {
    if (error instanceof StateError) return undefined
    throw error
  }
}

/** Without prototypes and the order of keys. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value ?? null))

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])
const nameOf = (value: unknown): string | undefined => namedSchema.safeParse(value).data?.name
const pairOf = (map: YAMLMap, key: string) =>
  map.items.find((pair) => isScalar(pair.key) && pair.key.value === key)
const keyEnd = (pair: ReturnType<typeof pairOf>): number =>
  isNode(pair?.key) ? (pair.key.range?.[1] ?? 0) : 0

function mapOf(place: Place): YAMLMap {
  const contents = documentOf(place)?.contents
  if (!isMap(contents)) throw invalid(place, 'it is not a mapping')
  for (const key of SINGLE_KEYS) {
    const count = contents.items.filter((pair) => isScalar(pair.key) && pair.key.value === key).length
    if (count > 1) throw invalid(place, `it has ${key} ${count} times`)
  }
  return contents
}

function valueOf(place: Place): Record<string, unknown> {
  try {
    const parsed = z.looseObject({}).nullish().safeParse(documentOf(place)?.toJS())
    if (parsed.success) return parsed.data ?? {}
  } catch (error) {
    // Aliases without an anchor, or ever more of them.
    if (!(error instanceof ReferenceError)) throw error
    throw invalid(place, error.message)
  }
  throw invalid(place, 'it is not a mapping')
}

/** The first document, which is all that kubectl reads. */
function documentOf(place: Place) {
  const lineCounter = new LineCounter()
  const documents = parseAllDocuments(place.text, {...READ, lineCounter})
  const [document] = 'empty' in documents ? [] : documents
  const [error] = document?.errors ?? []
  if (error === undefined) return document
  const {line, col} = lineCounter.linePos(error.pos[0])
  throw invalid(place, `line ${line}, column ${col}: ${error.message}`)
}

const invalid = ({path}: Place, problem: string): StateError =>
  new StateError('RECORD_INVALID', `${path} is not a kubeconfig: ${problem}`, {
    suggestions: [`see what kubectl reports: kubectl --kubeconfig ${path} config view`],
  })

const untouchable = ({path}: Place): StateError =>
  new StateError(
    'RECORD_INVALID',
    `${path} is formatted in a way that does not allow changing one entry without others`,
    {suggestions: ["use the cluster's own file instead: clouder kubeadm get-config, without --merge"]},
  )
