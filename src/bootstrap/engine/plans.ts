import {ClouderError} from '../../base/errors.ts'
import {throwIfInterrupted, toError} from './failures.ts'
import type {Ahead, AheadRound, Phase, RunOptions, Step} from './types.ts'

/** One phase, being planned before its turn. */
interface EarlyPlan<Tools> {
  readonly steps: Promise<readonly Step<Tools>[]>
  /** Reports what the phase had to say. */
  readonly tell: () => void
}

interface Round<Context, Tools> {
  readonly of: AheadRound<Context>
  readonly plans: ReadonlyMap<string, EarlyPlan<Tools>>
  readonly stop: AbortController
}

/**
 * The plans of a run. With `ahead`, all phases that are left are planned at once and side by side for as long as
 * nothing is changed; a change makes every plan that was made before it void. After a change the next phase is planned
 * alone, as it is likely to have something to do too; the first that has nothing begins the next round.
 */
export class Plans<Context, Tools> {
  readonly #context: Context
  readonly #options: RunOptions<Tools>
  readonly #ahead: Ahead<Context> | undefined
  #round: Round<Context, Tools> | undefined
  #worthwhile = true

  constructor(context: Context, options: RunOptions<Tools>, ahead: Ahead<Context> | undefined) {
    this.#context = context
    this.#options = options
    this.#ahead = ahead
  }

  /** The steps of the first of these phases; the others are those that come after it. Throws what its plan throws. */
  async first(
    phase: Phase<Context, Tools>,
    left: readonly Phase<Context, Tools>[],
  ): Promise<readonly Step<Tools>[]> {
    if (this.#round === undefined && this.#worthwhile && this.#ahead !== undefined)
      this.#round = this.#begin(this.#ahead, [phase, ...left])
    const early = this.#round?.plans.get(phase.id)
    const steps = await (early?.steps ?? this.#plan(phase, this.#context, this.#options.signal))
    early?.tell()
    this.#worthwhile = steps.length === 0
    return steps
  }

  /** Called before something is changed, and at the end: resolves when no plan is being made any more. */
  async end(): Promise<void> {
    const round = this.#round
    this.#round = undefined
    if (round === undefined) return
    round.of.end()
    round.stop.abort()
    await Promise.allSettled([...round.plans.values()].map(({steps}) => steps))
  }

  #begin(ahead: Ahead<Context>, phases: readonly Phase<Context, Tools>[]): Round<Context, Tools> {
    const stop = new AbortController()
    const signal = AbortSignal.any([this.#options.signal, stop.signal])
    const round = ahead(this.#context)
    const plans = phases.map((phase) => {
      const {context, tell} = round.forPhase()
      const steps = this.#plan(phase, context, signal)
      // Whoever waits for it gets the failure; of a plan that is void nobody does.
      steps.catch(() => undefined)
      return [phase.id, {steps, tell}] as const
    })
    return {of: round, plans: new Map(plans), stop}
  }

  async #plan(
    phase: Phase<Context, Tools>,
    context: Context,
    signal: AbortSignal,
  ): Promise<readonly Step<Tools>[]> {
    try {
      return await phase.plan(context, signal)
    } catch (error) {
      throwIfInterrupted(this.#options.signal)
      if (error instanceof ClouderError) {
        error.phase ??= phase.id
        throw error
      }
      throw new Error(`planning ${phase.id}: ${toError(error).message}`, {cause: error})
    }
  }
}
