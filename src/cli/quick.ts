import {readFileSync} from 'node:fs'
import {versionLine, type ProgramFacts} from './root-help.ts'

// Read without zod, whose loading alone would cost more than the answer.
interface PackageFile {
  version: string
  description: string
}

/** From package.json, in `packageRoot`. */
export function programFacts(packageRoot: URL): ProgramFacts {
  const text = readFileSync(new URL('package.json', packageRoot), 'utf8')
  const {version, description} = JSON.parse(text) as PackageFile
  return {bin: 'clouder', version, description}
}

/** Answers `--version` and the root's `--help`; false when it is something else, or the build wrote no help. */
export function answerQuickly(argv: readonly string[], packageRoot: URL): boolean {
  const [only = '--help'] = argv
  if (argv.length > 1 || (only !== '--version' && only !== '--help')) return false
  const text = only === '--version' ? `${versionLine(programFacts(packageRoot))}\n` : helpOf(packageRoot)
  if (text === undefined) return false
  process.stdout.write(text)
  return true
}

/** What bin/write-help.js made of the manifest of all commands, which takes longer to read than Node.js to start. */
function helpOf(packageRoot: URL): string | undefined {
  try {
    return readFileSync(new URL('dist/help.txt', packageRoot), 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}
