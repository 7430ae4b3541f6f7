import {mkdir, rm} from 'node:fs/promises'
import type {TestProject} from 'vitest/node'

/** Makes the folder that tests of a project have as TMPDIR, and takes it away with all that killed workers left. */
export default async function tempRoot({config}: TestProject): Promise<(() => Promise<void>) | undefined> {
  const dir = config.env['TMPDIR']
  if (dir === undefined) return undefined
  await mkdir(dir, {recursive: true, mode: 0o700})
  return () => rm(dir, {recursive: true, force: true})
}
