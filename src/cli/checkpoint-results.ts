import type {Checkpoint, CheckpointPolicy, Migration, Restore} from '../api/resources.ts'
import type {GcResult} from '../workflows/checkpoint/gc.ts'
import type {MovePlan, PlannedTarget} from '../workflows/checkpoint/move-plan.ts'
import type {VerifyResult} from '../workflows/checkpoint/checkpoint.ts'
import {isRunningThere} from '../workflows/checkpoint/move-end.ts'
import type {DrainedPod, DrainResult} from '../workflows/cluster/drain.ts'
import {containerText} from './checkpoint-container.ts'
import {formatBytes, formatDuration} from './duration.ts'
import {facts, optional} from './facts.ts'
import type {ResultOptions} from './result-options.ts'
import {renderTable, type Column} from './table.ts'

const placeOf = ({metadata}: {metadata: {name: string; namespace?: string | undefined}}): string =>
  `${metadata.namespace ?? ''}/${metadata.name}`

/** Milliseconds between two moments of a status. */
function between(from: string | undefined, to: string | undefined): number | undefined {
  return from === undefined || to === undefined ? undefined : Date.parse(to) - Date.parse(from)
}

/** `containers` of a checkpoint, and what it did to them. */
function stoodText({status}: Checkpoint): string | undefined {
  const containers = status?.containers ?? []
  if (containers.length === 0) return undefined
  return containers
    .map(({name, archiveBytes, frozenMilliseconds, gapMilliseconds}) => {
      const stood = frozenMilliseconds === undefined ? '' : `, frozen for ${frozenMilliseconds} ms`
      const gap =
        gapMilliseconds === undefined
          ? ''
          : `, then ran for another ${gapMilliseconds} ms before it was frozen`
      return `${name} ${formatBytes(archiveBytes)}${stood}${gap}`
    })
    .join('; ')
}

function storedText({status = {}}: Checkpoint): string | undefined {
  const {sizeBytes, storedBytes} = status
  if (sizeBytes === undefined) return undefined
  const sealed = storedBytes === undefined ? '' : `, ${formatBytes(storedBytes)} stored`
  return `${formatBytes(sizeBytes)}${sealed}`
}

function checkpointFacts(checkpoint: Checkpoint): string {
  const {metadata, spec, status = {}} = checkpoint
  return facts([
    ['pod', optional(spec.podRef, ({name}) => `${metadata.namespace ?? ''}/${name}`)],
    ['node', status.nodeName],
    ['owner', spec.owner],
    ['containers', stoodText(checkpoint)],
    ['size', storedText(checkpoint)],
    ['store', optional(status.location, (place) => `${spec.storeName} (${place})`) ?? spec.storeName],
    ['digest', status.digest],
    ['took', optional(between(status.startTime, status.completionTime), formatDuration)],
    ...(status.obstacles ?? []).map(({verdict, message}): [string, string] => [
      verdict === 'Impossible' ? 'not restorable' : 'may not be restorable',
      message,
    ]),
  ])
}

/** The end of `checkpoint create`. */
export function checkpointText(checkpoint: Checkpoint, options: ResultOptions): string {
  const place = placeOf(checkpoint)
  const {phase = 'Pending'} = checkpoint.status ?? {}
  if (phase !== 'Ready') return `checkpoint ${place} requested: clouder checkpoint inspect ${place}`
  const next = [`clouder checkpoint restore ${place} --as NAME`, `clouder checkpoint inspect ${place}`]
  return [
    options.colours.green(`checkpoint ${place} is stored and verified`),
    checkpointFacts(checkpoint),
    `Next:\n${next.map((line) => `  ${line}`).join('\n')}`,
  ].join('\n\n')
}

export function checkpointsText(
  checkpoints: readonly Checkpoint[],
  nowMs: number,
  options: ResultOptions,
): string {
  if (checkpoints.length === 0) return 'no checkpoints yet: clouder checkpoint create NAMESPACE/POD'
  const {red} = options.colours
  const columns: readonly Column<Checkpoint>[] = [
    {title: 'checkpoint', text: placeOf},
    {title: 'pod', text: ({spec}) => spec.podRef?.name},
    {
      title: 'phase',
      text: ({status}) => (status?.phase === 'Failed' ? red(status.phase) : (status?.phase ?? 'Pending')),
    },
    {title: 'node', text: ({status}) => status?.nodeName},
    {title: 'size', text: ({status}) => optional(status?.sizeBytes, formatBytes)},
    {title: 'store', text: ({spec}) => spec.storeName},
    {title: 'by', text: ({spec}) => spec.owner},
    {
      title: 'age',
      text: ({metadata}) => optional(metadata.creationTimestamp, (at) => ageText(nowMs - Date.parse(at))),
    },
  ]
  return renderTable(columns, checkpoints, {columns: options.columns, heading: options.colours.bold})
}

/** `42s`, `12m`, `5h`, `3d`. */
export function ageText(ageMs: number): string {
  const seconds = Math.max(0, Math.round(ageMs / 1000))
  if (seconds < 120) return `${seconds}s`
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86_400)}d`
}

/** Everything that is known of a checkpoint, without opening it here. */
export function inspectText(checkpoint: Checkpoint, options: ResultOptions): string {
  const {colours} = options
  const {status = {}} = checkpoint
  const head = `${colours.bold(placeOf(checkpoint))}  ${status.phase ?? 'Pending'}${status.phase === 'Failed' ? `: ${status.reason ?? ''} ${status.message ?? ''}` : ''}`
  const {nodeFeatures: source, verification, summary} = status
  return [
    head,
    checkpointFacts(checkpoint),
    ...(source === undefined
      ? []
      : [
          facts([
            ['created on', `${source.arch}, kernel ${source.kernel}, cgroup v${source.cgroupVersion}`],
            ['by', `${source.runtime}, runc ${source.runc}, CRIU ${source.criu}`],
            ['processor', `${source.cpuModel}, ${source.cpuFeatures.length} features`],
          ]),
        ]),
    ...(verification === undefined
      ? []
      : [`verified ${verification.checkTime}: ${verification.ok ? 'intact' : verification.message}`]),
    ...(summary?.containers ?? []).map((container) => containerText(container, options)),
  ].join('\n\n')
}

export function verifyText(results: readonly VerifyResult[], options: ResultOptions): string {
  const {green, red} = options.colours
  if (results.length === 0) return 'no checkpoints to verify'
  const bad = results.filter(({ok}) => !ok).length
  const table = renderTable<VerifyResult>(
    [
      {title: 'checkpoint', text: ({checkpoint}) => checkpoint},
      {title: 'result', text: ({ok, reason}) => (ok ? green('intact') : red(reason ?? 'bad'))},
      {title: 'detail', text: ({message}) => message},
    ],
    results,
    {columns: options.columns, heading: options.colours.bold},
  )
  const verdict = `${results.length - bad} of ${results.length} intact`
  return [table, bad === 0 ? green(verdict) : red(verdict)].join('\n\n')
}

export function gcText({removed, kept, dryRun}: GcResult, nowMs: number, options: ResultOptions): string {
  if (removed.length === 0) return `nothing to delete, ${kept} kept`
  const table = renderTable<GcResult['removed'][number]>(
    [
      {title: 'checkpoint', text: ({checkpoint}) => checkpoint},
      {title: 'store', text: ({store}) => store},
      {title: 'size', text: ({storedBytes}) => formatBytes(storedBytes)},
      {title: 'age', text: ({createdAt}) => ageText(nowMs - Date.parse(createdAt))},
    ],
    removed,
    {columns: options.columns, heading: options.colours.bold},
  )
  const count = dryRun ? `${removed.length} would be deleted` : `${removed.length} deleted`
  return [table, `${count}, ${kept} kept${dryRun ? '; nothing was changed' : ''}`].join('\n\n')
}

/** The end of `checkpoint restore`. */
export function restoreText({metadata, spec, status = {}}: Restore, options: ResultOptions): string {
  const namespace = metadata.namespace ?? ''
  if (status.phase !== 'Restored')
    return `restore ${namespace}/${metadata.name} requested: clouder kubectl -- get restore ${metadata.name} --namespace ${namespace}`
  const pod = spec.podName === undefined ? 'the pod' : `${namespace}/${spec.podName}`
  return [
    options.colours.green(`${pod} restored from ${namespace}/${spec.checkpointName}`),
    facts([
      ['node', status.nodeName],
      ['backend', status.backend],
      ['took', optional(between(status.startTime, status.completionTime), formatDuration)],
    ]),
  ].join('\n\n')
}

/** The end of `checkpoint migrate`. */
export function migrationText({metadata, spec, status = {}}: Migration, options: ResultOptions): string {
  const pod = `${metadata.namespace ?? ''}/${spec.podName}`
  const checkpoint = optional(status.checkpointName, (name) => `${metadata.namespace ?? ''}/${name}`)
  if (status.phase !== 'Succeeded' && !isRunningThere(status))
    return `move of ${pod} requested: clouder kubectl -- get migration ${metadata.name} --namespace ${metadata.namespace ?? ''}`
  return [
    options.colours.green(`${pod} is now running on ${status.targetNodeName ?? 'another node'}`),
    facts([
      ['from', status.sourceNodeName],
      ['downtime', optional(status.downtimeMilliseconds, formatDuration)],
      [
        'total',
        optional(between(status.startTime, status.completionTime ?? status.runningTime), formatDuration),
      ],
      ['transferred', transferredText(status)],
      ['pre-copy', preCopyText(status)],
      ['checkpoint', spec.keep === true || status.way !== 'Direct' ? checkpoint : undefined],
    ]),
  ].join('\n\n')
}

function transferredText({transferredBytes, way, wayMessage}: NonNullable<Migration['status']>) {
  if (transferredBytes === undefined) return undefined
  const how = way === 'Direct' ? 'directly' : 'by way of the store'
  return `${formatBytes(transferredBytes)} ${how}${wayMessage === undefined ? '' : `, because ${wayMessage}`}`
}

function preCopyText({preCopy}: NonNullable<Migration['status']>): string | undefined {
  if (preCopy === undefined) return undefined
  const {rounds, copiedBytes, message} = preCopy
  if (rounds === 0) return `none${message === undefined ? '' : `, because ${message}`}`
  return `${formatBytes(copiedBytes)} in ${rounds === 1 ? '1 round' : `${rounds} rounds`}`
}

/** The end of `checkpoint migrate --dry-run`. */
export function movePlanText(plan: MovePlan, options: ResultOptions): string {
  const {pod, from, memoryBytes, targets, downtimes} = plan
  const downtimeOf = ({way}: PlannedTarget): string | undefined => {
    const expected = way === undefined ? undefined : downtimes[way]
    if (way !== undefined && expected === undefined) return 'no move of this kind was measured yet'
    return optional(expected, ({downtimeMs, moves}) =>
      moves === 1
        ? `${formatDuration(downtimeMs)}, by 1 earlier move`
        : `${formatDuration(downtimeMs)}, by ${moves} earlier moves`,
    )
  }
  const table = renderTable<PlannedTarget>(
    [
      {title: 'to', text: ({node}) => node},
      {
        title: 'way',
        text: ({way, lazy}) =>
          way === undefined ? 'none' : lazy === true ? `${way}, memory afterwards` : way,
      },
      {title: 'expected downtime', text: downtimeOf},
      {title: 'detail', text: ({why}) => why},
    ],
    targets,
    {columns: options.columns, heading: options.colours.bold},
  )
  return [
    `${pod} was not moved (--dry-run)`,
    facts([
      ['from', from],
      ['memory', optional(memoryBytes, formatBytes) ?? 'unknown: the kubelet did not report it'],
    ]),
    targets.length === 0 ? 'the cluster has no other node' : table,
  ].join('\n\n')
}

export function policiesText(policies: readonly CheckpointPolicy[], options: ResultOptions): string {
  if (policies.length === 0)
    return 'no policies yet: clouder checkpoint schedule NAMESPACE/NAME --selector app=web --cron "0 3 * * *"'
  return renderTable<CheckpointPolicy>(
    [
      {title: 'policy', text: placeOf},
      {title: 'pods', text: ({status}) => optional(status?.pods, String)},
      {title: 'when', text: whenText},
      {title: 'next', text: ({status}) => status?.nextScheduleTime},
      {title: 'checkpoints', text: ({status}) => optional(status?.checkpoints, String)},
      {title: 'store', text: ({spec}) => spec.storeName},
    ],
    policies,
    {columns: options.columns, heading: options.colours.bold},
  )
}

function whenText({spec}: CheckpointPolicy): string {
  const {
    schedule,
    timeZone = 'UTC',
    idle,
    migrateOnDrain: migrateOnDrain,
    checkpointOnInterruption: checkpointOnInterruption,
    suspend,
  } = spec
  const when = [
    ...(schedule === undefined ? [] : [`${schedule} ${timeZone}`]),
    ...(idle === undefined
      ? []
      : [`below ${idle.cpu} for ${formatDuration(idle.durationSeconds * 1000)}, then ${idle.podPolicy}`]),
    ...(migrateOnDrain === true ? ['drain'] : []),
    ...(checkpointOnInterruption === true ? ['interruption'] : []),
  ]
  return `${when.join('; ')}${suspend === true ? ' (suspended)' : ''}`
}

export function drainText({node, pods, drained}: DrainResult, options: ResultOptions): string {
  const {green, red, bold} = options.colours
  const paint = {moved: green, evicted: (text: string) => text, left: (text: string) => text, failed: red}
  const table = renderTable<DrainedPod>(
    [
      {title: 'pod', text: ({pod}) => pod},
      {title: 'result', text: ({result}) => paint[result](result)},
      {title: 'detail', text: ({detail}) => detail},
    ],
    pods,
    {columns: options.columns, heading: bold},
  )
  const verdict = drained
    ? green(`${node} is drained; to use it again: clouder kubectl -- uncordon ${node}`)
    : red(`${node} is not drained: resolve the above, then run the same command again`)
  return [...(pods.length === 0 ? [] : [table]), verdict].join('\n\n')
}
