import {readFile} from 'node:fs/promises'
import {LineCounter, parseDocument} from 'yaml'
import {ConfigError, type ConfigProblem, errorMessage} from '../base/errors.ts'
import {formatPath, type Path} from './problems.ts'
import {
  invisibleProblems,
  lowerFirst,
  MAX_DEPTH,
  MAX_SYNTAX_PROBLEMS,
  syntaxProblems,
  withoutEmptyTail,
} from './yaml-text.ts'

/** Where a document came from, and the page that explains its keys; for messages. */
export interface DocumentSource {
  readonly source: string
  readonly page: string
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

/** The value of a text that holds one YAML document of plain JSON. Throws ConfigError CONFIG_INVALID, CONFIG_UNREADABLE. */
export function parseYamlDocument(text: string, from: DocumentSource): unknown {
  const {source} = from
  if (Buffer.byteLength(text) > MAX_BYTES) {
    throw new ConfigError('CONFIG_UNREADABLE', `${source} is larger than ${MAX_BYTES / 1024} KiB`)
  }
  const invisible = invisibleProblems(text)
  if (invisible.length > 0) throw invalidDocument(from, invisible.slice(0, MAX_SYNTAX_PROBLEMS))
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
    if (faults.length > 0) throw invalidDocument(from, faults)
    const value: unknown = document.toJS({maxAliasCount: 50})
    if (value === null || value === undefined)
      throw invalidDocument(from, [{path: '', value, problem: 'is empty'}])
    const deep = tooDeep(value)
    if (deep !== undefined) {
      const problem = `is nested more than ${MAX_DEPTH} levels deep`
      throw invalidDocument(from, [{path: formatPath(deep), value: undefined, problem}])
    }
    return value
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause
    // Too many aliases, or nesting beyond the parser's stack.
    throw invalidDocument(
      from,
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

/** Every problem of a document as one error. */
export function invalidDocument(
  {source, page}: DocumentSource,
  problems: readonly ConfigProblem[],
  cause?: unknown,
): ConfigError {
  const [only] = problems
  const what = problems.length === 1 && only !== undefined ? sentenceOf(only) : `${problems.length} problems`
  return new ConfigError('CONFIG_INVALID', `${source} is not valid: ${what}`, {
    problems,
    cause,
    suggestions: [`correct the values above; every key is described in ${page}`],
  })
}

function sentenceOf({path, value, problem}: ConfigProblem): string {
  const shown = ['string', 'number', 'boolean'].includes(typeof value) ? JSON.stringify(value) : ''
  return [path === '' ? '' : `${path}:`, shown, problem].filter((part) => part !== '').join(' ')
}

function reasonOf(error: unknown): string {
  const text = errorMessage(error)
  // Node's `ENOENT: no such file or directory, open '/x'`: the words alone, the path is told already.
  return lowerFirst(/^E[A-Z]+: ([^,]+), /.exec(text)?.[1] ?? text)
}
