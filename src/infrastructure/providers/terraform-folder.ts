import {existsSync} from 'node:fs'
import {copyFile, mkdir, readFile, rm, symlink, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {z} from 'zod'
import type {TerraformJson} from '../../../stacks/input.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import {LOCK_FILE, lockFileOf} from '../../terraform/plan-file.ts'
import {checkBackend} from '../../terraform/program.ts'
import type {Terraform} from '../../terraform/types.ts'
import {unsavedState} from '../../terraform/unsaved.ts'
import {variablesOf} from './cloud-place.ts'
import type {ProviderContext} from './provider.ts'
import {makeTemporary, removeStale, type TemporaryOptions} from './temporary-folder.ts'

/** Opens Terraform in a folder; `variables` go over those of the user, undefined ones are taken away. */
export type TerraformOpener = (
  dir: string,
  context: ProviderContext,
  variables: Readonly<Record<string, string | undefined>>,
) => Promise<Terraform>

export interface FolderOptions extends TemporaryOptions {
  readonly terraformIn: TerraformOpener
}

/** A folder that Terraform works in. */
export interface WorkFolder extends AsyncDisposable {
  readonly dir: string
  readonly terraform: Terraform
  /** Writes the configuration. */
  write(configuration: TerraformJson): Promise<void>
}

const CONFIGURATION = 'cdk.tf.json'
/** Tells that `init` went through. */
const MARK = 'initialised'

/** Where the Terraform of a cluster works: configuration, local state, pinned images, host keys. */
export function clusterFolder({paths}: Pick<ProviderContext, 'paths'>): string {
  return join(paths.dir, 'terraform')
}

export function isInitialised(dir: string): boolean {
  return existsSync(join(dir, MARK)) && hasConfiguration(dir)
}

export function hasConfiguration(dir: string): boolean {
  return existsSync(join(dir, CONFIGURATION))
}

const resourcesSchema = z.looseObject({
  resource: z.record(z.string(), z.record(z.string(), z.unknown())).default({}),
})

/** Addresses of what a folder's configuration asks for. */
export async function addressesIn(dir: string): Promise<readonly string[]> {
  const {resource} = resourcesSchema.parse(JSON.parse(await readFile(join(dir, CONFIGURATION), 'utf8')))
  return Object.entries(resource).flatMap(([type, byName]) =>
    Object.keys(byName).map((name) => `${type}.${name}`),
  )
}

/** The cluster's own folder, or one beside it that is removed afterwards, for looking while others may work there. */
export async function openFolder(
  spec: ClusterSpec | undefined,
  context: ProviderContext,
  options: FolderOptions,
): Promise<WorkFolder> {
  const own = clusterFolder(context)
  await removeStale(options)
  const open = async (dir: string) => {
    const terraform = await options.terraformIn(dir, context, variablesOf(spec))
    if (spec !== undefined) checkBackend(terraform.program, spec.state.backend)
    return terraform
  }
  if (context.readOnly !== true) {
    await mkdir(own, {recursive: true, mode: 0o700})
    return folderAt(
      own,
      open,
      (configuration) => configuration,
      () => Promise.resolve(),
    )
  }
  reportUnsaved(own, context)
  const dir = await makeTemporary(options)
  const remove = () => rm(dir, {recursive: true, force: true})
  try {
    await lendProviders(own, dir)
    return await folderAt(dir, open, (configuration) => withState(configuration, own), remove)
  } catch (error) {
    await remove()
    throw error
  }
}

/** A look leaves the state alone, and takes what is not in it for not made. */
function reportUnsaved(own: string, {report}: ProviderContext): void {
  const file = unsavedState(own)
  if (!existsSync(file)) return
  const text = `the last apply could not save its state and left it in ${file}: what it created is missing below, and the next apply saves it`
  report({type: 'note', level: 'warning', text})
}

/** Takes the versions of providers that a saved plan was made with into the cluster's folder. */
export async function takeVersionsOf(planFile: string, context: ProviderContext): Promise<void> {
  const text = await lockFileOf(planFile)
  if (text === undefined) return
  const own = clusterFolder(context)
  await mkdir(own, {recursive: true, mode: 0o700})
  await writeFile(join(own, LOCK_FILE), text)
}

/** Init, and the mark that it went through. */
export async function initialise({dir, terraform}: WorkFolder, {signal}: ProviderContext): Promise<void> {
  await rm(join(dir, MARK), {force: true})
  await terraform.init({signal})
  await writeFile(join(dir, MARK), '')
}

async function folderAt(
  dir: string,
  open: (dir: string) => Promise<Terraform>,
  change: (configuration: TerraformJson) => TerraformJson,
  dispose: () => Promise<void>,
): Promise<WorkFolder> {
  const terraform = await open(dir)
  return {
    dir,
    terraform,
    write: (configuration) =>
      writeFile(join(dir, CONFIGURATION), printConfiguration(change(configuration)), {mode: 0o600}),
    [Symbol.asyncDispose]: dispose,
  }
}

/** The same text for the same stack, for people and diffs. */
export function printConfiguration(configuration: TerraformJson): string {
  return `${JSON.stringify(configuration, undefined, 2)}\n`
}

/** What was downloaded for the cluster serves its other folder too; a provider has hundreds of megabytes. */
async function lendProviders(own: string, dir: string): Promise<void> {
  const providers = join(own, '.terraform', 'providers')
  if (!existsSync(providers) || !existsSync(join(own, LOCK_FILE))) return
  await mkdir(join(dir, '.terraform'))
  await symlink(providers, join(dir, '.terraform', 'providers'))
  await copyFile(join(own, LOCK_FILE), join(dir, LOCK_FILE))
}

const localBackendSchema = z.looseObject({
  terraform: z.looseObject({backend: z.object({local: z.looseObject({path: z.string()})})}),
})

/** A local state named by its full path, so that it is found from any folder. */
function withState(configuration: TerraformJson, own: string): TerraformJson {
  const parsed = localBackendSchema.safeParse(configuration)
  if (!parsed.success) return configuration
  const {terraform} = parsed.data
  const {local} = terraform.backend
  return {
    ...configuration,
    terraform: {...terraform, backend: {local: {...local, path: join(own, local.path)}}},
  }
}
