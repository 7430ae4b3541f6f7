import type {ConfigProblem} from '../../base/errors.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import {findingsOf, toProblem} from '../../spec/problems.ts'
import type {Addon} from './addon.ts'

/** What is written for an addon, parsed by its schema; every problem with its path in cluster.yaml. */
export function parsedParameters(
  addon: Addon,
  given: unknown,
  spec: ClusterSpec,
): {readonly parameters: unknown; readonly problems: readonly ConfigProblem[]} {
  const document = structuredClone(given ?? {})
  const parsed = addon.schema(spec).safeParse(document)
  if (parsed.success) return {parameters: parsed.data, problems: []}
  const place = ['spec', 'addons', 'parameters', addon.id]
  const problems = findingsOf(parsed.error, document, () => []).map((finding) =>
    toProblem({...finding, path: [...place, ...finding.path]}),
  )
  return {parameters: undefined, problems}
}
