import {Args, Flags} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {needName, pairsOf} from '../../cli/checkpoint-flags.ts'
import {clusterFlag, listOf, yesFlag} from '../../cli/flags.ts'

export default class ByocRegister extends BaseCommand {
  static override summary = 'register a container host of your own as capacity'
  static override description =
    'If a node of that name has joined the cluster, it gets its capabilities as labels, capability.clouder.dev/KEY=VALUE, and runs pods and runtimes that select them. For any other host a script is written, readable by you alone: it sends heartbeats to the cluster, with a token that allows nothing else, is valid for 24 hours and is renewed by the script. Registering the same name again changes the host, writes a new script, and revokes the tokens of the previous one.'
  static override examples = [
    {
      description: 'a host with a GPU, for up to four containers',
      command: '<%= config.bin %> byoc register lab-1 --capability gpu=a10 --slots 4 --script lab-1.sh',
    },
  ]
  static override args = {host: Args.string({description: 'name of the host'})}
  static override flags = {
    capability: Flags.string({
      description: 'a capability of the host, as KEY=VALUE; can be repeated',
      env: 'CLOUDER_CAPABILITY',
      helpValue: 'KEY=VALUE',
      multiple: true,
      multipleNonGreedy: true,
      delimiter: ',',
    }),
    slots: Flags.integer({
      description: 'number of containers that may run there at the same time',
      env: 'CLOUDER_SLOTS',
      default: 1,
      min: 1,
    }),
    script: Flags.string({
      description: 'where to write its script; default: HOST-heartbeat.sh in the working directory',
      env: 'CLOUDER_SCRIPT',
      helpValue: 'FILE',
    }),
    ...clusterFlag,
    ...yesFlag,
  }

  async run(): Promise<void> {
    const {args, flags} = await this.parse(ByocRegister)
    const name = needName(args.host, 'host')
    const capabilities = pairsOf(listOf(flags.capability), 'capability')
    const [{resolveClusterName}, {withCheckpoints}, {registerHost}, {writeScript}] = await Promise.all([
      import('../../workflows/session/clusters.ts'),
      import('../../workflows/checkpoint/cluster.ts'),
      import('../../workflows/runtime/byoc.ts'),
      import('../../cli/byoc-script.ts'),
    ])
    const tools = await this.tools()
    const cluster = await resolveClusterName(flags.cluster, tools)
    const {host, script} = await withCheckpoints(cluster, tools, ({kube, endpoint}) =>
      registerHost(kube, {name, capabilities, slots: flags.slots, endpoint}, tools),
    )
    const file =
      script === undefined ? undefined : await writeScript(flags.script ?? `${name}-heartbeat.sh`, script)
    const [[key, value] = ['KEY', 'VALUE']] = Object.entries(capabilities)
    const next =
      file === undefined
        ? `clouder runtime create NAMESPACE/NAME --image IMAGE --placement capability.clouder.dev/${key}=${value}`
        : `on ${name}, as a service: sh ${file}`
    await this.show(
      {cluster, host, ...(file === undefined ? {} : {file})},
      () => `host ${name} registered\n\nNext:\n  ${next}`,
    )
  }
}
