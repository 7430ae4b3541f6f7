import {describeRef, refOf} from '../../kubernetes/refs.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import {formatPath, type Finding, type Path} from '../../spec/problems.ts'
import {scanReferences, type OutputReference} from './references.ts'

/** Shorter ones would be found in any text. */
const SHORTEST = 6

/** Values that were read from Secrets during a run. Nothing of it is written anywhere. */
export class SecretValues {
  readonly #values = new Set<string>()
  readonly #hide: (value: string) => void

  /** `hide`: of whoever writes logs and shows errors. */
  constructor(hide: (value: string) => void) {
    this.#hide = hide
  }

  add(value: string): void {
    if (value.length < SHORTEST || this.#values.has(value)) return
    this.#values.add(value)
    this.#hide(value)
  }

  /** Where an object that is no Secret holds one of the values; undefined: nowhere. */
  exposedBy(object: KubeObject): string | undefined {
    if (object.kind === 'Secret' || this.#values.size === 0) return undefined
    const forms = [...this.#values].flatMap((value) => [value, Buffer.from(value).toString('base64')])
    const place = placeOf(object, (text) => forms.some((form) => text.includes(form)))
    return place === undefined ? undefined : `${describeRef(refOf(object))} at ${formatPath(place)}`
  }
}

function placeOf(value: unknown, holds: (text: string) => boolean): Path | undefined {
  if (typeof value === 'string') return holds(value) ? [] : undefined
  if (typeof value !== 'object' || value === null) return undefined
  const isList = Array.isArray(value)
  for (const [key, child] of Object.entries(value)) {
    const below = placeOf(child, holds)
    if (below !== undefined) return [isList ? Number(key) : key, ...below]
  }
  return undefined
}

/** References to secret values anywhere but in a Secret: there they would be seen in plans and by whoever reads objects. */
export function exposedReferences(
  object: KubeObject,
  path: Path,
  isSensitive: (output: OutputReference) => boolean,
): readonly Finding[] {
  return scanReferences(object).references.flatMap(({reference, path: below}): readonly Finding[] => {
    const isSecret = reference.kind === 'secret' || (reference.kind === 'output' && isSensitive(reference))
    if (!isSecret) return []
    const place = {path: [...path, ...below], value: undefined}
    if (object.kind !== 'Secret' || (below[0] !== 'data' && below[0] !== 'stringData')) {
      const problem =
        'would put a secret value where everyone sees it: put it in a Secret, and use secretKeyRef'
      return [{...place, problem}]
    }
    if (
      below[0] === 'data' &&
      !(reference.kind === 'secret' && reference.encoding === 'base64' && below.length === 2)
    ) {
      return [{...place, problem: 'is not base64, as data must be: use stringData'}]
    }
    return []
  })
}

/** A Secret with all its values in `data`, as the server has it; other objects as they are. */
export function withData(object: KubeObject): KubeObject {
  if (object.kind !== 'Secret' || object.apiVersion !== 'v1') return object
  const {stringData, ...rest} = object
  if (typeof stringData !== 'object' || stringData === null) return object
  const own = typeof object['data'] === 'object' && object['data'] !== null ? object['data'] : {}
  const encoded = Object.entries(stringData).map(([key, value]) => [
    key,
    Buffer.from(String(value)).toString('base64'),
  ])
  return {...rest, data: {...own, ...Object.fromEntries(encoded)}}
}
