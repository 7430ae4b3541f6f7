import {describeRef, refOf} from '../../kubernetes/refs.ts'
import type {KubeReader} from '../../kubernetes/types.ts'
import {notReady} from '../release/readiness.ts'
import type {NotReady} from '../release/types.ts'
import {
  contentOf,
  stackNames,
  stackRevision,
  stackRevisions,
  type ServiceState,
  type StackRevision,
} from './history.ts'
import {stagesOf} from './graph.ts'
import {liveRevision} from './rollback.ts'
import {stackFromDocument} from './stack-load.ts'

export interface ServiceStatus {
  readonly service: string
  readonly namespace: string
  readonly needs: readonly string[]
  readonly state: ServiceState['state']
  /** Of a service that failed or was skipped: why. */
  readonly message?: string | undefined
  readonly objects: number
  readonly notReady: readonly NotReady[]
}

export interface StackStatus {
  readonly stack: string
  readonly environment?: string | undefined
  readonly revision: number
  readonly state: StackRevision['state']
  readonly appliedAt: string
  readonly isReady: boolean
  readonly services: readonly ServiceStatus[]
  readonly revisions: readonly {
    readonly revision: number
    readonly state: StackRevision['state']
    readonly appliedAt: string
    readonly environment?: string | undefined
    readonly rollbackTo?: number | undefined
  }[]
}

/** What a stack is made of, and what of it is not ready. Throws PlatformError STACK_UNKNOWN. */
export async function statusOfStack(kube: KubeReader, name: string): Promise<StackStatus> {
  const newest = await stackRevision(kube, name)
  const revisions = await stackRevisions(kube, name)
  const live = liveRevision(revisions)
  const {services} = stackFromDocument(newest.document, newest.environment)
  const ordered = stagesOf(new Map([...services].map(([service, {needs}]) => [service, needs]))).flat()
  const contents = new Map(
    await Promise.all(
      Object.entries(live.services).map(async ([service, {content = ''}]) => {
        return [service, (await contentOf(kube, name, service, content)).objects] as const
      }),
    ),
  )
  const problems = await notReady(kube, [...contents.values()].flat())
  const rows = ordered.flatMap((service): readonly ServiceStatus[] => {
    const spec = services.get(service)
    if (spec === undefined) return []
    const objects = contents.get(service) ?? []
    const own = new Set(objects.map((object) => describeRef(refOf(object))))
    const {state = 'waiting', message} = newest.services[service] ?? {}
    return [
      {
        service,
        namespace: spec.namespace,
        needs: spec.needs,
        state,
        ...(message === undefined ? {} : {message}),
        objects: objects.length,
        notReady: problems.filter(({ref}) => own.has(describeRef(ref))),
      },
    ]
  })
  return {
    stack: name,
    environment: newest.environment,
    revision: newest.revision,
    state: newest.state,
    appliedAt: newest.appliedAt,
    isReady: rows.every((row) => row.state === 'deployed' && row.notReady.length === 0),
    services: rows,
    revisions: revisions.map(({revision, state, appliedAt, environment, rollbackTo}) => ({
      revision,
      state,
      appliedAt,
      environment,
      rollbackTo,
    })),
  }
}

export {stackNames}
