import {BaseCommand} from '../../cli/base-command.ts'

export default class KubeadmLs extends BaseCommand {
  static override summary = 'list the clusters recorded on this machine'
  static override examples = [
    {
      description: 'all clusters; the default one is marked with a star',
      command: '<%= config.bin %> kubeadm ls',
    },
    {description: 'as JSON', command: '<%= config.bin %> kubeadm ls --json'},
  ]

  async run(): Promise<void> {
    await this.parse(KubeadmLs)
    const [{clustersText}, {listClusters}] = await Promise.all([
      import('../../cli/results.ts'),
      import('../../workflows/session/clusters.ts'),
    ])
    const clusters = await listClusters(await this.tools())
    const options = {colours: this.colours, columns: this.terminal.columns}
    await this.show({clusters}, () => clustersText(clusters, options))
  }
}
