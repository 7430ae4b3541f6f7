import {z} from 'zod'
import {SMOKE_REFERENCE} from '../../src/bundle/catalogue.ts'
import {waitFor} from '../../src/base/waiting.ts'
import {kubectl, NAMESPACE} from './e2e-checkpoints.ts'
import type {E2eCluster} from './e2e-cluster.ts'
import type {Place} from './e2e-faults.ts'

const PORT = 8080
const READY_MS = 120_000
const ASK_EVERY_MS = 50
const {signal} = new AbortController()

/** Who owns the pod: it keeps its name, or is replaced by one with another name. */
export type MoverKind = 'Pod' | 'ReplicaSet' | 'StatefulSet'

/** A program that is moved, reached by a Service of its name, whatever its pod is called. */
export interface Mover {
  readonly name: string
  readonly kind: MoverKind
  /** MiB of each of its containers, which listen on ports from 8080 on; no two movers have the same. */
  readonly mebibytes: readonly number[]
}

/** Of one container. */
export interface Answer {
  readonly token: string
  readonly count: number
}

const meta = (name: string) => ({name, namespace: NAMESPACE, labels: {app: name}})

/** Makes a mover and its Service; `node`: where, if its kind can be told. */
export async function startMover(cluster: E2eCluster, mover: Mover, node: string): Promise<void> {
  const {name, kind, mebibytes} = mover
  const containers = mebibytes.map((size, index) => ({
    name: `smoke-${index}`,
    image: SMOKE_REFERENCE,
    imagePullPolicy: 'IfNotPresent',
    args: ['serve', `:${PORT + index}`, String(size)],
    readinessProbe: {httpGet: {path: '/', port: PORT + index}, periodSeconds: 1},
  }))
  const spec = {terminationGracePeriodSeconds: 1, containers}
  const selector = {matchLabels: {app: name}}
  const template = {metadata: {labels: {app: name}}, spec}
  const owner =
    kind === 'Pod'
      ? {apiVersion: 'v1', kind, metadata: meta(name), spec: {...spec, nodeName: node}}
      : {
          apiVersion: 'apps/v1',
          kind,
          metadata: meta(name),
          spec: {replicas: 1, selector, template, ...(kind === 'StatefulSet' ? {serviceName: name} : {})},
        }
  const ports = mebibytes.map((_, index) => ({name: `p${index}`, port: PORT + index}))
  const service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: meta(name),
    spec: {selector: {app: name}, ports},
  }
  for (const object of [service, owner]) await kubectl(cluster, 'apply -f -', JSON.stringify(object))
}

const podsSchema = z.looseObject({
  items: z.array(
    z.looseObject({
      metadata: z.looseObject({name: z.string(), deletionTimestamp: z.string().optional()}),
      spec: z.looseObject({nodeName: z.string().optional()}),
      status: z.looseObject({
        conditions: z.array(z.looseObject({type: z.string(), status: z.string()})).default([]),
      }),
    }),
  ),
})

/** The one pod of a mover, as soon as there is exactly one and it is ready. */
export async function podOf(cluster: E2eCluster, {name}: Mover): Promise<{name: string; node: string}> {
  return waitFor({
    what: `one pod of ${name}`,
    check: async () => {
      const text = await kubectl(cluster, `get pods -n ${NAMESPACE} -l app=${name} -o json`)
      const {items} = podsSchema.parse(JSON.parse(text))
      const seen = items
        .map(
          ({metadata, spec}) =>
            `${metadata.name} on ${spec.nodeName ?? '?'} ${metadata.deletionTimestamp ?? ''}`,
        )
        .join(', ')
      const [pod] = items
      const isReady = pod?.status.conditions.some(({type, status}) => type === 'Ready' && status === 'True')
      return items.length === 1 &&
        pod !== undefined &&
        pod.metadata.deletionTimestamp === undefined &&
        isReady === true
        ? {value: {name: pod.metadata.name, node: pod.spec.nodeName ?? ''}, seen}
        : {seen}
    },
    timeoutMs: READY_MS,
    intervalMs: 500,
    signal,
  })
}

/** What one of its containers says; undefined: nothing, as one that is frozen does. */
async function ask({kube}: Pick<Place, 'kube'>, {name}: Mover, index: number): Promise<Answer | undefined> {
  const path = `/api/v1/namespaces/${NAMESPACE}/services/${name}:${PORT + index}/proxy/`
  const said = await kube.fetch(path, AbortSignal.timeout(5000)).catch(() => undefined)
  const [, token, count] = /^token=([0-9a-f]+) count=(\d+)/.exec(said?.body ?? '') ?? []
  return said?.status !== 200 || token === undefined ? undefined : {token, count: Number(count)}
}

/** The answers of all its containers, once each has answered. */
export async function answersOf(place: Pick<Place, 'kube'>, mover: Mover): Promise<readonly Answer[]> {
  const answers: Answer[] = []
  for (const index of mover.mebibytes.keys())
    answers.push(
      await waitFor({
        what: `container ${index} of ${mover.name} to answer`,
        check: async () => {
          const said = await ask(place, mover, index)
          return said === undefined ? {seen: 'no answer'} : {value: said, seen: 'answers'}
        },
        timeoutMs: READY_MS,
        intervalMs: 200,
        signal,
      }),
    )
  return answers
}

/** Asks a mover on and on; tells every answer that should not have been, and how many came. */
export async function askOn(
  place: Pick<Place, 'kube'>,
  mover: Mover,
  tokens: readonly string[],
  over: AbortSignal,
): Promise<{answers: number; problems: readonly string[]}> {
  const problems: string[] = []
  const last = tokens.map(() => 0)
  let answers = 0
  while (!over.aborted) {
    for (const [index, token] of tokens.entries()) {
      // One that is frozen does not answer; what it says when it does is what counts.
      const said = await ask(place, mover, index)
      if (said === undefined) continue
      answers += 1
      const before = last[index] ?? 0
      if (said.token !== token) problems.push(`${mover.name}/${index} is ${said.token}, was ${token}`)
      else if (said.count < before)
        problems.push(`${mover.name}/${index} counted ${before}, then ${said.count}`)
      last[index] = Math.max(before, said.count)
    }
    await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS))
  }
  return {answers, problems}
}
