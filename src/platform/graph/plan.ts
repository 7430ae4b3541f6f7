import type {ConfigProblem} from '../../base/errors.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import {PlatformError} from '../errors.ts'
import {installedReleases} from '../release/history.ts'
import {planRelease} from '../release/plan.ts'
import type {ObjectChange, Release, ReleaseName, ReleasePlan, Revision} from '../release/types.ts'
import {stagesOf} from './graph.ts'
import {stackRevisions} from './history.ts'
import {describeJob} from './jobs.ts'
import {readOutputs} from './outputs.ts'
import {preflight} from './preflight.ts'
import {checkReferences, openValues, type Part, type Prepared, type StackTools} from './prepare.ts'
import {canRender, renderPart, valuesOf, type KnownValues, type Rendered} from './render.ts'

export interface ServicePlan {
  readonly service: string
  readonly namespace: string
  readonly needs: readonly string[]
  /** Services of the same stage are worked on at the same time. */
  readonly stage: number
  /** `unknown`: a chart with values that services before it give. `remove`: it is no longer in the stack. */
  readonly action: 'none' | 'install' | 'upgrade' | 'retry' | 'remove' | 'unknown'
  /** Object by object; of Secrets the names of keys only. */
  readonly changes: readonly ObjectChange[]
  /** What has no value yet. */
  readonly waitsFor: readonly string[]
  /** Jobs that are run, and what of a chart is treated in another way than by helm. */
  readonly notes: readonly string[]
}

export interface StackPlan {
  readonly stack: string
  readonly environment?: string | undefined
  /** The newest revision in the cluster. */
  readonly revision?: number
  readonly namespaces: readonly ObjectChange[]
  readonly services: readonly ServicePlan[]
  /** What the cluster lacks; nothing is applied before it has that. */
  readonly preflight: readonly ConfigProblem[]
  readonly hasChanges: boolean
}

/**
 * Object by object what an apply would change. Changes nothing. `drift`: a service that failed and was rolled back is as it
 * should be. Throws what `prepareStack` and `planRelease` throw.
 */
export async function planStack(
  prepared: Prepared,
  tools: StackTools,
  goal: 'apply' | 'drift' = 'apply',
): Promise<StackPlan> {
  const {stack, parts, needs} = prepared
  const {kube} = tools
  const values = openValues(tools)
  const [revisions, installed, present] = await Promise.all([
    stackRevisions(kube, stack.name),
    installedReleases(kube, 'stack'),
    kube.list({apiVersion: 'v1', kind: 'Namespace'}),
    checkReferences(prepared, values),
  ])
  const releases = releasesOf(stack.name, installed)
  const absent = await preflight([...stack.services.values()], new Set(releases.keys()), tools)
  const outputs = await liveOutputs(prepared, new Set(releases.keys()), tools)
  const stageOf = new Map(
    stagesOf(needs).flatMap((names, stage) => names.map((name) => [name, stage] as const)),
  )
  const [namespaces, ...services] = await Promise.all([
    planNamespaces(prepared, present, tools),
    ...[...parts.values()].map(async (part): Promise<ServicePlan> => {
      const known = await valuesOf(part, outputs, values, prepared)
      const {service} = part
      const common = {
        service: service.name,
        namespace: service.namespace,
        needs: service.needs,
        stage: stageOf.get(service.name) ?? 0,
        waitsFor: known.unknown,
      }
      if (!canRender(part, known)) return {...common, action: 'unknown', changes: [], notes: []}
      const {rendered, plan} = await planPart(part, known, prepared, tools)
      const state = goal === 'drift' ? undefined : revisions[0]?.services[service.name]?.state
      const action = actionOf(plan, state)
      return {
        ...common,
        action,
        changes: plan.changes,
        notes: action === 'none' ? [] : notesOf(part, rendered),
      }
    }),
  ])
  const removed = [...releases.keys()]
    .filter((name) => !parts.has(name))
    .map((name) => removalOf(name, releases))
  const all = [...services, ...removed].toSorted(
    (a, b) => a.stage - b.stage || (a.service < b.service ? -1 : 1),
  )
  return {
    stack: stack.name,
    environment: stack.environment,
    ...(revisions[0] === undefined ? {} : {revision: revisions[0].revision}),
    namespaces: namespaces.changes,
    services: all,
    preflight: absent,
    hasChanges: namespaces.changes.length > 0 || all.some(({action}) => action !== 'none'),
  }
}

/** Services whose last apply has ended badly are applied again, with or without changes. */
export function actionOf(
  {installed, changes}: ReleasePlan,
  state: string | undefined,
): 'none' | 'install' | 'upgrade' | 'retry' {
  if (installed === undefined) return 'install'
  if (changes.length > 0) return 'upgrade'
  return installed.state === 'deployed' && (state === undefined || state === 'deployed') ? 'none' : 'retry'
}

/** The releases of a stack by service. */
export function releasesOf(stack: string, installed: readonly Revision[]): ReadonlyMap<string, Revision> {
  const prefix = `${stack}.`
  return new Map(
    installed
      .filter(({name}) => name.startsWith(prefix))
      .map((release) => [release.name.slice(prefix.length), release]),
  )
}

export const releaseName = (stack: string, service: string): string => `${stack}.${service}`

/** The lock of a whole stack, beside those of its releases: no service has a dot in its name. */
export const lockName = (stack: string): ReleaseName => ({owner: 'stack', name: `${stack}.stack.lock`})

/**
 * The releases of services change under the lock of their stack only: while this run holds that one, whoever holds the lock
 * of a service is dead.
 */
export const underStackLock = (): boolean => true

/** The release of a service. */
export function releaseOf({service}: Part, {content, objects}: Rendered, {stack}: Prepared): Release {
  return {
    owner: 'stack',
    name: releaseName(stack.name, service.name),
    version: content.version,
    parameters: {service: service.name},
    objects,
  }
}

/** A service rendered, and compared with the cluster. */
export async function planPart(
  part: Part,
  known: KnownValues,
  prepared: Prepared,
  tools: StackTools,
): Promise<{readonly rendered: Rendered; readonly plan: ReleasePlan}> {
  const rendered = await renderPart(part, known, prepared, tools)
  return {rendered, plan: await planRelease(tools.kube, releaseOf(part, rendered, prepared))}
}

/** Namespaces of services that are not there, or that the stack made: a release of its own that all services need. */
export async function planNamespaces(
  {stack, parts}: Prepared,
  present: readonly KubeObject[],
  {kube}: Pick<StackTools, 'kube'>,
): Promise<ReleasePlan> {
  const made = new Set(
    [...parts.values()].flatMap(({source}) => {
      const objects =
        source.kind === 'chart' ? [] : source.kind === 'kept' ? source.content.objects : source.objects
      return objects.filter(({kind}) => kind === 'Namespace').map(({metadata}) => metadata.name)
    }),
  )
  const own = present
    .filter(({metadata}) => metadata.labels?.[STACK_LABEL] === stack.name)
    .map(({metadata}) => metadata.name)
  const others = new Set(present.map(({metadata}) => metadata.name).filter((name) => !own.includes(name)))
  const wanted = [...stack.services.values()].map(({namespace}) => namespace)
  const names = [...new Set([...own, ...wanted])]
    .filter((name) => !others.has(name) && !made.has(name))
    .toSorted()
  return planRelease(kube, {
    owner: 'stack',
    name: stack.name,
    version: '1',
    parameters: {},
    objects: names.map((name) => ({apiVersion: 'v1', kind: 'Namespace', metadata: {name}})),
  })
}

/** Label of the members of a release of a stack, with its name. */
const STACK_LABEL = 'clouder.dev/stack'

/** Outputs of what is installed, as they are now. */
async function liveOutputs(
  {parts, needs, ...prepared}: Prepared,
  installed: ReadonlySet<string>,
  tools: StackTools,
): Promise<ReadonlyMap<string, ReadonlyMap<string, string>>> {
  const outputs = new Map<string, ReadonlyMap<string, string>>()
  const values = openValues(tools)
  for (const names of stagesOf(needs)) {
    await Promise.all(
      names.map(async (name) => {
        const part = parts.get(name)
        if (part === undefined || !installed.has(name) || Object.keys(part.service.outputs).length === 0)
          return
        const known = await valuesOf(part, outputs, values, {parts, needs, ...prepared})
        if (known.unknown.length > 0) return
        outputs.set(name, (await readOutputs(tools.kube, part.service, known.valueOf)).values)
      }),
    )
  }
  return outputs
}

function notesOf({service}: Part, {content, notes}: Rendered): readonly string[] {
  const {before, after} = service.hooks
  return [
    ...(before === undefined ? [] : ['runs the Job of hooks.before']),
    ...content.before.map((job) => `runs ${describeJob(job)} before`),
    ...(after === undefined ? [] : ['runs the Job of hooks.after']),
    ...content.after.map((job) => `runs ${describeJob(job)} after`),
    ...notes,
  ]
}

function removalOf(name: string, releases: ReadonlyMap<string, Revision>): ServicePlan {
  const objects = releases.get(name)?.objects ?? []
  return {
    service: name,
    namespace: objects.find(({metadata}) => metadata.namespace !== undefined)?.metadata.namespace ?? '',
    needs: [],
    stage: Number.MAX_SAFE_INTEGER,
    action: 'remove',
    changes: objects.map(({apiVersion, kind, metadata: {name: object, namespace}}) => ({
      ref: {apiVersion, kind, name: object, ...(namespace === undefined ? {} : {namespace})},
      action: 'delete',
      fields: [],
    })),
    waitsFor: [],
    notes: [],
  }
}

/** Throws PlatformError STACK_PREFLIGHT_FAILED where the cluster lacks something. */
export function requirePreflight(stack: string, problems: readonly ConfigProblem[]): void {
  if (problems.length === 0) return
  throw new PlatformError(
    'STACK_PREFLIGHT_FAILED',
    `the cluster lacks what stack ${stack} needs: ${problems.length === 1 ? (problems[0]?.problem ?? '') : `${problems.length} problems`}; nothing was changed`,
    {problems, suggestions: ['clouder stack plan FILE']},
  )
}
