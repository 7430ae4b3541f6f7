import {Args, Flags} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {yesFlag} from '../../cli/flags.ts'
import {ConfigError} from '../../base/errors.ts'

export default class KubeadmSetDefault extends BaseCommand {
  static override summary = 'set the cluster that commands use when none is named'
  static override examples = [
    {description: 'make demo the default', command: '<%= config.bin %> kubeadm set-default demo'},
    {description: 'none', command: '<%= config.bin %> kubeadm set-default --unset'},
  ]
  static override args = {name: Args.string({description: 'name of the cluster'})}
  static override flags = {
    unset: Flags.boolean({description: 'unset the default cluster', env: 'CLOUDER_UNSET'}),
    ...yesFlag,
  }

  async run(): Promise<void> {
    const {args, flags} = await this.parse(KubeadmSetDefault)
    const tools = await this.tools()
    if (flags.unset) {
      await tools.store.setDefaultCluster(undefined)
      await this.show({defaultCluster: null}, () => 'default cluster unset')
      return
    }
    if (args.name === undefined) {
      throw new ConfigError('FLAG_MISSING', 'no cluster is named', {
        suggestions: [
          'list the clusters: clouder kubeadm ls',
          'unset it: clouder kubeadm set-default --unset',
        ],
      })
    }
    const {specOf} = await import('../../workflows/session/clusters.ts')
    const {name} = await specOf(args.name, tools)
    await tools.store.setDefaultCluster(name)
    await this.show({defaultCluster: name}, () => `${name} is the default cluster`)
  }
}
