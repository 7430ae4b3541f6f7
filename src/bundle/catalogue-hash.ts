import {statSync} from 'node:fs'
import {readFile} from 'node:fs/promises'
import {join} from 'node:path'
import {catalogueFor} from './catalogue.ts'
import {sha256Of} from './digest.ts'
import {buildInputs} from './go-components.ts'

/**
 * Hex sha256 of everything this version of clouder pins for a Kubernetes version: the catalogue, its Go modules and
 * its own programs.
 * A bundle whose lock has another one was made of other pins. Reads files only. Throws BundleError VERSION_NOT_IN_BUNDLE.
 */
export async function catalogueHash(kubernetes: string, packageRoot: string): Promise<string> {
  const catalogue = catalogueFor(kubernetes)
  const pinned = [...catalogue.components, ...catalogue.manifests.map(({recipe}) => recipe)]
  const folders = [...new Set(pinned.map(({module}) => module))].sort()
  const modules = await Promise.all(
    folders.map(async (module) => {
      const folder = join(packageRoot, 'src', 'bundle', 'modules', module)
      const names = await buildInputs(folder)
      return Promise.all(
        names.map(async (name) => [module, name, await readFile(join(folder, name), 'utf8')]),
      )
    }),
  )
  const programs = await Promise.all(
    catalogue.images.flatMap(({recipe}) =>
      'program' in recipe ? [digestOf(join(packageRoot, recipe.program))] : [],
    ),
  )
  return sha256Of(JSON.stringify([catalogue, modules, programs]))
}

const digests = new Map<string, string>()

/** A program that is not built yet is none of any bundle; the build says what is to be run. */
async function digestOf(path: string): Promise<string> {
  const found = statSync(path, {throwIfNoEntry: false})
  if (found === undefined) return 'absent'
  // Megabytes, asked for several times in a run.
  const key = `${found.size} ${found.mtimeMs} ${path}`
  const digest = digests.get(key) ?? sha256Of(await readFile(path))
  digests.set(key, digest)
  return digest
}
