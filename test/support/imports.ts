import {readdir, readFile} from 'node:fs/promises'
import {join, posix} from 'node:path'

export interface SourceFile {
  /** From the root of the project: `src/bootstrap/engine/run.ts`. */
  readonly path: string
  readonly text: string
}

export interface Import {
  readonly from: string
  /** Path of a file of the project, or the name of a package: `@oclif/core`, `node:fs`. */
  readonly to: string
  readonly isPackage: boolean
  readonly typeOnly: boolean
}

const STATEMENTS = [
  /^import\s+(?<type>type\s+)?(?<names>[\w*{][^;'"]*?)\s+from\s+'(?<to>[^']+)'/gm,
  /^export\s+(?<type>type\s+)?(?<names>\{[^}]*\}|\*(?:\s+as\s+\w+)?)\s+from\s+'(?<to>[^']+)'/gm,
  /^import\s+'(?<to>[^']+)'/gm,
  /\bimport\('(?<to>[^']+)'\)/g,
]

/** Every TypeScript file below a folder of the project. */
export async function sourceFiles(root: string, folder: string): Promise<readonly SourceFile[]> {
  const entries = await readdir(join(root, folder), {recursive: true})
  const paths = entries.filter((entry) => entry.endsWith('.ts')).map((entry) => posix.join(folder, entry))
  return await Promise.all(
    paths.map(async (path) => ({path, text: await readFile(join(root, path), 'utf8')})),
  )
}

/** What a file imports, re-exports or loads when it runs. */
export function importsOf({path, text}: SourceFile): readonly Import[] {
  return STATEMENTS.flatMap((statement) =>
    [...text.matchAll(statement)].map(({groups = {}}) => {
      const {type, names = '', to = ''} = groups
      const isPackage = !to.startsWith('.')
      return {
        from: path,
        to: isPackage ? packageOf(to) : posix.join(posix.dirname(path), to),
        isPackage,
        typeOnly: type !== undefined || onlyTypes(names),
      }
    }),
  )
}

function packageOf(specifier: string): string {
  if (specifier.startsWith('node:')) return specifier
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
}

function onlyTypes(names: string): boolean {
  const inBraces = /^\{([^}]*)\}$/.exec(names.trim())?.[1]
  if (inBraces === undefined) return false
  const each = inBraces
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
  return each.length > 0 && each.every((name) => name.startsWith('type '))
}
