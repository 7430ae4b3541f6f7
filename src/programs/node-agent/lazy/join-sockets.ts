import type {Duplex} from 'node:stream'

const LOOK_EVERY_MS = 1000
const FLUSH_MS = 1000

export interface Joined {
  /** Called with what `from` sent. */
  readonly onBytes?: (bytes: number) => void
  /** Both are closed when neither sends anything for so long: at first, and after something was sent. */
  readonly silence: {readonly firstMs: number; readonly restMs: number}
  readonly signal: AbortSignal
}

/** Carries what two ends of a connection send to each other, until one of them closes; then both are closed. */
export function joinSockets(from: Duplex, to: Duplex, {onBytes, silence, signal}: Joined): Promise<void> {
  return new Promise((resolve) => {
    let heardAtMs: number | undefined
    let isFlushing = false
    const end = (): void => {
      clearInterval(looking)
      signal.removeEventListener('abort', end)
      from.destroy()
      to.destroy()
      resolve()
    }
    // What was sent before one closed is still to arrive at the other.
    const closed = (other: Duplex) => (): void => {
      if (!isFlushing) AbortSignal.timeout(FLUSH_MS).addEventListener('abort', end)
      isFlushing = true
      if (other.destroyed) end()
      else other.end(end)
    }
    const heard = (): void => void (heardAtMs = performance.now())
    const beganAtMs = performance.now()
    const looking = setInterval(() => {
      const limitMs = heardAtMs === undefined ? silence.firstMs : silence.restMs
      if (performance.now() - (heardAtMs ?? beganAtMs) > limitMs) end()
    }, LOOK_EVERY_MS)
    const count = (chunk: Buffer): void => {
      onBytes?.(chunk.length)
      heard()
    }
    if (signal.aborted) {
      end()
      return
    }
    signal.addEventListener('abort', end, {once: true})
    from.once('close', closed(to)).on('error', () => from.destroy())
    to.once('close', closed(from)).on('error', () => to.destroy())
    from.on('data', count).pipe(to)
    to.on('data', heard).pipe(from)
  })
}
