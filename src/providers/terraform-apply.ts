import type {ClusterSpec} from '../spec/cluster-spec.ts'
import type {Outputs, TerraformPlan, TerraformProgress} from '../terraform/types.ts'
import type {ProviderContext} from './provider.ts'
import type {WorkFolder} from './terraform-folder.ts'
import {imagesOf, writePins} from './terraform-images.ts'
import {asPhase, settle} from './terraform-report.ts'

/**
 * Applies a plan, and pins its images. Those are read while the first things are being made: machines come after
 * what they lie in, and reading takes two seconds that the first thing need not wait for. Gives the outputs.
 */
export async function applied(
  plan: TerraformPlan,
  title: string,
  folder: WorkFolder,
  spec: ClusterSpec,
  context: ProviderContext,
): Promise<Outputs | undefined> {
  const {signal} = context
  const {dir, terraform} = folder
  const begun = Promise.withResolvers<undefined>()
  const pin = async () => {
    await begun.promise
    await writePins(dir, spec, imagesOf(await plan.outputs({signal})))
  }
  const apply = () =>
    asPhase(context, title, plan.changes, (report) => {
      const onProgress = (progress: TerraformProgress) => {
        begun.resolve(undefined)
        report(progress)
      }
      return terraform.apply(plan.file, {signal, onProgress})
    }).finally(() => begun.resolve(undefined))
  const [pinned, made] = await Promise.allSettled([pin(), apply()])
  if (made.status === 'rejected') throw made.reason
  if (pinned.status === 'rejected') throw pinned.reason
  return (await settle(folder, spec, context)) ?? made.value
}
