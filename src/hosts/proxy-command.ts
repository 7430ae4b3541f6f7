import {spawn} from 'node:child_process'
import {Duplex} from 'node:stream'

const saidBytes = 4_096

/** A program that carries a connection on its stdin and stdout: what OpenSSH calls a ProxyCommand. */
export interface ProxyCommand {
  readonly sock: Duplex
  /** Aborted when it ended; the reason is an Error of the system, or of its last line on stderr. */
  readonly ended: AbortSignal
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
  return {sock, ended: ended.signal, close: () => void child.kill()}
}
