import {homedir} from 'node:os'
import {join} from 'node:path'
import {Args} from '@oclif/core'
import {BaseCommand} from '../cli/base-command.ts'
import {clusterFlag} from '../cli/flags.ts'
import {splitArgv} from '../cli/passthrough.ts'
import {machineAtHome} from '../spec/home-paths.ts'

export default class Ssh extends BaseCommand {
  static override summary = 'open a shell on a node, or run a command there'
  static override description =
    "Runs the system's ssh with the user, key, pinned host key and bastion of the node. Without a node: the first control plane."
  static override usage = 'ssh [NODE] [-c NAME] [--json] [-- COMMAND…]'
  static override examples = [
    {description: 'a shell on a worker', command: '<%= config.bin %> ssh worker-1 --cluster demo'},
    {description: 'one command', command: "<%= config.bin %> ssh cp-1 -- ss -ltnp 'sport = :6443'"},
  ]
  static override args = {node: Args.string({description: 'name of the node'})}
  static override flags = clusterFlag

  async run(): Promise<void> {
    const {own, rest} = splitArgv(this.argv.includes('--') ? this.argv : [...this.argv, '--'], {
      takesValue: [],
      switches: [],
    })
    const {args, flags} = await this.parse(Ssh, [...own])
    const [{machineOf, sshArgv, writeSpecKeys}, {runChild}, {recordOf, resolveClusterName, specOf}] =
      await Promise.all([
        import('../cli/ssh-argv.ts'),
        import('../cli/child.ts'),
        import('../workflows/session/clusters.ts'),
      ])
    const tools = await this.tools({signals: false})
    const name = await resolveClusterName(flags.cluster, tools)
    const [record, spec] = await Promise.all([recordOf(name, tools), specOf(name, tools)])
    const machine = machineAtHome(machineOf(record, args.node), homedir())
    const {dir, knownHosts} = tools.store.paths(name)
    const pinned = await writeSpecKeys(machine, join(dir, 'known_hosts.spec'))
    const argv = sshArgv({
      machine,
      knownHosts: pinned ?? [knownHosts, join(homedir(), '.ssh', 'known_hosts')],
      firstUse: spec.ssh.hostKeys === 'first-use' && pinned === undefined,
      command: rest,
      terminal: process.stdin.isTTY,
    })
    const json = this.wantsJson()
    const result = await runChild(argv, {environment: process.env, capture: json})
    if (json) await this.show({cluster: name, node: machine.name, ...result}, () => '')
    process.exitCode = result.exitCode
  }
}
