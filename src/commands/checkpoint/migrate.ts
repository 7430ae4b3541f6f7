import {Flags} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {placeOf, podArgument, storeFlag, waitFlag} from '../../cli/checkpoint-flags.ts'
import {clusterFlag, yesFlag} from '../../cli/flags.ts'
import {lazyQuestion, memoryFlags, untilOf} from '../../cli/migrate-flags.ts'

export default class CheckpointMigrate extends BaseCommand {
  static override summary = 'move a running pod to another node, including its memory'
  static override description =
    'Checkpoints the pod, restores it under the same name on the other node, and verifies it. Its memory goes from node to node, or by way of the store where the nodes cannot do that. The source is deleted only when the target has all of it and can run it; if anything fails, the source resumes.'
  static override examples = [
    {description: 'to any other node', command: '<%= config.bin %> checkpoint migrate default/web'},
    {
      description: 'with a short downtime, at the risk of losing the memory of the pod',
      command: '<%= config.bin %> checkpoint migrate default/web --lazy',
    },
    {
      description: 'show what a move to a given node would take',
      command: '<%= config.bin %> checkpoint migrate default/web --to worker-2 --dry-run',
    },
  ]
  static override args = podArgument
  static override flags = {
    to: Flags.string({
      description: 'target node; default: the scheduler chooses among the compatible ones',
      env: 'CLOUDER_TO',
      helpValue: 'NODE',
    }),
    backend: Flags.option({
      description: 'restore backend; default: Handler, with which a failed move is also rolled back',
      env: 'CLOUDER_BACKEND',
      options: ['Handler', 'CreateImage'] as const,
    })(),
    ...memoryFlags,
    'dry-run': Flags.boolean({
      description: 'only show the memory to move, the possible ways and the expected downtime',
      env: 'CLOUDER_DRY_RUN',
    }),
    'until-ready': Flags.boolean({
      description:
        'wait until the kubelet reports the pod ready; default: until its processes run, and until it is ready only if it has probes or readiness gates',
      env: 'CLOUDER_UNTIL_READY',
    }),
    ...storeFlag,
    ...waitFlag,
    ...clusterFlag,
    ...yesFlag,
  }

  async run(): Promise<void> {
    const {args, flags} = await this.parse(CheckpointMigrate)
    const {namespace, name: pod} = placeOf(args.pod, 'pod')
    const [results, {resolveClusterName}, {withCheckpoints}, {migratePod}, {planMove}] = await Promise.all([
      import('../../cli/checkpoint-results.ts'),
      import('../../workflows/session/clusters.ts'),
      import('../../workflows/checkpoint/cluster.ts'),
      import('../../workflows/checkpoint/move.ts'),
      import('../../workflows/checkpoint/move-plan.ts'),
    ])
    const tools = await this.tools()
    const cluster = await resolveClusterName(flags.cluster, tools)
    const options = {colours: this.colours, columns: this.terminal.columns}
    const target = {
      ...(flags.to === undefined ? {} : {node: flags.to}),
      ...(flags.backend === undefined ? {} : {backend: flags.backend}),
      ...(flags.lazy ? {memoryPolicy: 'Lazy' as const} : {}),
    }
    if (flags['dry-run']) {
      const wanted = {namespace, pod, ...target}
      const plan = await withCheckpoints(cluster, tools, ({kube}) => planMove(kube, wanted))
      return this.show({cluster, plan}, () => results.movePlanText(plan, options))
    }
    const {store, wait, keep, 'pre-copy': preCopy} = flags
    if (flags.lazy) await this.ask({...lazyQuestion(`${namespace}/${pod}`), yes: flags.yes})
    const wanted = {namespace, pod, store, wait, keep, preCopy, until: untilOf(flags), ...target} as const
    const migration = await withCheckpoints(cluster, tools, ({kube}) => migratePod(kube, wanted, tools))
    await this.show({cluster, migration}, () => results.migrationText(migration, options))
  }
}
