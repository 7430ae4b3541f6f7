import type {KubeObject} from '../../kubernetes/types.ts'
import {describeRef, refOf} from '../../kubernetes/refs.ts'

const HOOK = 'helm.sh/hook'
const WEIGHT = 'helm.sh/hook-weight'
const BEFORE = ['pre-install', 'pre-upgrade']
const AFTER = ['post-install', 'post-upgrade']

export interface SplitHooks {
  /** What is installed and kept. */
  readonly objects: readonly KubeObject[]
  /** Jobs to run before objects are applied, in order. */
  readonly before: readonly KubeObject[]
  readonly after: readonly KubeObject[]
  /** What of the chart is treated in another way than by helm, a sentence each. */
  readonly notes: readonly string[]
}

/**
 * Hooks of a chart as a stack runs them. Jobs before and after install and upgrade are run; what such hooks need besides,
 * such as a ServiceAccount, is installed with the rest; tests and hooks of deletion and rollback are left out.
 */
export function splitHooks(rendered: readonly KubeObject[]): SplitHooks {
  const objects: KubeObject[] = []
  const before: KubeObject[] = []
  const after: KubeObject[] = []
  const notes: string[] = []
  for (const object of rendered) {
    const hooks = (object.metadata.annotations?.[HOOK] ?? '').split(',').map((hook) => hook.trim())
    const isBefore = hooks.some((hook) => BEFORE.includes(hook))
    const isAfter = hooks.some((hook) => AFTER.includes(hook))
    const what = describeRef(refOf(object))
    if (hooks.join() === '') objects.push(object)
    else if (!isBefore && !isAfter) notes.push(`${what} is left out: it is a hook for ${hooks.join(', ')}`)
    else if (object.kind !== 'Job') {
      objects.push(plain(object))
      notes.push(`${what} is kept as an object of the service: helm has it as a hook`)
    } else {
      if (isBefore) before.push(plain(object))
      if (isAfter) after.push(plain(object))
    }
  }
  const byWeight = (jobs: readonly KubeObject[]): readonly KubeObject[] => {
    const weights = new Map(rendered.map((object) => [object.metadata.name, weightOf(object)]))
    return jobs.toSorted((a, b) => (weights.get(a.metadata.name) ?? 0) - (weights.get(b.metadata.name) ?? 0))
  }
  return {objects, before: byWeight(before), after: byWeight(after), notes}
}

const weightOf = ({metadata}: KubeObject): number => Number(metadata.annotations?.[WEIGHT] ?? 0)

function plain(object: KubeObject): KubeObject {
  const kept = Object.entries(object.metadata.annotations ?? {}).filter(([key]) => !key.startsWith(HOOK))
  return {...object, metadata: {...object.metadata, annotations: Object.fromEntries(kept)}}
}
