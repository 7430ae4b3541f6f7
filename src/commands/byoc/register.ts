import {Args, Flags} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {needName, pairsOf} from '../../cli/checkpoint-flags.ts'
import {clusterFlag, listOf, yesFlag} from '../../cli/flags.ts'

export default class ByocRegister extends BaseCommand {
  static override summary = 'enrol a container host of yours as capacity'
  static override description =
    'A host that has joined as a node of that name gets what it has as labels, capability.clouder.dev/KEY=VALUE, and runs pods and runtimes that ask for them. For any other a script is written, readable by you alone: it tells the cluster that the host is there, with a token that can do nothing else, lasts for 24 hours and is renewed by the script. Again for the same name: changes it, writes a new script, and ends the tokens of the one before.'
  static override examples = [
    {
      description: 'a host with a graphics card, for four containers',
      command: '<%= config.bin %> byoc register lab-1 --capability gpu=a10 --slots 4 --script lab-1.sh',
    },
  ]
  static override args = {host: Args.string({description: 'name of the host'})}
  static override flags = {
    capability: Flags.string({
      description: 'what it has, as KEY=VALUE; may be given many times',
      env: 'CLOUDER_CAPABILITY',
      helpValue: 'KEY=VALUE',
      multiple: true,
      multipleNonGreedy: true,
      delimiter: ',',
    }),
    slots: Flags.integer({
      description: 'containers it takes at once',
      env: 'CLOUDER_SLOTS',
      default: 1,
      min: 1,
    }),
    script: Flags.string({
      description: 'where to write its script; default: HOST-heartbeat.sh here',
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
      () => `host ${name} is registered\n\nNext:\n  ${next}`,
    )
  }
}
