import {Flags} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {placeOf, runtimeArgument} from '../../cli/checkpoint-flags.ts'
import {clusterFlag} from '../../cli/flags.ts'

export default class RuntimeLogs extends BaseCommand {
  static override summary = 'show the output of a runtime'
  static override description = 'Since its last start or resume.'
  static override examples = [
    {description: 'follow the output', command: '<%= config.bin %> runtime logs team/anna --follow'},
  ]
  static override args = runtimeArgument
  static override flags = {
    follow: Flags.boolean({description: 'keep printing new output', env: 'CLOUDER_FOLLOW'}),
    ...clusterFlag,
  }

  async run(): Promise<void> {
    const {args, flags} = await this.parse(RuntimeLogs)
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
    const argv = ['logs', pod, '--namespace', namespace, ...(flags.follow ? ['--follow'] : [])]
    const result = await runKubectl(cluster, argv, {environment: process.env, capture: json}, tools)
    if (json) await this.show({cluster, runtime: `${namespace}/${name}`, ...result}, () => '')
    process.exitCode = result.exitCode
  }
}
