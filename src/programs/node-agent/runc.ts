import {readFile} from 'node:fs/promises'
import {z} from 'zod'
import {jsonOf} from '../../base/json.ts'
import {unlessMissing} from '../../base/system-errors.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import type {HostCommands} from './host-command.ts'

/** Where the shims of containerd have runc keep the containers of pods. */
const ROOT = '/run/containerd/runc/k8s.io'

/** Folders of the node that a dump is written to; each must be there. */
export interface RuncFolders {
  /** Where CRIU writes its images. */
  readonly images: string
  /** Where CRIU and runc write their logs. */
  readonly work: string
  /** Images of the dump before, as a path that is relative to `images`; absent: all memory is written. */
  readonly parent?: string
}

/** What of a container's memory is written. `pre-dump`: memory only, and the container runs on meanwhile. */
export type RuncDump = 'pre-dump' | 'dump'

/**
 * The node's runc on containers of pods, for what the runtime's own API has no words for. Throws CheckpointError
 * CHECKPOINT_FAILED with what runc said, KubernetesError API_UNREACHABLE when containerd, which starts it, is away.
 */
export interface Runc {
  /**
   * Makes a dump ready to begin. The container runs on afterwards, or stays paused if it is. CRIU freezes its processes:
   * while it finds out what memory there is to write (`pre-dump`), or until all is written (`dump`).
   */
  prepare(
    kind: RuncDump,
    containerId: string,
    folders: RuncFolders,
    signal: AbortSignal,
  ): Promise<PreparedRunc>
}

export interface PreparedRunc {
  /** Does it, and waits until it is done. It goes on when the signal is aborted: what is killed may leave CRIU's code in a process. */
  run(signal: AbortSignal): Promise<void>
  /** Gives it up if it has not begun. */
  discard(): Promise<void>
}

export function hostRunc(commands: Pick<HostCommands, 'prepare'>): Runc {
  return {
    async prepare(kind, id, folders, signal) {
      const command = await commands.prepare(runcWords(kind, id, folders), {}, signal)
      return {
        async run(until) {
          await command.start(until)
          const code = await command.ended(until)
          if (code === 0) return
          throw await runcFailure(kind, code, folders)
        },
        discard: () => command.kill(),
      }
    },
  }
}

/** As containerd calls it, which has no words for a dump before the dump, nor for a parent. */
export function runcWords(
  kind: RuncDump,
  id: string,
  {images, work, parent}: RuncFolders,
  {root = ROOT, more = []}: {readonly root?: string; readonly more?: readonly string[]} = {},
): readonly string[] {
  return [
    ...['runc', '--root', root, '--log', `${work}/runc.log`, '--log-format', 'json', 'checkpoint'],
    ...['--image-path', images, '--work-path', work],
    ...(kind === 'pre-dump' ? ['--pre-dump'] : ['--leave-running']),
    ...(parent === undefined ? [] : ['--parent-path', parent]),
    ...more,
    id,
  ]
}

const lineSchema = z.looseObject({level: z.string(), msg: z.string()})

/** The errors in runc's log. */
async function saidIn(log: string): Promise<string> {
  const text = (await readFile(log, 'utf8').catch(unlessMissing)) ?? ''
  return text
    .split('\n')
    .flatMap((line) => lineSchema.safeParse(jsonOf(line)).data ?? [])
    .filter(({level}) => level === 'error' || level === 'fatal')
    .map(({msg}) => msg)
    .join('; ')
}

const WHAT: Readonly<Record<RuncDump, string>> = {
  'pre-dump': 'copy the memory of the running container',
  dump: 'dump the container',
}

/** The error of a runc that exited with another code than 0, with what it said. */
export async function runcFailure(
  kind: RuncDump,
  code: number,
  {work}: Pick<RuncFolders, 'work'>,
): Promise<CheckpointError> {
  const said = await saidIn(`${work}/runc.log`)
  return new CheckpointError(
    'CHECKPOINT_FAILED',
    `runc failed to ${WHAT[kind]}: ${said === '' ? `exit code ${code}` : said} (log: ${work}/dump.log)`,
  )
}
