import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {Duplex} from 'node:stream'

const saidBytes = 4_096
const endToldMs = 1_000

/** A program that carries a connection on its stdin and stdout: what OpenSSH calls a ProxyCommand. */
export interface ProxyCommand {
  readonly sock: Duplex
  /** Aborted when it ended. */
  readonly ended: AbortSignal
  /** How it ended: an error of the system, or its last line on stderr. Its output ends before that is known, so this waits a moment; undefined: it goes on. */
  readonly ending: () => Promise<Error | undefined>
  readonly close: () => void
}

/** Starts it. */
export function startProxyCommand(argv: readonly string[]): ProxyCommand {
  const [program = '', ...words] = argv
  // Its own session: Ctrl-C of the terminal is for us, who still have commands to stop through it.
  const child = spawn(program, words, {stdio: ['pipe', 'pipe', 'pipe'], detached: true})
  const sock = Duplex.from({readable: child.stdout, writable: child.stdin})
  const ended = new AbortController()
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-saidBytes)
  })
  child.on('error', (error) => {
    ended.abort(error)
    sock.destroy()
  })
  child.on('close', (code) => {
    const line = said.trim().split('\n').at(-1) ?? ''
    ended.abort(new Error(line === '' ? `${program} ended with exit code ${code ?? 'none'}` : line))
    sock.destroy()
  })
  // An end that comes while bytes are under way is told by the connection's own error.
  sock.on('error', () => undefined)
  child.stdin.on('error', () => undefined)
  const ending = async (): Promise<Error | undefined> => {
    const late = AbortSignal.timeout(endToldMs)
    if (!ended.signal.aborted) await once(ended.signal, 'abort', {signal: late}).catch(() => undefined)
    const reason: unknown = ended.signal.reason
    return reason instanceof Error ? reason : undefined
  }
  return {sock, ended: ended.signal, ending, close: () => void child.kill()}
}
