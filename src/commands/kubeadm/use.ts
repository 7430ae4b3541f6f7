import {existsSync} from 'node:fs'
import {Flags} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {nameArgument, yesFlag} from '../../cli/flags.ts'

export default class KubeadmUse extends BaseCommand {
  static override summary = 'use a cluster with kubectl in this shell'
  static override description =
    'Prints the line for your shell to run, and makes the cluster the default of clouder; with --print-export it only prints the line.'
  static override examples = [
    {description: 'show the line, and make demo the default', command: '<%= config.bin %> kubeadm use demo'},
    {
      description: 'evaluate the line',
      command: 'eval "$(<%= config.bin %> kubeadm use demo --print-export)"',
    },
  ]
  static override args = nameArgument
  static override flags = {
    'print-export': Flags.boolean({
      description: 'only print the export line',
      env: 'CLOUDER_PRINT_EXPORT',
    }),
    ...yesFlag,
  }

  async run(): Promise<void> {
    const {args, flags} = await this.parse(KubeadmUse)
    const [{resolveClusterName, specOf}, {fetchKubeconfig}, {quoteArgv}] = await Promise.all([
      import('../../workflows/session/clusters.ts'),
      import('../../workflows/cluster/kubeconfig.ts'),
      import('../../base/quoting.ts'),
    ])
    const tools = await this.tools()
    const cluster = await resolveClusterName(args.name, tools)
    await specOf(cluster, tools)
    const known = tools.store.paths(cluster).kubeconfig
    const path = existsSync(known) ? known : (await fetchKubeconfig(cluster, undefined, tools)).path
    const line = `export KUBECONFIG=${quoteArgv([path])}`
    const only = flags['print-export']
    if (!only) await tools.store.setDefaultCluster(cluster)
    await this.show({cluster, path, export: line}, () =>
      only ? line : `${cluster} is the default cluster; for kubectl in this shell:\n${line}`,
    )
  }
}
