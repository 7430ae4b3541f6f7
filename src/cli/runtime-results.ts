import type {ContainerHost, Runtime} from '../api/resources.ts'
import {ageText} from './checkpoint-results.ts'
import type {ResultOptions} from './result-options.ts'
import {renderTable} from './table.ts'

/** The end of what changes one runtime. */
export function runtimeText({metadata, spec, status = {}}: Runtime, options: ResultOptions): string {
  const place = `${metadata.namespace ?? ''}/${metadata.name}`
  if (status.phase !== spec.state)
    return `runtime ${place} will be ${spec.state.toLowerCase()}: clouder runtime ls`
  const next =
    spec.state === 'Running'
      ? [`clouder runtime exec ${place} -- sh`, `clouder runtime pause ${place}`]
      : [`clouder runtime resume ${place}`]
  const where = spec.state === 'Running' && status.nodeName !== undefined ? ` on ${status.nodeName}` : ''
  return [
    options.colours.green(`runtime ${place} is ${spec.state.toLowerCase()}${where}`),
    `Next:\n${next.map((line) => `  ${line}`).join('\n')}`,
  ].join('\n\n')
}

export function runtimesText(runtimes: readonly Runtime[], options: ResultOptions): string {
  if (runtimes.length === 0) return 'no runtimes yet: clouder runtime create NAMESPACE/NAME --image IMAGE'
  const {red} = options.colours
  return renderTable<Runtime>(
    [
      {title: 'runtime', text: ({metadata}) => `${metadata.namespace ?? ''}/${metadata.name}`},
      {title: 'wanted', text: ({spec}) => spec.state},
      {
        title: 'is',
        text: ({status}) => (status?.phase === 'Failed' ? red('Failed') : (status?.phase ?? 'Pending')),
      },
      {title: 'node', text: ({status}) => status?.nodeName},
      {title: 'image', text: ({spec}) => spec.image},
      {title: 'checkpoint', text: ({status}) => status?.checkpointName},
    ],
    runtimes,
    {columns: options.columns, heading: options.colours.bold},
  )
}

const isReady = ({status}: ContainerHost): string =>
  status?.conditions?.find(({type}) => type === 'Ready')?.status ?? 'Unknown'

export function hostsText(hosts: readonly ContainerHost[], nowMs: number, options: ResultOptions): string {
  if (hosts.length === 0) return 'no hosts yet: clouder byoc register NAME --capability KEY=VALUE'
  return renderTable<ContainerHost>(
    [
      {title: 'host', text: ({metadata}) => metadata.name},
      {title: 'ready', text: isReady},
      {title: 'draining', text: ({spec}) => (spec.unschedulable === true ? 'yes' : 'no')},
      {title: 'slots', text: ({spec, status}) => `${status?.running?.length ?? 0}/${spec.slots}`},
      {
        title: 'heartbeat',
        text: ({status}) => {
          if (status?.joined === true) return 'a node'
          return status?.lastHeartbeatTime === undefined
            ? 'never'
            : ageText(nowMs - Date.parse(status.lastHeartbeatTime))
        },
      },
      {
        title: 'capabilities',
        text: ({spec}) =>
          Object.entries(spec.capabilities ?? {})
            .map(([key, value]) => `${key}=${value}`)
            .join(' '),
      },
    ],
    hosts,
    {columns: options.columns, heading: options.colours.bold},
  )
}
