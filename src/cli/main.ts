import {fileURLToPath} from 'node:url'
import {run, settings} from '@oclif/core'
import {showFailure} from './failure.ts'
import {programFacts} from './quick.ts'
import {versionLine} from './root-help.ts'
import {terminalOf} from './terminal.ts'

/** Starts oclif and ends the process. Errors of a command are shown by the command; this shows what comes before one. */
export async function main(argv: readonly string[], packageRoot: string): Promise<void> {
  // Development runs the sources; oclif finds them beside dist only when it may transpile, and the manifest names dist.
  const isDevelopment = import.meta.url.endsWith('.ts')
  settings.enableAutoTranspile = isDevelopment
  try {
    await run(
      [...argv],
      isDevelopment ? {root: fileURLToPath(packageRoot), ignoreManifest: true} : packageRoot,
    )
  } catch (error) {
    process.exitCode = showFailure(error, {
      terminal: terminalOf(process),
      json: argv.includes('--json'),
      version: versionLine(programFacts(new URL(packageRoot))),
      help: 'clouder --help',
      redact: (text) => text,
    })
  }
  await Promise.all([written(process.stdout), written(process.stderr)])
  // Connections that are still open must not keep a finished command alive.
  process.exit()
}

/** Resolves when everything was handed over, or nobody reads any more. */
function written(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    stream.write('', () => resolve())
  })
}
