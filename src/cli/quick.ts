import {readFileSync} from 'node:fs'
import {rootHelp, versionLine, type ListedCommand, type ProgramFacts} from './root-help.ts'

// Both files are made by the build; this reads them without zod, whose loading alone would cost more than the answer.
interface PackageFile {
  version: string
  description: string
}
interface ManifestFile {
  commands: Record<string, ListedCommand>
}

function readJson(url: URL): unknown {
  try {
    return JSON.parse(readFileSync(url, 'utf8'))
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

/** From package.json, in `packageRoot`. */
export function programFacts(packageRoot: URL): ProgramFacts {
  const {version, description} = readJson(new URL('package.json', packageRoot)) as PackageFile
  return {bin: 'clouder', version, description}
}

/** Answers `--version` and the root's `--help`; false when it is something else, or there is no manifest. */
export function answerQuickly(argv: readonly string[], packageRoot: URL): boolean {
  const [only = '--help'] = argv
  if (argv.length > 1 || (only !== '--version' && only !== '--help')) return false
  const program = programFacts(packageRoot)
  if (only === '--version') {
    process.stdout.write(`${versionLine(program)}\n`)
    return true
  }
  const manifest = readJson(new URL('oclif.manifest.json', packageRoot)) as ManifestFile | undefined
  if (manifest === undefined) return false
  process.stdout.write(rootHelp(program, Object.values(manifest.commands)))
  return true
}
