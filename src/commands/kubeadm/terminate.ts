import {Flags} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {awsFlags, azureFlags} from '../../cli/cloud-flags.ts'
import {nameArgument, runFlags, skipUnreachableFlag, yesFlag} from '../../cli/flags.ts'

export default class KubeadmTerminate extends BaseCommand {
  static override summary = 'remove a cluster and every machine created for it'
  static override description =
    'Removes machines, networks, volumes and the local record. Your own machines are reset and cleaned, and keep running.'
  static override examples = [
    {description: 'what would be removed', command: '<%= config.bin %> kubeadm terminate demo --dry-run'},
    {description: 'without confirmation', command: '<%= config.bin %> kubeadm terminate demo --yes'},
    {
      description: 'a cluster whose record on this machine is lost',
      command: '<%= config.bin %> kubeadm terminate demo --by-tag --provider aws --region eu-central-1',
    },
  ]
  static override args = nameArgument
  static override flags = {
    'dry-run': runFlags['dry-run'],
    ...yesFlag,
    ...skipUnreachableFlag,
    'by-tag': Flags.boolean({
      description:
        'remove everything in the account that has the tag of the cluster, even without a local record',
      env: 'CLOUDER_BY_TAG',
    }),
    provider: Flags.string({
      description: 'cloud to search; with --by-tag',
      env: 'CLOUDER_PROVIDER',
      options: ['aws', 'azure'],
    }),
    ...awsFlags,
    ...azureFlags,
  }

  async run(): Promise<void> {
    const {args, flags} = await this.parse(KubeadmTerminate)
    if (flags['by-tag']) {
      const {terminateTagged} = await import('../../cli/terminate-tagged.ts')
      await terminateTagged(this, args.name, flags)
      return
    }
    const [{terminateText}, {recordOf, resolveClusterName}, {terminateCluster}] = await Promise.all([
      import('../../cli/results.ts'),
      import('../../workflows/session/clusters.ts'),
      import('../../workflows/cluster/terminate.ts'),
    ])
    const tools = await this.tools()
    const name = await resolveClusterName(args.name, tools)
    await recordOf(name, tools)
    this.logTo(name)
    const dryRun = flags['dry-run']
    if (!dryRun) {
      const text = `remove ${name} and every machine created for it? This cannot be undone.`
      await this.ask({text, declined: 'nothing was removed', yes: flags.yes})
    }
    const result = await terminateCluster(name, {dryRun, skipUnreachable: flags['skip-unreachable']}, tools)
    await this.show({...result, dryRun}, () => terminateText(result, dryRun))
  }
}
