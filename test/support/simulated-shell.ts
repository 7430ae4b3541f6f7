import type {SimulatedCluster} from './simulated-cluster.ts'
import {sha256Of, type SimulatedMachine} from './simulated-machine.ts'

export interface Failed {
  readonly exitCode: number
  readonly stderr: string
}

/** What a script does to a machine and prints; text stands for stdout of a success. */
export type Behaviour = (
  machine: SimulatedMachine,
  text: string,
  cluster: SimulatedCluster,
) => string | Failed

export const failed = (stderr: string): Failed => ({exitCode: 1, stderr})

/** Words as the templates quote them. */
export const words = (text: string): readonly string[] =>
  [...text.matchAll(/'((?:[^']|'\\'')*)'/g)].map(([, word = '']) => word.replaceAll(`'\\''`, `'`))

/** Words of the lines that a pattern with one group finds. */
export const wordsAfter = (text: string, pattern: RegExp): readonly string[] =>
  [...text.matchAll(new RegExp(pattern.source, 'gm'))].flatMap(([, rest = '']) => words(rest))

export const lines = (...parts: readonly (string | readonly string[])[]): string =>
  parts
    .flat()
    .filter((line) => line !== '')
    .map((line) => `${line}\n`)
    .join('')

/** The partial `files/_probe`. */
export const seenFiles = (machine: SimulatedMachine, text: string): readonly string[] =>
  wordsAfter(text, /^seen (.*)$/).flatMap((path) => {
    const file = machine.files.get(path)
    return file === undefined ? [] : [`file=${file.mode.toString(8)} ${sha256Of(file.content)} ${path}`]
  })

/** The partial `files/_write`. */
export function writeFiles(machine: SimulatedMachine, text: string): void {
  for (const [line] of text.matchAll(/^put '.*$/gm)) {
    const [path = '', mode = '', base64 = ''] = words(line)
    machine.put(path, Buffer.from(base64, 'base64').toString('utf8'), Number.parseInt(mode, 8))
  }
}

/** Lines `rm -f PATH` at the left margin. */
export function removeFiles(machine: SimulatedMachine, text: string): void {
  for (const path of wordsAfter(text, /^rm -f ('.*)$/)) machine.remove(path)
}

/** Files that are written by here-documents, by path; `intro` has the path's word in its group. */
export const hereDocuments = (text: string, intro: RegExp): readonly (readonly [string, string])[] =>
  [
    ...text.matchAll(
      new RegExp(`^${intro.source} <<'CLOUDER_END_OF_FILE'\\n([\\s\\S]*?\\n)CLOUDER_END_OF_FILE$`, 'gm'),
    ),
  ].map(([, word = '', content = '']) => [words(word)[0] ?? word.replaceAll('"', ''), content])
