import {existsSync} from 'node:fs'
import {Flags} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {nameArgument, yesFlag} from '../../cli/flags.ts'

export default class KubeadmUse extends BaseCommand {
  static override summary = 'point kubectl in this shell at a cluster'
  static override description =
    'Prints the line that a shell must run; the default cluster of clouder is set as well, unless only the line is asked for.'
  static override examples = [
    {description: 'show the line, and make demo the default', command: '<%= config.bin %> kubeadm use demo'},
    {
      description: 'run the line at once',
      command: 'eval "$(<%= config.bin %> kubeadm use demo --print-export)"',
    },
  ]
  static override args = nameArgument
  static override flags = {
    'print-export': Flags.boolean({
      description: 'print the export line and do nothing else',
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
