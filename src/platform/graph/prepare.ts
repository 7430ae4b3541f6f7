import type {ConfigProblem} from '../../base/errors.ts'
import type {Report} from '../../base/run-events.ts'
import type {KubeClient, KubeObject} from '../../kubernetes/types.ts'
import {invalidDocument} from '../../spec/document.ts'
import {toProblem, type Finding} from '../../spec/problems.ts'
import {PlatformError} from '../errors.ts'
import {contentOf, type StackRevision} from './history.ts'
import type {Content} from './content.ts'
import {discoveryOf, type Discovery} from './discovery.ts'
import {allNeedsOf, cycleIn, missingNeeds, type Needs} from './graph.ts'
import {isSensitiveOutput} from './outputs.ts'
import {describeReference, scanReferences, type FoundReference, type StoredReference} from './references.ts'
import {exposedReferences, SecretValues} from './secrets.ts'
import {readSource, type Source} from './sources.ts'
import {outputReferenceFindings, referencesOfService, stackFromDocument} from './stack-load.ts'
import type {Service, Stack, StackDocument} from './stack-schema.ts'
import {storedValuesOf, type StoredValues} from './stored-values.ts'

/** What the engine is given. It reads neither the environment nor the arguments of the process that it runs in. */
export interface StackTools {
  readonly kube: KubeClient
  /** Where paths of the stack begin. */
  readonly folder: string
  /** Paths of programs of the bundle, found when a service needs one. */
  readonly helm: () => Promise<string>
  readonly kubectl: () => Promise<string>
  /** What helm gets of the environment, such as HTTPS_PROXY. */
  readonly environment: Readonly<Record<string, string>>
  /** For files that only this user reads. */
  readonly temporaryDir: string
  /** Throws where a name has no address. */
  readonly resolveName: (name: string) => Promise<unknown>
  readonly now: () => number
  /** Who holds locks: process and machine. */
  readonly holder: string
  readonly signal: AbortSignal
  /** Values that must not appear in logs, events and errors from now on. */
  readonly hideSecret: (value: string) => void
  /** Takes them out of a text. */
  readonly redact: (text: string) => string
  readonly report: Report
  /** So long something may look stuck before a gate fails early. */
  readonly graceMs: number
  /** Services that are worked on at the same time. */
  readonly concurrency: number
}

/** A service with what it is made from: files, or what a revision kept of it. */
export interface Part {
  readonly service: Service
  readonly source: Source | {readonly kind: 'kept'; readonly content: Content}
  /** All of its references, each with its path in stack.yaml. */
  readonly references: readonly FoundReference[]
}

/** A stack of which everything was read that it takes to plan or to apply it. */
export interface Prepared {
  readonly stack: Stack
  readonly parts: ReadonlyMap<string, Part>
  readonly needs: Needs
  readonly discovery: Discovery
  readonly secrets: SecretValues
  /** The revision that it brings back, where it does. */
  readonly rollbackTo?: number
}

/** Reads what a stack is made from, and checks it. Throws PlatformError SOURCE_INVALID, ConfigError CONFIG_INVALID. */
export async function prepareStack(stack: Stack, tools: StackTools): Promise<Prepared> {
  const parts = await Promise.all(
    [...stack.services.values()].map(async (service) => {
      const source = await readSource(service, tools)
      return partOf(service, source, source.kind === 'objects' ? source.objects : [])
    }),
  )
  return prepared(stack, parts, tools)
}

/** A revision that was applied, from what the cluster keeps of it. */
export async function prepareRevision(
  revision: StackRevision,
  tools: Pick<StackTools, 'kube' | 'signal' | 'hideSecret'>,
): Promise<Prepared> {
  const stack = stackFromDocument(revision.document, revision.environment)
  const parts = await Promise.all(
    [...stack.services.values()].map(async (service) => {
      const digest = revision.services[service.name]?.content
      if (digest === undefined) {
        throw new PlatformError(
          'STACK_REVISION_UNKNOWN',
          `revision ${revision.revision} of stack ${stack.name} was never applied as a whole: service ${service.name} was not begun`,
          {suggestions: [`clouder stack status ${stack.name}`]},
        )
      }
      const content = await contentOf(tools.kube, stack.name, service.name, digest)
      return keptPart(service, content)
    }),
  )
  return prepared(stack, parts, tools)
}

/** A service from what was kept of it. */
export const keptPart = (service: Service, content: Content): Part =>
  partOf(service, {kind: 'kept', content}, content.isTemplate ? content.objects : [])

function partOf(service: Service, source: Part['source'], templates: readonly KubeObject[]): Part {
  // Values of a chart that was rendered before are part of what was kept.
  const own = referencesOfService(source.kind === 'kept' ? {...service, values: {}} : service)
  const inObjects = templates.flatMap((object) => scanReferences(object, placeOf(object)).references)
  const references = [...own, ...inObjects].map((found) => ({
    ...found,
    path: ['services', service.name, ...found.path],
  }))
  const used = references.flatMap(({reference}) => (reference.kind === 'output' ? [reference.service] : []))
  return {service: {...service, needs: [...new Set([...service.needs, ...used])]}, source, references}
}

const placeOf = ({kind, metadata}: KubeObject): readonly string[] => ['source', `${kind}/${metadata.name}`]

function prepared(
  stack: Stack,
  parts: readonly Part[],
  {kube, signal, hideSecret}: Pick<StackTools, 'kube' | 'signal' | 'hideSecret'>,
): Prepared {
  const needs: Needs = new Map(parts.map(({service}) => [service.name, service.needs]))
  const findings = [...parts.flatMap((part) => findingsOfPart(part, stack)), ...cycleFindings(needs)]
  if (findings.length > 0) {
    throw invalidDocument({source: `stack ${stack.name}`, page: 'docs/stacks.md'}, findings.map(toProblem))
  }
  const services = new Map(parts.map(({service}) => [service.name, service]))
  return {
    // What is kept has the needs too that only manifests show.
    stack: {...stack, services, document: withNeeds(stack.document, services)},
    needs,
    parts: new Map(parts.map((part) => [part.service.name, part])),
    discovery: discoveryOf(kube, signal),
    secrets: new SecretValues(hideSecret),
  }
}

const withNeeds = (document: StackDocument, services: Stack['services']): StackDocument => ({
  ...document,
  services: Object.fromEntries(
    Object.entries(document.services).map(([name, spec]) => [
      name,
      {...spec, needs: [...(services.get(name)?.needs ?? spec.needs)]},
    ]),
  ),
})

function findingsOfPart({service, source, references}: Part, stack: Stack): readonly Finding[] {
  if (source.kind === 'chart' || (source.kind === 'kept' && !source.content.isTemplate)) return []
  const objects = source.kind === 'kept' ? source.content.objects : source.objects
  const at = ['services', service.name]
  return [
    ...objects.flatMap((object) => {
      const place = [...at, ...placeOf(object)]
      const {findings} = scanReferences(object, place)
      return [...findings, ...exposedReferences(object, place, (output) => isSensitiveOutput(stack, output))]
    }),
    // Those of values and outputs were checked with the stack.
    ...outputReferenceFindings(
      references.filter(({path}) => path[2] === 'source'),
      stack.document,
    ),
  ]
}

function cycleFindings(needs: Needs): readonly Finding[] {
  if (missingNeeds(needs).length > 0) return []
  const cycle = cycleIn(needs)
  if (cycle === undefined) return []
  const problem = `is part of a cycle: ${cycle.join(' needs ')}`
  return [{path: ['services', cycle[0] ?? '', 'needs'], value: undefined, problem}]
}

/**
 * Refuses a stack whose Secrets and ConfigMaps are not there, before anything is changed. One that a service makes is
 * there for those that need the service. Throws PlatformError REFERENCE_MISSING with every path.
 */
export async function checkReferences({parts, needs, stack}: Prepared, values: StoredValues): Promise<void> {
  const problems: ConfigProblem[] = []
  await Promise.all(
    [...parts.values()].map(async ({service, references}) => {
      for (const {reference, path} of references) {
        if (reference.kind === 'output') continue
        if ((await values.get(reference, service.namespace)) !== undefined) continue
        const before = [...allNeedsOf(service.name, needs)]
        if (before.some((name) => makes(parts.get(name), reference, service.namespace))) continue
        const problem = `${describeReference(reference, service.namespace)} does not exist`
        problems.push({path: toProblem({path, value: undefined, problem}).path, value: undefined, problem})
      }
    }),
  )
  if (problems.length === 0) return
  const sorted = problems.toSorted((a, b) => (a.path < b.path ? -1 : 1))
  const first = sorted[0]?.problem ?? ''
  throw new PlatformError(
    'REFERENCE_MISSING',
    `stack ${stack.name} refers to what is not there: ${sorted.length === 1 ? first : `${sorted.length} references`}; nothing was changed`,
    {
      problems: sorted,
      suggestions: ['create them first: kubectl create secret generic NAME --from-file=KEY=FILE'],
    },
  )
}

/** Whether the objects of a service have the key of a Secret or ConfigMap. */
function makes(part: Part | undefined, reference: StoredReference, usual: string): boolean {
  if (part === undefined || part.source.kind === 'chart') return false
  const objects = part.source.kind === 'kept' ? part.source.content.objects : part.source.objects
  const kind = reference.kind === 'secret' ? 'Secret' : 'ConfigMap'
  return objects.some((object) => {
    const {metadata} = object
    const isIt =
      object.kind === kind &&
      metadata.name === reference.name &&
      (metadata.namespace ?? part.service.namespace) === (reference.namespace ?? usual)
    return (
      isIt &&
      ['data', 'stringData', 'binaryData'].some((field) => {
        const held = object[field]
        return typeof held === 'object' && held !== null && Object.hasOwn(held, reference.key)
      })
    )
  })
}

export const openValues = ({kube}: Pick<StackTools, 'kube'>): StoredValues => storedValuesOf(kube)
