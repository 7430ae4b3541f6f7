import {type LineCounter, type YAMLError} from 'yaml'
import type {ConfigProblem} from '../base/errors.ts'

/** Characters that look like a space or like nothing, as web pages and word processors put them in. */
const INVISIBLE =
  /[\u0085\u00A0\u00AD\u061C\u1680\u180E\u2000-\u200F\u2028-\u202F\u205F-\u2064\u2066-\u206F\u3000\uFEFF]/

export const MAX_DEPTH = 32
export const MAX_SYNTAX_PROBLEMS = 5

const COMMENT = /(^|[ \t])#.*$/

/**
 * The text without what follows its one document: a `---` behind which there is nothing, as some programs end a file.
 * At the start of a line it is no part of any value.
 */
export function withoutEmptyTail(text: string): string {
  const lines = text.split('\n')
  let content = lines.length
  while (content > 0 && /^\s*(#.*)?$|^(---|\.\.\.)\s*(#.*)?$/.test(lines[content - 1] ?? '')) content -= 1
  const marker = lines.findIndex((line, index) => index >= content && /^(---|\.\.\.)\s*(#.*)?$/.test(line))
  return content === 0 || marker === -1 ? text : `${lines.slice(0, marker).join('\n')}\n`
}

/** Where a character stands that nobody sees; in comments it does no harm. */
export function invisibleProblems(text: string): readonly ConfigProblem[] {
  return text.split('\n').flatMap((line, index) => {
    const at = line.replace(COMMENT, '').search(INVISIBLE)
    // A byte order mark at the very start is none of the text.
    if (at === -1 || (index === 0 && at === 0 && line.startsWith('\uFEFF'))) return []
    const code = (line.codePointAt(at) ?? 0).toString(16).toUpperCase().padStart(4, '0')
    const what = code === '00A0' ? 'a no-break space (U+00A0)' : `the invisible character U+${code}`
    return [
      {
        path: `line ${index + 1}, column ${at + 1}`,
        value: undefined,
        problem: `contains ${what}: replace it with a plain space, or remove it`,
      },
    ]
  })
}

/** One problem per line, and a few in all: what follows a fault in YAML is mostly its echo. */
export function syntaxProblems(faults: readonly YAMLError[], lines: LineCounter): readonly ConfigProblem[] {
  const byLine = new Map(
    faults.toReversed().map(({pos, code, message}) => {
      const {line, col} = lines.linePos(pos[0])
      const text = syntaxText[code] ?? lowerFirst(message)
      return [line, {path: `line ${line}, column ${col}`, value: undefined, problem: text}] as const
    }),
  )
  return [...byLine.values()].toReversed().slice(0, MAX_SYNTAX_PROBLEMS)
}

const syntaxText: Readonly<Record<string, string>> = {
  MULTIPLE_DOCS: 'contains a second document: use one file for each',
  DUPLICATE_KEY: 'has a duplicate key',
  RESOURCE_EXHAUSTION: `is nested more than ${MAX_DEPTH} levels deep`,
}

export function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1)
}
