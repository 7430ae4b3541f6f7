import type {ConfigError} from '../../base/errors.ts'
import {invalidDocument, parseYamlDocument, type DocumentSource} from '../../spec/document.ts'
import {keysOfSchema} from '../../spec/json-schema.ts'
import {findingsOf, toProblem, type Finding, type Path} from '../../spec/problems.ts'
import {cycleIn, missingNeeds, type Needs} from './graph.ts'
import {parseJsonPath} from './json-path.ts'
import {overlaid} from './overlay.ts'
import {scanReferences, type FoundReference} from './references.ts'
import {
  stackDocumentSchema,
  stackJsonSchema,
  stackSchema,
  type Service,
  type ServiceSpec,
  type Stack,
  type StackDocument,
} from './stack-schema.ts'

export interface LoadStackOptions {
  readonly text: string
  /** Where the text came from, for messages. */
  readonly file: string
  readonly environment?: string | undefined
}

const PAGE = 'docs/stack-reference.md'

const writtenSchema = stackDocumentSchema.pick({environments: true}).loose()

/** A stack with its environment merged in. Throws ConfigError CONFIG_INVALID with every problem found. */
export function loadStack({text, file, environment}: LoadStackOptions): Stack {
  const from = {source: file, page: PAGE}
  const raw = parseYamlDocument(text, from)
  // Only the environments: the rest is complete when one of them is merged in, and checked then.
  const shape = writtenSchema.safeParse(raw)
  if (!shape.success) throw invalidDocument(from, findingsOf(shape.error, raw, keysAt).map(toProblem))
  const {environments, ...written} = shape.data
  const overlay = environment === undefined ? {} : environments[environment]
  if (overlay === undefined) throw unknownEnvironment(String(environment), Object.keys(environments), from)
  const refused = ['apiVersion', 'kind', 'metadata', 'environments'].filter((key) =>
    Object.hasOwn(overlay, key),
  )
  if (refused.length > 0) {
    const problems = refused.map((key) => ({
      path: `environments.${String(environment)}.${key}`,
      value: undefined,
      problem: 'cannot differ in an environment',
    }))
    throw invalidDocument(from, problems)
  }
  const merged = overlaid(written, overlay)
  const parsed = stackSchema.safeParse(merged)
  const shown = environment === undefined ? file : `${file}, environment ${environment}`
  if (!parsed.success) {
    throw invalidDocument({...from, source: shown}, findingsOf(parsed.error, merged, keysAt).map(toProblem))
  }
  return stackOf(parsed.data, {...from, source: shown}, environment)
}

function unknownEnvironment(name: string, known: readonly string[], from: DocumentSource): ConfigError {
  const problem = `has no environment ${name}${known.length === 0 ? '' : `; known are ${known.join(', ')}`}`
  return invalidDocument(from, [{path: 'environments', value: undefined, problem}])
}

/** The stack of a document that was checked before, as revisions keep it. Throws ConfigError CONFIG_INVALID. */
export function stackFromDocument(document: unknown, environment?: string): Stack {
  const from = {source: 'the recorded stack', page: PAGE}
  const parsed = stackSchema.safeParse(document)
  if (!parsed.success) throw invalidDocument(from, findingsOf(parsed.error, document, keysAt).map(toProblem))
  return stackOf(parsed.data, from, environment)
}

function stackOf(document: StackDocument, from: DocumentSource, environment?: string): Stack {
  const services = new Map(
    Object.entries(document.services).map(([name, spec]) => [name, serviceOf(name, spec, document)]),
  )
  const needs: Needs = new Map([...services].map(([name, service]) => [name, service.needs]))
  const findings = [
    ...Object.entries(document.services).flatMap(([name, spec]) => serviceFindings(name, spec, document)),
    ...missingNeeds(needs).flatMap(({name, need}) => {
      const at = document.services[name]?.needs.indexOf(need) ?? -1
      // A reference to an output of a service that does not exist is told by its own path.
      if (at === -1) return []
      return [{path: ['services', name, 'needs', at], value: need, problem: 'is not a service of the stack'}]
    }),
  ]
  const cycle = cycleIn(needs)
  if (cycle !== undefined) {
    const [first = ''] = cycle
    const problem = `is part of a cycle: ${cycle.join(' needs ')}`
    findings.push({path: ['services', first, 'needs'], value: undefined, problem})
  }
  if (findings.length > 0) throw invalidDocument(from, findings.map(toProblem))
  return {name: document.metadata.name, environment, services, document}
}

function serviceOf(name: string, spec: ServiceSpec, document: StackDocument): Service {
  const used = referencesOfService(spec).flatMap(({reference}) =>
    reference.kind === 'output' ? [reference.service] : [],
  )
  return {
    ...spec,
    name,
    namespace: spec.namespace ?? document.namespace ?? document.metadata.name,
    needs: [...new Set([...spec.needs, ...used])],
  }
}

/** References in the values and outputs of a service; those in its manifests are in its source. */
export function referencesOfService(
  spec: Pick<ServiceSpec, 'values' | 'outputs'>,
): readonly FoundReference[] {
  return [
    ...scanReferences(spec.values, ['values']).references,
    ...Object.entries(spec.outputs).flatMap(
      ([name, {value}]) => scanReferences(value, ['outputs', name, 'value']).references,
    ),
  ]
}

function serviceFindings(name: string, spec: ServiceSpec, document: StackDocument): readonly Finding[] {
  const at = (path: Path): Path => ['services', name, ...path]
  const values = scanReferences(spec.values, at(['values']))
  const outputs = Object.entries(spec.outputs).map(([output, {value}]) =>
    scanReferences(value, at(['outputs', output, 'value'])),
  )
  return [
    ...sourceFindings(spec, at),
    ...gateFindings(spec, at),
    ...Object.entries(spec.outputs).flatMap(([output, given]) =>
      outputFindings(given, at(['outputs', output])),
    ),
    ...values.findings,
    ...outputs.flatMap(({findings}) => findings),
    ...[values, ...outputs].flatMap(({references}) => outputReferenceFindings(references, document)),
  ]
}

/** References to outputs of services that are not there, or that have no such output. */
export function outputReferenceFindings(
  references: readonly FoundReference[],
  document: Pick<StackDocument, 'services'>,
): readonly Finding[] {
  return references.flatMap(({reference, path}): readonly Finding[] => {
    if (reference.kind !== 'output') return []
    const service = document.services[reference.service]
    const place = [...path, '$output']
    if (service === undefined) {
      return [
        {path: [...place, 'service'], value: reference.service, problem: 'is not a service of the stack'},
      ]
    }
    if (Object.hasOwn(service.outputs, reference.name)) return []
    const known = Object.keys(service.outputs)
    const problem = `is not an output of service ${reference.service}, which has ${known.length === 0 ? 'none' : known.join(', ')}`
    return [{path: [...place, 'name'], value: reference.name, problem}]
  })
}

function sourceFindings({source, values}: ServiceSpec, at: (path: Path) => Path): readonly Finding[] {
  const given = Object.entries(source).filter(([, value]) => value !== undefined)
  const wrong = (path: Path, problem: string): Finding => ({path: at(path), value: undefined, problem})
  if (given.length !== 1) {
    return [wrong(['source'], 'must have exactly one of chart, manifests and kustomization')]
  }
  const {chart} = source
  if (chart === undefined) {
    return Object.keys(values).length === 0
      ? []
      : [wrong(['values'], 'is for charts; manifests hold references themselves')]
  }
  const places = (['path', 'repository', 'oci'] as const).filter((key) => chart[key] !== undefined)
  if (places.length !== 1)
    return [wrong(['source', 'chart'], 'must have exactly one of path, repository and oci')]
  const [place = 'path'] = places
  const needed = {path: [], repository: ['name', 'version', 'digest'], oci: ['version', 'digest']} as const
  const all = ['name', 'version', 'digest'] as const
  return all.flatMap((key) => {
    const isNeeded = (needed[place] as readonly string[]).includes(key)
    if (isNeeded && chart[key] === undefined) {
      return [wrong(['source', 'chart', key], `is required with ${place}`)]
    }
    return !isNeeded && chart[key] !== undefined
      ? [wrong(['source', 'chart', key], `has no meaning with ${place}`)]
      : []
  })
}

function gateFindings({gate}: ServiceSpec, at: (path: Path) => Path): readonly Finding[] {
  return (['http', 'metric'] as const).flatMap((key): readonly Finding[] => {
    const given = gate[key]
    if (given === undefined) return []
    const place = at(['gate', key])
    if ((given.url === undefined) === (given.service === undefined)) {
      return [{path: place, value: undefined, problem: 'must have exactly one of url and service'}]
    }
    if ((given.service === undefined) !== (given.port === undefined)) {
      return [{path: [...place, 'port'], value: given.port, problem: 'is set together with service'}]
    }
    return []
  })
}

function outputFindings({from, value}: ServiceSpec['outputs'][string], path: Path): readonly Finding[] {
  if ((from === undefined) === (value === undefined)) {
    return [{path, value: undefined, problem: 'must have exactly one of from and value'}]
  }
  if (from === undefined) return []
  const problem =
    parseJsonPath(from.jsonPath) === undefined ? 'is not a path such as {.status.podIP}' : undefined
  return problem === undefined ? [] : [{path: [...path, 'from', 'jsonPath'], value: from.jsonPath, problem}]
}

let schema: unknown

const keysAt = (path: Path): readonly string[] => keysOfSchema((schema ??= stackJsonSchema()), path)
