import {Flags} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {nameArgument, yesFlag} from '../../cli/flags.ts'

export default class KubeadmSmokeTest extends BaseCommand {
  static override summary = 'test that a cluster works, including checkpoint and restore'
  static override description =
    'Tests DNS, pod-to-pod traffic across nodes, a service, and a process that is checkpointed on one node and restored with its memory on another. Exit code 8 when a test fails.'
  static override examples = [
    {description: 'every check', command: '<%= config.bin %> kubeadm smoke-test demo'},
    {
      description: 'keep the test pods, to inspect them',
      command: '<%= config.bin %> kubeadm smoke-test demo --keep',
    },
  ]
  static override args = nameArgument
  static override flags = {
    keep: Flags.boolean({description: 'keep what the tests created in the cluster', env: 'CLOUDER_KEEP'}),
    ...yesFlag,
  }

  async run(): Promise<void> {
    const {args, flags} = await this.parse(KubeadmSmokeTest)
    const [{smokeText}, {recordOf, resolveClusterName}, {smokeTest}] = await Promise.all([
      import('../../cli/results.ts'),
      import('../../workflows/session/clusters.ts'),
      import('../../workflows/cluster/smoke-test.ts'),
    ])
    const tools = await this.tools()
    const name = await resolveClusterName(args.name, tools)
    await recordOf(name, tools)
    this.logTo(name)
    const result = await smokeTest(name, {keep: flags.keep}, tools)
    const options = {colours: this.colours, columns: this.terminal.columns}
    await this.show(result, () => smokeText(result, options))
    if (!result.passed) process.exitCode = 8
  }
}
