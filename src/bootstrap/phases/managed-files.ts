import {createHash} from 'node:crypto'
import type {Observed} from './probe.ts'

/** A file whose whole content is ours. */
export interface ManagedFile {
  readonly path: string
  readonly content: string
  /** Permission bits. */
  readonly mode: number
}

export interface FileDrift {
  readonly file: ManagedFile
  /** `absent`, `differs`, `mode 600 instead of 644`. */
  readonly reason: string
}

const octal = (mode: number): string => mode.toString(8)

/** Which files are not as wanted, from what the partial `files/_probe` printed. */
export function driftOf(wanted: readonly ManagedFile[], observed: Observed): readonly FileDrift[] {
  const found = new Map<string, {mode: string; sha256: string}>()
  for (const line of observed.all('file')) {
    const [mode, sha256, ...path] = line.split(' ')
    if (mode !== undefined && sha256 !== undefined) found.set(path.join(' '), {mode, sha256})
  }
  return wanted.flatMap((file) => {
    const there = found.get(file.path)
    if (!there) return [{file, reason: 'absent'}]
    if (there.sha256 !== sha256Of(file.content)) return [{file, reason: 'differs'}]
    if (there.mode === octal(file.mode)) return []
    return [{file, reason: `mode ${there.mode} instead of ${octal(file.mode)}`}]
  })
}

const sha256Of = (text: string): string => createHash('sha256').update(text).digest('hex')

/** The view of files for the partial `files/_write`. */
export const filesView = (files: readonly ManagedFile[]): readonly Readonly<Record<string, string>>[] =>
  files.map((file) => ({
    path: file.path,
    mode: octal(file.mode),
    base64: Buffer.from(file.content).toString('base64'),
  }))

/** `/etc/containerd/config.toml differs`, one for each. */
export const describeDrift = (drift: readonly FileDrift[]): readonly string[] =>
  drift.map(({file, reason}) => `${file.path} ${reason}`)
