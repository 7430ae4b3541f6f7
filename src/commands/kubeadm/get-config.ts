import {Flags} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {nameArgument, yesFlag} from '../../cli/flags.ts'

export default class KubeadmGetConfig extends BaseCommand {
  static override summary = 'fetch the kubeconfig of a cluster'
  static override description = 'Into a separate file with mode 0600, or as a context in your own kubeconfig.'
  static override examples = [
    {description: 'a separate file', command: '<%= config.bin %> kubeadm get-config demo'},
    {
      description: 'a context in ~/.kube/config',
      command: '<%= config.bin %> kubeadm get-config demo --merge',
    },
    {
      description: 'and switch to that context',
      command: '<%= config.bin %> kubeadm get-config demo --merge --use',
    },
  ]
  static override args = nameArgument
  static override flags = {
    merge: Flags.boolean({description: 'add it to your own kubeconfig', env: 'CLOUDER_MERGE'}),
    context: Flags.string({
      description: 'name of the context; default: the name of the cluster',
      env: 'CLOUDER_CONTEXT',
      helpValue: 'NAME',
      dependsOn: ['merge'],
    }),
    use: Flags.boolean({
      description: 'make it the current context; default: only if there is none',
      env: 'CLOUDER_USE_CONTEXT',
      dependsOn: ['merge'],
    }),
    force: Flags.boolean({
      description: 'replace a context, cluster or user of the same name that belongs to another cluster',
      env: 'CLOUDER_FORCE',
      dependsOn: ['merge'],
    }),
    ...yesFlag,
  }

  async run(): Promise<void> {
    const {args, flags} = await this.parse(KubeadmGetConfig)
    const [{kubeconfigText}, {resolveClusterName}, {fetchKubeconfig}] = await Promise.all([
      import('../../cli/results.ts'),
      import('../../workflows/session/clusters.ts'),
      import('../../workflows/cluster/kubeconfig.ts'),
    ])
    const tools = await this.tools()
    const cluster = await resolveClusterName(args.name, tools)
    const result = await fetchKubeconfig(cluster, flags.merge ? flags : undefined, tools)
    await this.show(result, () => kubeconfigText(result))
  }
}
