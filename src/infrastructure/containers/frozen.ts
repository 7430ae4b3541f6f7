import type {ExecResult} from './container-engine.ts'

const TIMEOUT_MS = 10_000

/**
 * A process that a version 1 freezer holds does not end at SIGKILL, so that a container with one cannot be stopped or
 * removed. Only groups below the container's own: where it has no cgroup namespace, the host's are there too.
 */
const END_FROZEN = `own=$(sed -n 's/^[0-9]*:freezer://p' /proc/1/cgroup)
[ -n "$own" ] || exit 0
for state in $(find "/sys/fs/cgroup/freezer\${own%/}" -name freezer.state 2>/dev/null); do
  [ "$(cat "$state")" = THAWED ] && continue
  kill -KILL $(cat "\${state%/*}/cgroup.procs") 2>/dev/null
  echo THAWED > "$state"
done
exit 0
`

/** Ends what is frozen in a container that is about to be stopped; what does not run, or cannot be entered, is left. */
export async function endFrozen(
  exec: (argv: readonly [string, ...string[]], signal: AbortSignal) => Promise<ExecResult>,
): Promise<void> {
  await exec(['sh', '-c', END_FROZEN], AbortSignal.timeout(TIMEOUT_MS)).catch(() => undefined)
}
