import {mkdir, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {Flags} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {nameArgument, yesFlag} from '../../cli/flags.ts'
import {specFlags} from '../../cli/spec-flags.ts'

export default class InfraSynth extends BaseCommand {
  static override summary = 'print the Terraform configuration of a cluster'
  static override description =
    'What plan and apply pass to Terraform, as JSON: the same text for the same specification. An SSH key for the machines is created if there is none; nothing else is changed.'
  static override examples = [
    {description: 'to standard output', command: '<%= config.bin %> infra synth prod --config cluster.yaml'},
    {
      description: 'for a pipeline that runs Terraform on its own',
      command: '<%= config.bin %> infra synth --config cluster.yaml --out infra',
    },
  ]
  static override args = nameArgument
  static override flags = {
    ...specFlags,
    out: Flags.string({
      description: 'write cdk.tf.json into this folder',
      env: 'CLOUDER_INFRA_OUT',
      helpValue: 'DIR',
    }),
    ...yesFlag,
  }

  async run(): Promise<void> {
    const {args, flags} = await this.parse(InfraSynth)
    const tools = await this.tools()
    const [{specFromFlags}, {synthInfra}] = await Promise.all([
      import('../../cli/spec-flags.ts'),
      import('../../workflows/infra/infra.ts'),
    ])
    const spec = await specFromFlags(args.name, flags, tools.store, tools.contexts)
    const configuration = await synthInfra(spec, tools)
    const text = JSON.stringify(configuration, undefined, 2)
    if (flags.out === undefined) {
      await this.show({cluster: spec.name, configuration}, () => text)
      return
    }
    const file = join(flags.out, 'cdk.tf.json')
    await mkdir(flags.out, {recursive: true})
    await writeFile(file, `${text}\n`)
    await this.show({cluster: spec.name, file}, () => file)
  }
}
