import {renderChart} from '../charts/chart.ts'
import {PlatformError} from '../errors.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import {resolve} from 'node:path'
import {
  digestOf,
  inNamespace,
  refuseExposed,
  resolvedObjects,
  withoutSecretValues,
  type Content,
} from './content.ts'
import {isSensitiveOutput} from './outputs.ts'
import type {Part, Prepared, StackTools} from './prepare.ts'
import {describeReference, resolveReferences, type Reference} from './references.ts'
import type {StoredValues} from './stored-values.ts'

/** A service as it is applied. */
export interface Rendered {
  /** What is kept of it. */
  readonly content: Content
  readonly objects: readonly KubeObject[]
  /** What of a chart is treated in another way than by helm. */
  readonly notes: readonly string[]
}

export interface KnownValues {
  readonly valueOf: (reference: Reference) => string
  /** References that have no value yet, in words. */
  readonly unknown: readonly string[]
}

/** In the place of a value that is known when a service before it is applied. */
const UNKNOWN = '(known after apply)'

/**
 * The values of all references of a service. What a service makes that comes before, and was not applied yet, is unknown.
 * Values of Secrets are hidden from now on.
 */
export async function valuesOf(
  {service, references}: Part,
  outputs: ReadonlyMap<string, ReadonlyMap<string, string>>,
  stored: StoredValues,
  {secrets, stack}: Prepared,
): Promise<KnownValues> {
  const values = new Map<string, string>()
  const unknown = new Set<string>()
  for (const {reference} of references) {
    const value =
      reference.kind === 'output'
        ? outputs.get(reference.service)?.get(reference.name)
        : await stored.get(reference, service.namespace)
    if (value === undefined) unknown.add(describeReference(reference, service.namespace))
    else {
      values.set(JSON.stringify(reference), value)
      const isSecret =
        reference.kind === 'secret' || (reference.kind === 'output' && isSensitiveOutput(stack, reference))
      if (isSecret) {
        secrets.add(value)
        const encoded = reference.kind === 'secret' && reference.encoding === 'base64'
        if (encoded) secrets.add(Buffer.from(value, 'base64').toString('utf8'))
      }
    }
  }
  return {valueOf: (reference) => values.get(JSON.stringify(reference)) ?? UNKNOWN, unknown: [...unknown]}
}

/** Refuses what has no value when a service is applied. Throws PlatformError REFERENCE_MISSING. */
export function requireKnown({service}: Part, {unknown}: KnownValues): void {
  if (unknown.length === 0) return
  throw new PlatformError(
    'REFERENCE_MISSING',
    `service ${service.name} refers to what is not there: ${unknown.join(', ')}`,
    {suggestions: ['check what the services before it made: clouder stack status']},
  )
}

/**
 * Whether a service can be planned although values are unknown: a chart may do anything with one, objects hold it as it
 * is.
 */
export const canRender = ({source}: Part, {unknown}: KnownValues): boolean =>
  source.kind !== 'chart' || unknown.length === 0

/** The objects of a service. Throws PlatformError CHART_INVALID, CHART_DIGEST_WRONG, SECRET_EXPOSED, REFERENCE_MISSING. */
export async function renderPart(
  part: Part,
  {valueOf}: KnownValues,
  prepared: Prepared,
  tools: StackTools,
): Promise<Rendered> {
  const {service, source} = part
  const {content, notes, objects} =
    source.kind === 'chart'
      ? await renderedChart(part, valueOf, prepared, tools)
      : await renderedObjects(part, valueOf, prepared, tools)
  refuseExposed(service.name, [...objects, ...content.before, ...content.after], prepared.secrets)
  return {content, notes, objects}
}

async function renderedObjects(
  {service, source}: Part,
  valueOf: (reference: Reference) => string,
  prepared: Prepared,
  {kube}: StackTools,
): Promise<Rendered> {
  if (source.kind === 'kept') {
    return {content: source.content, notes: [], objects: await resolvedObjects(source.content, valueOf, kube)}
  }
  if (source.kind === 'chart') throw new TypeError('a chart is rendered by helm')
  const {discovery} = prepared
  const templates = await inNamespace(source.objects, service.namespace, {
    discovery,
    others: knownObjects(prepared),
  })
  const kept = templates.map(withoutSecretValues)
  const content = {version: digestOf(kept), isTemplate: true, objects: kept, before: [], after: []}
  const objects = await resolvedObjects({isTemplate: true, objects: [...templates]}, valueOf, kube)
  return {content, notes: [], objects}
}

async function renderedChart(
  {service}: Part,
  valueOf: (reference: Reference) => string,
  prepared: Prepared,
  tools: StackTools,
): Promise<Rendered> {
  const {chart = {}} = service.source
  const {discovery} = prepared
  const [kubeVersion, apiVersions, helm] = await Promise.all([
    discovery.kubeVersion(),
    discovery.apiVersions(),
    tools.helm(),
  ])
  const rendered = await renderChart(
    {
      chart: chart.path === undefined ? chart : {path: resolve(tools.folder, chart.path)},
      release: service.name,
      namespace: service.namespace,
      values: resolveReferences(service.values, valueOf),
      kubeVersion,
      apiVersions,
    },
    {...tools, helm},
  )
  const place = (objects: readonly KubeObject[]) =>
    inNamespace(objects, service.namespace, {discovery, others: knownObjects(prepared)})
  const [objects, before, after] = await Promise.all(
    [rendered.objects, rendered.before, rendered.after].map(place),
  )
  const content = {
    version: rendered.version,
    isTemplate: false,
    objects: (objects ?? []).map(withoutSecretValues),
    before: [...(before ?? [])],
    after: [...(after ?? [])],
  }
  const complete = await resolvedObjects(
    {isTemplate: false, objects: [...(objects ?? [])]},
    valueOf,
    tools.kube,
  )
  return {content, notes: rendered.notes, objects: complete}
}

const knownObjects = ({parts}: Prepared): readonly KubeObject[] =>
  [...parts.values()].flatMap(({source}) => {
    if (source.kind === 'chart') return []
    return source.kind === 'kept' ? source.content.objects : source.objects
  })
