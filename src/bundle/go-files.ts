import {readFile, readdir, stat} from 'node:fs/promises'
import {join} from 'node:path'
import {parseAllDocuments} from 'yaml'
import {z} from 'zod'
import type {ManifestsRecipe} from './catalogue-items.ts'
import {BundleError} from './errors.ts'
import {runProcess} from './process.ts'
import type {SourceContext} from './source.ts'
import {manifestSchema, type Manifest} from './types.ts'

const downloadSchema = z.object({Dir: z.string()})
const YAML_FILE = /\.ya?ml$/

/** The objects of a recipe, in the order of the files' names. Throws BundleError BUILD_FAILED. */
export async function objectsOf(
  recipe: ManifestsRecipe,
  context: SourceContext,
): Promise<readonly Manifest[]> {
  const dir = await moduleDir(recipe, context)
  const files = (await Promise.all(recipe.paths.map((path) => yamlFiles(join(dir, path))))).flat()
  const objects: Manifest[] = []
  for (const file of files) objects.push(...parseObjects(await readFile(file, 'utf8'), file))
  const {kinds} = recipe
  const found = kinds === undefined ? objects : objects.filter(({kind}) => kinds.includes(kind))
  if (found.length > 0) return found
  throw new BundleError('BUILD_FAILED', `${recipe.upstream} has no objects in ${recipe.paths.join(', ')}`)
}

/** Objects of a YAML file with one document or more. Throws BundleError BUILD_FAILED. */
export function parseObjects(text: string, file: string): readonly Manifest[] {
  const documents = parseAllDocuments(text)
  const list = 'empty' in documents ? [] : documents
  return list.flatMap((document) => {
    const [problem] = document.errors
    if (problem !== undefined)
      throw new BundleError('BUILD_FAILED', `${file} is not YAML: ${problem.message}`)
    const content: unknown = document.toJS()
    // A document of comments alone.
    if (content === null) return []
    const parsed = manifestSchema.safeParse(content)
    if (parsed.success) return [parsed.data]
    throw new BundleError(
      'BUILD_FAILED',
      `${file} has a document that is no Kubernetes object: ${z.prettifyError(parsed.error)}`,
    )
  })
}

async function yamlFiles(path: string): Promise<readonly string[]> {
  if ((await stat(path)).isFile()) return [path]
  const names = (await readdir(path)).filter((name) => YAML_FILE.test(name))
  return names.sort().map((name) => join(path, name))
}

/** Where Go has unpacked the module; its content is checked against go.sum. */
async function moduleDir({module, upstream}: ManifestsRecipe, context: SourceContext): Promise<string> {
  context.progress(`downloading ${upstream}`)
  const output = await runProcess(['go', 'mod', 'download', '-json', upstream], {
    cwd: join(context.packageRoot, 'src', 'bundle', 'modules', module),
    environment: {...context.environment, GOFLAGS: '', GOWORK: 'off'},
    signal: context.signal,
  })
  return downloadSchema.parse(JSON.parse(output)).Dir
}
