import {Args} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {needName} from '../../cli/checkpoint-flags.ts'
import {clusterFlag, yesFlag} from '../../cli/flags.ts'

export default class ByocRemove extends BaseCommand {
  static override summary = 'remove a container host'
  static override description =
    'Its token is revoked. A node loses the labels of its capabilities, and stays a node.'
  static override examples = [{description: 'one', command: '<%= config.bin %> byoc remove lab-1 --yes'}]
  static override args = {host: Args.string({description: 'name of the host'})}
  static override flags = {...yesFlag, ...clusterFlag}

  async run(): Promise<void> {
    const {args, flags} = await this.parse(ByocRemove)
    const name = needName(args.host, 'host')
    const [{resolveClusterName}, {withCheckpoints}, {removeHost}] = await Promise.all([
      import('../../workflows/session/clusters.ts'),
      import('../../workflows/checkpoint/cluster.ts'),
      import('../../workflows/runtime/byoc.ts'),
    ])
    const tools = await this.tools()
    const cluster = await resolveClusterName(flags.cluster, tools)
    await this.ask({
      text: `remove host ${name}? Its token is revoked.`,
      declined: 'nothing was changed',
      yes: flags.yes,
    })
    const host = await withCheckpoints(cluster, tools, ({kube}) => removeHost(kube, name))
    await this.show({cluster, host}, () => `host ${name} removed`)
  }
}
