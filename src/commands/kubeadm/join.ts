import {Flags} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {bundleFlag, nameArgument, runFlags, runFlagsOf, yesFlag} from '../../cli/flags.ts'

export default class KubeadmJoin extends BaseCommand {
  static override summary = 'add machines to a cluster'
  static override description =
    'Any machine reachable by SSH, whatever provider the cluster uses. The machine is added to the record of the cluster; later runs of init include it.'
  static override examples = [
    {
      description: 'one machine',
      command: '<%= config.bin %> kubeadm join demo --host admin@192.0.2.17',
    },
    {
      description: 'two machines, with their own key, in a pool',
      command:
        '<%= config.bin %> kubeadm join demo --host root@192.0.2.17 --host root@192.0.2.18:2222 --key ~/.ssh/lab --pool big',
    },
  ]
  static override args = nameArgument
  static override flags = {
    host: Flags.string({
      description: 'machine to add; can be repeated',
      env: 'CLOUDER_JOIN_HOST',
      helpValue: '[USER@]ADDRESS[:PORT]',
      multiple: true,
      multipleNonGreedy: true,
      delimiter: ',',
      required: true,
    }),
    name: Flags.string({
      description: 'node name, if a single host is given; default: pool and number',
      env: 'CLOUDER_JOIN_NAME',
      helpValue: 'NODE',
    }),
    key: Flags.string({
      description:
        'private SSH key; default: `spec.ssh.keyPath` of the cluster, otherwise the SSH agent; the key of local nodes is never used',
      env: 'CLOUDER_JOIN_KEY',
      helpValue: 'FILE',
    }),
    pool: Flags.string({description: 'worker pool', env: 'CLOUDER_JOIN_POOL', default: 'worker'}),
    ...runFlags,
    ...bundleFlag,
    ...yesFlag,
  }

  async run(): Promise<void> {
    const {args, flags} = await this.parse(KubeadmJoin)
    const [{joinHosts}, {planText, runText}, {joinCluster}, {resolveClusterName}, {listOf}] =
      await Promise.all([
        import('../../cli/join-hosts.ts'),
        import('../../cli/results.ts'),
        import('../../workflows/cluster/join.ts'),
        import('../../workflows/session/clusters.ts'),
        import('../../cli/flags.ts'),
      ])
    const hosts = joinHosts({host: listOf(flags.host), name: flags.name, key: flags.key, pool: flags.pool})
    const tools = await this.tools({bundleDir: flags.bundle})
    const name = await resolveClusterName(args.name, tools)
    this.logTo(name)
    const run = runFlagsOf(flags)
    const result = await joinCluster(name, hosts, run, tools)
    const options = {colours: this.colours, columns: this.terminal.columns}
    await this.show({...result, dryRun: run.dryRun}, () =>
      run.dryRun ? planText(result, options) : runText(result, options),
    )
  }
}
