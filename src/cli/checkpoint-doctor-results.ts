import type {CheckpointDoctorResult, DoctorNode} from '../workflows/checkpoint/doctor.ts'
import type {ResultOptions} from './result-options.ts'
import {renderTable} from './table.ts'

const yesOrNo = (is: boolean | undefined): string | undefined =>
  is === undefined ? undefined : is ? 'yes' : 'no'

const DUMPS: Readonly<Record<string, string>> = {Direct: 'folder', Runtime: 'runtime archive'}

/** What stands in the way of checkpoints, for people. */
export function doctorText(cluster: string, result: CheckpointDoctorResult, options: ResultOptions): string {
  const {green, red, yellow, bold} = options.colours
  const table = renderTable<DoctorNode>(
    [
      {title: 'node', text: ({node}) => node},
      {title: 'restores by', text: ({backends}) => (backends.length === 0 ? 'nothing' : backends.join(', '))},
      {title: 'kernel', text: ({kernel}) => kernel},
      {title: 'CRIU', text: ({criu}) => criu},
      {title: 'runtime', text: ({runtime}) => runtime},
      {title: 'pre-copy', text: ({precopy}) => yesOrNo(precopy)},
      {title: 'post-copy', text: ({postcopy}) => yesOrNo(postcopy)},
      {title: 'dumps by', text: ({dump}) => (dump === undefined ? undefined : DUMPS[dump])},
    ],
    result.nodes,
    {columns: options.columns, heading: bold},
  )
  const findings = result.findings.map(({where, check, weight, problem, fix}) => {
    const paint = weight === 'blocks' ? red : yellow
    return `${bold(`${where}: ${check}`)} ${paint(weight === 'blocks' ? 'prevents it' : 'not included')}\n  ${problem}\n  fix: ${fix}`
  })
  const probe = result.probe === undefined ? [] : [`round trip: ${result.probe}`]
  const own =
    result.podCheckpoint === undefined
      ? []
      : [
          `the cluster serves PodCheckpoint of Kubernetes (${result.podCheckpoint}); clouder does not use it yet`,
        ]
  const {postCopy} = result
  const lazy =
    postCopy === undefined
      ? []
      : [
          postCopy.nodes.length > 0
            ? `post-copy: possible to ${postCopy.nodes.join(', ')} (clouder checkpoint migrate --lazy)`
            : `post-copy: not possible: ${postCopy.why ?? ''}`,
        ]
  const verdict = result.healthy
    ? green(`${cluster}: checkpoint and restore work`)
    : red(`${cluster}: some findings prevent checkpoints`)
  return [table, ...findings, ...own, ...lazy, ...probe, verdict].join('\n\n')
}
