import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import type {Outputs, TerraformPlan} from '../../terraform/types.ts'
import type {ProviderContext} from './provider.ts'
import type {WorkFolder} from './terraform-folder.ts'
import {imagesFound, imagesOf, writePins} from './terraform-images.ts'
import {asPhase, settle} from './terraform-report.ts'

/** Applies a plan, with its images pinned before. Gives the outputs. */
export async function applied(
  plan: TerraformPlan,
  title: string,
  folder: WorkFolder,
  spec: ClusterSpec,
  context: ProviderContext,
): Promise<Outputs | undefined> {
  const {signal} = context
  const {dir, terraform} = folder
  const found = imagesFound(plan)
  // What the plan looked up is known from its run; of all else it has to be asked, which takes seconds.
  const isFound = Object.keys(found).length > 0
  await writePins(dir, spec, isFound ? found : imagesOf(await plan.outputs({signal})))
  const made = await asPhase(context, title, plan.changes, (onProgress) =>
    terraform.apply(plan.file, {signal, onProgress}),
  )
  const outputs = (await settle(folder, spec, context)) ?? made
  if (isFound && outputs !== undefined) await writePins(dir, spec, imagesOf(outputs))
  return outputs
}
