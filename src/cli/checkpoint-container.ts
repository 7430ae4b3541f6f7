import type {Checkpoint} from '../api/resources.ts'
import {formatBytes} from './duration.ts'
import {facts, optional} from './facts.ts'
import type {ResultOptions} from './result-options.ts'
import {renderTable} from './table.ts'

/** Of each list; all is in the JSON. */
const shownFiles = 20

type Summary = NonNullable<NonNullable<Checkpoint['status']>['summary']>['containers'][number]

/** One container of `checkpoint inspect`. */
export function containerText(container: Summary, options: ResultOptions): string {
  const {bold} = options.colours
  const {privileges, sockets = [], openFiles = [], mounts = []} = container
  const table = renderTable<Summary['processes'][number]>(
    [
      {title: 'pid', text: ({pid}) => String(pid)},
      {title: 'parent', text: ({ppid}) => String(ppid)},
      {title: 'threads', text: ({threads}) => optional(threads, String)},
      {title: 'memory', text: ({residentBytes}) => optional(residentBytes, formatBytes)},
      {title: 'command', text: ({command}) => command},
    ],
    container.processes,
    {columns: options.columns, heading: bold},
  )
  const list = (title: string, lines: readonly string[]): readonly string[] => {
    const more = lines.length > shownFiles ? [`  and ${lines.length - shownFiles} more, see --json`] : []
    return lines.length === 0
      ? []
      : [[title, ...lines.slice(0, shownFiles).map((line) => `  ${line}`), ...more].join('\n')]
  }
  return [
    bold(`container ${container.name}`),
    facts([
      ['image', container.imageDigest],
      ['memory', optional(container.imageBytes, formatBytes)],
      ['files', optional(container.filesBytes, (size) => `${formatBytes(size)} changed`)],
    ]),
    ...(container.processes.length === 0 ? [] : [table]),
    ...list(
      'sockets',
      sockets.map(({kind, local, remote, state}) =>
        [kind, local, remote === undefined ? undefined : `-> ${remote}`, state].filter(Boolean).join(' '),
      ),
    ),
    ...list(
      'open files',
      openFiles.map(({pid, fd, path}) => `${pid}/${fd} ${path}`),
    ),
    ...list('mounts', mounts),
    ...(privileges === undefined ? [] : list('privileges', privilegeLines(privileges))),
  ]
    .filter((text) => text !== '')
    .join('\n')
}

type Privileges = NonNullable<Summary['privileges']>

function privilegeLines(privileges: Privileges): readonly string[] {
  const {uid, gid, capabilities, devices, hostNamespaces, mounts} = privileges
  const hostPaths = mounts.flatMap(({hostPath}) => hostPath ?? [])
  return [
    `user ${uid}:${gid}${privileges.noNewPrivileges ? ', no new privileges' : ''}`,
    `capabilities ${capabilities.length === 0 ? 'none' : capabilities.map((name) => name.replace('CAP_', '')).join(' ')}`,
    `seccomp ${privileges.seccompSha256 === undefined ? 'unconfined' : 'confined'}`,
    ...(devices.length === 0 ? [] : [`devices ${devices.join(', ')}`]),
    ...(hostNamespaces.length === 0 ? [] : [`namespaces of the host: ${hostNamespaces.join(', ')}`]),
    ...(hostPaths.length === 0 ? [] : [`folders of the host: ${hostPaths.join(', ')}`]),
  ]
}
