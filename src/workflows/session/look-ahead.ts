import type {Ahead} from '../../bootstrap/engine/types.ts'
import type {Argv, CommandResult, HostReader, QueryOptions, Script} from '../../bootstrap/hosts/host.ts'
import type {PhaseContext} from '../../bootstrap/phases/context.ts'

/**
 * Contexts for phases that are planned side by side: what several of them ask of a host is asked once and answered to
 * all, for as long as the round lasts, and what one of them notes is kept until its turn.
 */
export const lookAhead: Ahead<PhaseContext> = (context) => {
  let over = false
  const hosts = context.hosts.map((host) => new SharedReader(host, () => over))
  return {
    forPhase: () => {
      const notes: Parameters<PhaseContext['note']>[] = []
      let told = false
      const note: PhaseContext['note'] = (...words) => {
        if (told) context.note(...words)
        else notes.push(words)
      }
      const tell = (): void => {
        told = true
        for (const words of notes) context.note(...words)
      }
      return {context: {...context, hosts, note}, tell}
    },
    end: () => void (over = true),
  }
}

/** A reader that asks nothing twice until the round is over; steps that hold it read anew. */
class SharedReader implements HostReader {
  readonly name: string
  readonly machine: HostReader['machine']
  readonly facts: HostReader['facts']
  readonly #host: HostReader
  readonly #isOver: () => boolean
  readonly #answers = new Map<string, Promise<unknown>>()

  constructor(host: HostReader, isOver: () => boolean) {
    this.name = host.name
    this.machine = host.machine
    this.facts = host.facts
    this.#host = host
    this.#isOver = isOver
  }

  query(argv: Argv, options: QueryOptions = {}): Promise<CommandResult> {
    return this.#once(['query', ...argv], options, () => this.#host.query(argv, options))
  }

  queryScript(script: Script, options: QueryOptions = {}): Promise<CommandResult> {
    return this.#once(['script', script.text], options, () => this.#host.queryScript(script, options))
  }

  readFile(path: string): Promise<string | undefined> {
    return this.#once(['file', path], {}, () => this.#host.readFile(path))
  }

  /** All who ask in a round have the same signal. */
  #once<T>(
    question: readonly string[],
    {signal: _, ...options}: QueryOptions,
    ask: () => Promise<T>,
  ): Promise<T> {
    if (this.#isOver()) return ask()
    const key = JSON.stringify([question, options])
    const known = this.#answers.get(key) as Promise<T> | undefined
    const answer = known ?? ask()
    this.#answers.set(key, answer)
    return answer
  }
}
