import type {StackInput, TerraformJson} from '../../../stacks/input.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import type {ProviderContext} from './provider.ts'
import {
  clusterFolder,
  initialise,
  openFolder,
  type FolderOptions,
  type WorkFolder,
} from './terraform-folder.ts'
import {imagesOf, readPins} from './terraform-images.ts'
import {publicKeyOf, stackInput} from './terraform-input.ts'
import {asTask} from './terraform-report.ts'

export interface PrepareOptions extends FolderOptions {
  readonly synthesise: (input: StackInput) => Promise<TerraformJson>
  /** The user's home folder, for `~/` in the spec. */
  readonly userHome: string
  /** Public key that machines let in, where the private one is elsewhere: in CI. */
  readonly sshPublicKey?: string | undefined
}

/** Configuration with the images that are pinned; `images`: those that the state tells of. */
export async function configurationOf(
  spec: ClusterSpec,
  context: ProviderContext,
  options: PrepareOptions,
  {scratchDir, images = {}}: {readonly scratchDir: string; readonly images?: StackInput['imageIds']},
): Promise<TerraformJson> {
  const pins = (await readPins(clusterFolder(context), spec)) ?? images
  const hasMachines = Object.keys(pins).length > 0
  const key = await publicKeyOf(spec, context, {...options, scratchDir}, hasMachines)
  return options.synthesise(stackInput(spec, key, pins))
}

/**
 * The same for whoever applies it elsewhere or later: the machines let in the key it holds, so that one has to outlive
 * this run and is made for good.
 */
export async function lastingConfiguration(
  spec: ClusterSpec,
  context: ProviderContext,
  options: PrepareOptions,
): Promise<TerraformJson> {
  return configurationOf(spec, {...context, readOnly: false}, options, {scratchDir: ''})
}

/** A folder with the configuration of the spec, ready to plan in. */
export async function prepared(
  spec: ClusterSpec,
  context: ProviderContext,
  options: PrepareOptions,
): Promise<WorkFolder> {
  const folder = await openFolder(spec, context, options)
  const title = `Preparing Terraform for ${spec.name}`
  try {
    await asTask(context, {task: 'terraform', title}, () => prepare(spec, context, options, folder))
    return folder
  } catch (error) {
    await folder[Symbol.asyncDispose]()
    throw error
  }
}

async function prepare(
  spec: ClusterSpec,
  context: ProviderContext,
  options: PrepareOptions,
  folder: WorkFolder,
): Promise<void> {
  const scratchDir = folder.dir
  const pins = await readPins(clusterFolder(context), spec)
  if (pins !== undefined || spec.state.backend === 'local') {
    await folder.write(await configurationOf(spec, context, options, {scratchDir}))
    await initialise(folder, context)
    return
  }
  // The state may tell of machines that were made from elsewhere: their images count, and then no key is made here.
  await folder.write(await configurationOf(spec, {...context, readOnly: true}, options, {scratchDir}))
  await initialise(folder, context)
  const images = imagesOf(await folder.terraform.output({signal: context.signal}))
  await folder.write(await configurationOf(spec, context, options, {scratchDir, images}))
}
