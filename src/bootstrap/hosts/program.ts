import {quoteArgv, quoteWord} from '../../base/quoting.ts'

/** How a command becomes root. */
export type Elevation =
  | {readonly kind: 'none'}
  | {readonly kind: 'sudo'}
  | {readonly kind: 'sudo-password'; readonly password: string}

export const passwordPrompt = 'clouder-sudo-password:'
/** Comes first on stderr: the login shell took the line. Without it a forced command or another shell was there. */
export const shellMarker = 'clouder-shell\n'
export const readyMarker = 'clouder-ready\n'
export const startedMarker = /clouder-started (\d+)\n/
/** Comes first on stdout: what a login shell's start-up files print is not the command's output. */
export const outputMarker = 'clouder-output\n'
/** Where a running change is recorded on the host; /run is emptied by a reboot, as the processes are. */
export const busyDir = '/run/clouder/commands'

/**
 * The line for the login shell. It starts a bash that reads its program from stdin, in a session of its own so that
 * all it started can be found and killed. `$PPID` is the process that serves the connection.
 */
export function launchLine(elevation: Elevation): string {
  const bash = 'setsid -w bash -s'
  const line = (command: string): string =>
    `exec /bin/sh -c ${quoteWord(`echo ${shellMarker.trim()} >&2; exec ${command}`)}`
  // What sudo says is read: in the language that its advice is written for.
  const sudo = 'env LC_ALL=C sudo'
  switch (elevation.kind) {
    case 'none':
      return line(`${bash} "$PPID"`)
    case 'sudo':
      return line(`${sudo} -n -- ${bash} "$PPID"`)
    case 'sudo-password': {
      // Nothing may be sent before sudo is done with stdin: a password that it does not ask for would be run by bash.
      const announce = quoteWord(`echo ${readyMarker.trim()} >&2; exec ${bash} "$1"`)
      return line(`${sudo} -S -p ${passwordPrompt} -- bash -c ${announce} bash "$PPID"`)
    }
  }
}

/** Body that runs one program with exactly these words; `exec` so that no shell builtin stands in for it. */
export function argvBody(argv: readonly string[]): string {
  return `exec -- ${quoteArgv(argv)}`
}

/** Body that runs a script's text in the same bash, with `$1`, `$2`… */
export function scriptBody(text: string, words: readonly string[] = []): string {
  return `set -- ${words.map(quoteWord).join(' ')}; eval ${quoteWord(text)}`
}

/**
 * What sshd, PAM and start-up files of the host put into the environment would steer the programs that we start: kubeadm
 * copies proxies into manifests, ctr has its own variables, LD_PRELOAD and TMPDIR everything.
 */
const definedEnvironment = `for clouder_name in $(compgen -e); do
case $clouder_name in HOME|USER|LOGNAME|SHELL|PWD|SHLVL) ;; *) unset -v "$clouder_name" ;; esac
done 2>/dev/null
for clouder_name in $(compgen -A function); do unset -f "$clouder_name"; done
unset -v clouder_name
`

/**
 * What bash reads: one brace group, so that nothing runs unless all of it arrived. Bash reads a pipe byte by byte,
 * so whatever follows the group is left on stdin for the command.
 */
export function program(body: string, change: {readonly token: string} | undefined): string {
  const record = change === undefined ? '' : recordLines(change.token)
  return `{
printf 'clouder-started %s\\n' "$$" >&2
echo ${outputMarker.trim()}
${definedEnvironment}export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
umask 022
clouder_record=
${record}( unset clouder_record; ${body}
)
clouder_code=$?
[ -z "$clouder_record" ] || rm -f -- "$clouder_record"
exit "$clouder_code"
}
`
}

function recordLines(token: string): string {
  return `if [ "$EUID" -eq 0 ] && mkdir -p -m 0700 ${busyDir}; then
IFS= read -r -d '' clouder_stat </proc/$$/stat
clouder_stat=(\${clouder_stat##*) })
clouder_record=${busyDir}/$$
echo "\${clouder_stat[19]} $1 ${token}" >"$clouder_record" || clouder_record=
fi
`
}

/**
 * Defines `fields_of PID`: /proc/PID/stat from its third field on, as the array `fields` (proc(5): 0 state, 3 session,
 * 19 start time), without a fork; and `members SESSION`, the processes of a session that are not just zombies.
 */
const processFunctions = `fields_of() {
  local stat=
  fields=()
  { IFS= read -r -d '' stat <"/proc/$1/stat"; } 2>/dev/null
  [ -n "$stat" ] && fields=(\${stat##*) })
}
members() {
  local process fields
  for process in /proc/[0-9]*; do
    fields_of "\${process#/proc/}" || continue
    [ "\${fields[3]}" = "$1" ] && [ "\${fields[0]}" != Z ] && echo "\${process#/proc/}"
  done
  return 0
}
`

const stopSession = `stop_session() {
  local pids tries
  pids=$(members "$1"); [ -z "$pids" ] || kill -TERM $pids 2>/dev/null
  for tries in $(seq 1 20); do
    [ -n "$(members "$1")" ] || break
    sleep 0.1
  done
  for tries in $(seq 1 20); do
    pids=$(members "$1"); [ -n "$pids" ] || break
    kill -KILL $pids 2>/dev/null
    sleep 0.1
  done
  rm -f -- "${busyDir}/$1"
}
`

/** Ends every process of a command: TERM, two seconds, KILL. Exit code 1 when something outlived that. */
export function stopScript(sessionPid: number): string {
  return `${processFunctions}${stopSession}stop_session ${sessionPid}
[ -z "$(members ${sessionPid})" ]
`
}

/**
 * Defines `leftovers`: a line for each recorded change that still runs and counts as left over. `pid lost`: its
 * connection is gone, or it has this run's token and so belongs to a connection that this run lost. `pid served`: of
 * another connection, listed where `everything` is asked for. Removes the records of changes that ended.
 */
export function leftoversFunction(token: string, everything: boolean): string {
  return `${processFunctions}leftovers() {
  local record pid start serving token fields
  for record in ${busyDir}/[0-9]*; do
    { read -r start serving token <"$record"; } 2>/dev/null || continue
    pid=\${record##*/}
    if fields_of "$pid" && [ "\${fields[0]}" != Z ]; then
      [ "\${fields[19]}" = "$start" ] || { rm -f -- "$record"; continue; }
    elif [ -z "$(members "$pid")" ]; then
      rm -f -- "$record"; continue
    fi
    if ! [ -d "/proc/$serving" ] || [ "$token" = ${token} ]; then echo "$pid lost"
    elif ${everything ? 'true' : 'false'}; then echo "$pid served"
    fi
  done
  return 0
}
`
}

/**
 * Waits for leftovers to end, then kills those that are lost.
 * Exit code 3 with the remaining lines when one that is still served outlived the wait.
 */
export function awaitLeftoversScript(token: string, everything: boolean, waitMs: number): string {
  return `${leftoversFunction(token, everything)}${stopSession}
deadline=$((SECONDS + ${Math.ceil(waitMs / 1000)}))
while [ -n "$(leftovers)" ] && [ "$SECONDS" -lt "$deadline" ]; do sleep 0.1; done
leftovers | while read -r pid state; do
  if [ "$state" = lost ]; then stop_session "$pid"; fi
done
rest=$(leftovers)
[ -z "$rest" ] || { echo "$rest"; exit 3; }
`
}
