import {BaseCommand} from '../cli/base-command.ts'
import {clusterFlag} from '../cli/flags.ts'
import {splitArgv} from '../cli/passthrough.ts'

export default class Kubectl extends BaseCommand {
  static override summary = 'run kubectl against a cluster'
  static override description =
    'Arguments after -- are passed to kubectl unchanged, and its exit code is returned. If kubectl is not on the PATH, the one of the bundle runs.'
  static override usage = 'kubectl [-c NAME] [--json] [--] ARGUMENT…'
  static override examples = [
    {description: 'all pods', command: '<%= config.bin %> kubectl --cluster demo -- get pods -A'},
    {description: 'for the default cluster', command: '<%= config.bin %> kubectl get nodes -o wide'},
  ]
  static override strict = false
  static override flags = clusterFlag

  async run(): Promise<void> {
    const {own, rest} = splitArgv(this.argv, {takesValue: ['-c', '--cluster'], switches: ['--json']})
    const {flags} = await this.parse(Kubectl, [...own])
    const [{runKubectl}, {resolveClusterName}] = await Promise.all([
      import('../cli/kubectl-program.ts'),
      import('../workflows/session/clusters.ts'),
    ])
    const tools = await this.tools({signals: false})
    const cluster = await resolveClusterName(flags.cluster, tools)
    const json = this.wantsJson()
    const result = await runKubectl(cluster, rest, {environment: process.env, capture: json}, tools)
    if (json) await this.show({cluster, ...result}, () => '')
    process.exitCode = result.exitCode
  }
}
