import type {KubeClient, KubeObject} from '../../src/kubernetes/types.ts'

const WRITES = new Set(['apply', 'applyAs', 'create', 'update', 'patch', 'delete', 'post'])

/**
 * A client of a process that is killed at its nth write: that one is done or not, by turns, and nothing is sent any
 * more, not by what cleans up either. Renewals of locks do not count.
 */
export function killedAt(kube: KubeClient, at: number): KubeClient & {readonly isDead: () => boolean} {
  let writes = 0
  let dead = false
  const call = async (
    method: string,
    args: readonly unknown[],
    send: () => Promise<unknown>,
  ): Promise<unknown> => {
    if (dead) throw new Error('killed')
    const [first] = args as readonly Partial<KubeObject>[]
    if (!WRITES.has(method) || (method === 'update' && first?.kind === 'Lease')) return send()
    writes += 1
    if (writes < at) return send()
    dead = true
    if (at % 2 === 0) await send()
    throw new Error('killed')
  }
  return new Proxy(kube, {
    get(target, property) {
      if (property === 'isDead') return () => dead
      const value: unknown = Reflect.get(target, property)
      if (typeof value !== 'function' || typeof property !== 'string') return value
      const send = (...args: readonly unknown[]): unknown => Reflect.apply(value, target, args)
      if (!WRITES.has(property) && !['get', 'list', 'dryRun', 'fetch'].includes(property)) return send
      return (...args: readonly unknown[]) => call(property, args, () => Promise.resolve(send(...args)))
    },
  }) as KubeClient & {readonly isDead: () => boolean}
}
