import {BaseCommand} from '../../cli/base-command.ts'
import {placeOf, runtimeArgument} from '../../cli/checkpoint-flags.ts'
import {clusterFlag} from '../../cli/flags.ts'

export default class RuntimeAttach extends BaseCommand {
  static override summary = 'attach the terminal to the main process of a runtime'
  static override description = 'Detach with Ctrl-C; the runtime keeps running.'
  static override examples = [{description: 'one', command: '<%= config.bin %> runtime attach team/anna'}]
  static override args = runtimeArgument
  static override flags = {...clusterFlag}

  async run(): Promise<void> {
    const {args, flags} = await this.parse(RuntimeAttach)
    const {namespace, name} = placeOf(args.runtime, 'runtime')
    const [{runKubectl}, {resolveClusterName}, {withCheckpoints}, {runtimePod}] = await Promise.all([
      import('../../cli/kubectl-program.ts'),
      import('../../workflows/session/clusters.ts'),
      import('../../workflows/checkpoint/cluster.ts'),
      import('../../workflows/runtime/runtime.ts'),
    ])
    const tools = await this.tools({signals: false})
    const cluster = await resolveClusterName(flags.cluster, tools)
    const pod = await withCheckpoints(cluster, tools, ({kube}) => runtimePod(kube, {namespace, name}))
    const json = this.wantsJson()
    const argv = ['attach', '--stdin', pod, '--namespace', namespace]
    const result = await runKubectl(cluster, argv, {environment: process.env, capture: json}, tools)
    if (json) await this.show({cluster, runtime: `${namespace}/${name}`, ...result}, () => '')
    process.exitCode = result.exitCode
  }
}
