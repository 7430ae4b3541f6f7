import {BaseCommand} from '../../cli/base-command.ts'
import {placeOf, runtimeArgument} from '../../cli/checkpoint-flags.ts'
import {clusterFlag} from '../../cli/flags.ts'
import {splitAtDashes} from '../../cli/passthrough.ts'

export default class RuntimeExec extends BaseCommand {
  static override summary = 'run a command in a runtime'
  static override description =
    'Arguments after -- are the command; without any, a shell is started. A pause ends it: processes started this way are not part of the checkpoint.'
  static override usage = 'runtime exec NAMESPACE/NAME [-c CLUSTER] [--json] [-- COMMAND…]'
  static override examples = [
    {description: 'a Python interpreter', command: '<%= config.bin %> runtime exec team/anna -- python3'},
  ]
  static override strict = false
  static override args = runtimeArgument
  static override flags = {...clusterFlag}

  async run(): Promise<void> {
    const {own, rest} = splitAtDashes(this.argv)
    const {args, flags} = await this.parse(RuntimeExec, own)
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
    const command = rest.length === 0 ? ['sh'] : rest
    const terminal = process.stdin.isTTY && !json ? ['--stdin', '--tty'] : ['--stdin']
    const argv = ['exec', ...terminal, pod, '--namespace', namespace, '--', ...command]
    const result = await runKubectl(cluster, argv, {environment: process.env, capture: json}, tools)
    if (json) await this.show({cluster, runtime: `${namespace}/${name}`, ...result}, () => '')
    process.exitCode = result.exitCode
  }
}
