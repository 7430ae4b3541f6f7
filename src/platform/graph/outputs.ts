import {describeRef} from '../../kubernetes/refs.ts'
import type {KubeReader} from '../../kubernetes/types.ts'
import {parseJsonPath, valueAtJsonPath} from './json-path.ts'
import {resolveReferences, scanReferences, type OutputReference, type Reference} from './references.ts'
import type {OutputSpec, Service, Stack} from './stack-schema.ts'

/** Whether what an output gives must not be shown: it was declared so, or comes from a Secret. */
export function isSensitiveOutput({services}: Pick<Stack, 'services'>, output: OutputReference): boolean {
  const spec = services.get(output.service)?.outputs[output.name]
  if (spec === undefined) return false
  if (spec.sensitive) return true
  if (spec.from !== undefined) return spec.from.kind === 'Secret'
  return scanReferences(spec.value).references.some(
    ({reference}) =>
      reference.kind === 'secret' ||
      // A service needs those whose outputs it uses, so this ends.
      (reference.kind === 'output' && isSensitiveOutput({services}, reference)),
  )
}

export interface OutputValues {
  readonly values: ReadonlyMap<string, string>
  /** What is not there yet, a sentence each. */
  readonly missing: readonly string[]
}

/** The outputs of a service, read from the cluster. */
export async function readOutputs(
  kube: KubeReader,
  service: Service,
  valueOf: (reference: Reference) => string,
): Promise<OutputValues> {
  const values = new Map<string, string>()
  const missing: string[] = []
  await Promise.all(
    Object.entries(service.outputs).map(async ([name, {from, value}]) => {
      if (from === undefined) {
        values.set(name, textOf(resolveReferences(value, valueOf)))
        return
      }
      const found = await readFrom(kube, from, service.namespace)
      if (found.value === undefined) missing.push(`output ${name}: ${found.problem}`)
      else values.set(name, found.value)
    }),
  )
  return {values, missing: missing.toSorted()}
}

async function readFrom(
  kube: KubeReader,
  from: NonNullable<OutputSpec['from']>,
  usual: string,
): Promise<{readonly value?: string; readonly problem: string}> {
  const {apiVersion, kind, name, namespace = usual, jsonPath} = from
  const object = await kube.get({apiVersion, kind, name, namespace})
  const what = describeRef({apiVersion, kind, name, namespace})
  if (object === undefined) return {problem: `${what} does not exist`}
  const steps = parseJsonPath(jsonPath) ?? []
  const value = valueAtJsonPath(object, steps)
  if (value === undefined || value === null || value === '')
    return {problem: `${what} has nothing at ${jsonPath}`}
  const isEncoded = kind === 'Secret' && steps[0] === 'data' && typeof value === 'string'
  return {value: isEncoded ? Buffer.from(value, 'base64').toString('utf8') : textOf(value), problem: ''}
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value))
