import {Flags} from '@oclif/core'
import {BaseCommand} from '../cli/base-command.ts'
import {clusterFlag, listOf, runFlags} from '../cli/flags.ts'

export default class Doctor extends BaseCommand {
  static override summary = 'check the machines and the health of a cluster, with a fix for each finding'
  static override description = 'Changes nothing. Exit code 4 when there are findings.'
  static override examples = [
    {description: 'everything', command: '<%= config.bin %> doctor --cluster demo'},
    {description: 'one node', command: '<%= config.bin %> doctor --cluster demo --node worker-1'},
  ]
  static override flags = {
    ...clusterFlag,
    node: Flags.string({description: 'check only this node', env: 'CLOUDER_DOCTOR_NODE'}),
    'ignore-preflight': runFlags['ignore-preflight'],
  }

  async run(): Promise<void> {
    const {flags} = await this.parse(Doctor)
    const [{doctorText}, {recordOf, resolveClusterName}, {diagnoseCluster}] = await Promise.all([
      import('../cli/results.ts'),
      import('../workflows/session/clusters.ts'),
      import('../workflows/cluster/doctor.ts'),
    ])
    const tools = await this.tools()
    const name = await resolveClusterName(flags.cluster, tools)
    await recordOf(name, tools)
    this.logTo(name)
    const ignorePreflight = listOf(flags['ignore-preflight'])
    const result = await diagnoseCluster(name, {node: flags.node, ignorePreflight}, tools)
    const options = {colours: this.colours, columns: this.terminal.columns}
    await this.show(result, () => doctorText(result, options))
    if (!result.healthy) process.exitCode = 4
  }
}
