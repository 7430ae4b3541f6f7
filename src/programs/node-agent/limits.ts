import {readdir, readFile, rename, writeFile} from 'node:fs/promises'
import {dirname, join} from 'node:path'
import {unlessMissing} from '../../base/system-errors.ts'
import {baseOf} from '../../checkpoint/archive/criu-images.ts'
import type {OciSpec} from '../../checkpoint/archive/oci-spec.ts'
import {
  beyondLimits,
  hardLimits,
  limitsOf,
  mayRaise,
  usedResources,
  withLimits,
  type Rlimits,
} from '../../checkpoint/archive/rlimits.ts'
import type {CheckpointMetadata} from '../../api/sealed-checkpoint.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'

/** Hard limits of processes that the node's runtime starts without any of their own. */
export interface NodeLimits {
  /** Those of a pod's sandbox, which a container of it begins with too; `bundle` is the container's. */
  ofSandbox(bundle: string, sandbox: string): Promise<Rlimits>
  /** Those of this program, which the runtime of this node started. */
  own(): Promise<Rlimits>
}

/** Reads limits of processes below `proc`, as the host numbers them. */
export function nodeLimits(proc = '/proc'): NodeLimits {
  const of = async (pid: string): Promise<Rlimits> =>
    hardLimits(await readFile(join(proc, pid, 'limits'), 'utf8'))
  return {
    async ofSandbox(bundle, sandbox) {
      if (!/^[0-9a-zA-Z._-]+$/.test(sandbox)) throw new Error(`"${sandbox}" is not the id of a sandbox`)
      const pid = (await readFile(join(dirname(bundle), sandbox, 'init.pid'), 'utf8')).trim()
      if (!/^\d+$/.test(pid)) throw new Error(`"${pid}" is not a process id`)
      return of(pid)
    },
    own: () => of('self'),
  }
}

/**
 * Throws CheckpointError PRIVILEGES_WIDER when processes of a checkpoint have more in use than a container that the node
 * gives these limits may have. What the container's own spec sets is not known before it is there.
 */
export function refuseBeyond(
  {name, used, privileges}: Pick<CheckpointMetadata['containers'][number], 'name' | 'used' | 'privileges'>,
  limits: Rlimits,
): void {
  if (used === undefined || mayRaise(privileges.capabilities)) return
  refuse(name, beyondLimits(used, limits))
}

function refuse(container: string, beyond: readonly string[]): void {
  if (beyond.length === 0) return
  throw new CheckpointError(
    'PRIVILEGES_WIDER',
    `the processes in the checkpoint exceed the resource limits of container ${container}: ${beyond.join('; ')}`,
  )
}

const SANDBOX = 'io.kubernetes.cri.sandbox-id'
/** What tells of limits, and of what they bound. */
const IMAGES = ['pstree', 'core', 'ids', 'fdinfo', 'mm']

/**
 * Writes into CRIU's images the limits and the oom_score_adj of the container that is to be restored, so that its
 * processes have them from the first moment on. Throws CheckpointError PRIVILEGES_WIDER when they could not go on so.
 */
export async function lowerLimits(
  {imageDir, container, bundle, spec}: {imageDir: string; container: string; bundle: string; spec: OciSpec},
  limits: NodeLimits,
): Promise<void> {
  const sandbox = spec.annotations[SANDBOX] ?? ''
  const inherited = await limits.ofSandbox(bundle, sandbox).catch((error: unknown) => {
    throw new CheckpointError(
      'RESTORE_FAILED',
      `could not determine the resource limits of pods on this node: ${String(error)}`,
    )
  })
  const rlimits = limitsOf(spec, inherited)
  const images = new Map<string, Uint8Array>()
  // Without images there is nothing to restore, as CRIU will say.
  const names = (await readdir(imageDir).catch(unlessMissing)) ?? []
  for (const name of names.filter((one) => IMAGES.includes(baseOf(one))))
    images.set(name, await readFile(join(imageDir, name)))
  refuse(container, beyondLimits(usedResources(images), rlimits))
  for (const [name, image] of loweredIn(images, {rlimits, oomScoreAdj: spec.process.oomScoreAdj})) {
    const path = join(imageDir, name)
    await writeFile(`${path}.new`, image, {mode: 0o600})
    await rename(`${path}.new`, path)
  }
}

function loweredIn(...args: Parameters<typeof withLimits>): ReturnType<typeof withLimits> {
  try {
    return withLimits(...args)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw new CheckpointError('RESTORE_FAILED', `cannot write resource limits: ${error.message}`)
  }
}
