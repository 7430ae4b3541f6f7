import {z} from 'zod'
import {errorMessage} from '../../base/errors.ts'
import {jsonOf} from '../../base/json.ts'
import type {KubeClient, KubeObject, KubeReader, ObjectRef} from '../../kubernetes/types.ts'
import type {NotReady} from '../release/types.ts'
import {beginJob, jobOf, jobProblem} from './jobs.ts'
import type {Gate, Service} from './stack-schema.ts'

type Http = NonNullable<Gate['http']>
type Metric = NonNullable<Gate['metric']>

export interface GateTools {
  readonly kube: KubeClient
  readonly signal: AbortSignal
}

const REQUEST_MS = 10_000

interface Answer {
  /** Undefined: there was none. */
  readonly status?: number
  readonly body: string
}

/** A part of a gate: what of it has not passed, and how long it may take once the parts before it have passed. */
export interface GatePart {
  readonly timeoutMs: number
  readonly problems: () => Promise<readonly NotReady[]>
}

/** The parts of a service's gate besides the readiness of its objects, in order. */
export function gateOf(
  service: Service,
  where: {readonly stack: string; readonly occasion: string},
  {kube, signal}: GateTools,
): readonly GatePart[] {
  const {http, job, metric} = service.gate
  const part = (timeoutSeconds: number, problems: GatePart['problems']): GatePart => ({
    timeoutMs: timeoutSeconds * 1000,
    problems,
  })
  return [
    ...(http === undefined
      ? []
      : [part(http.timeoutSeconds, () => httpProblems(kube, service, http, signal))]),
    ...(metric === undefined
      ? []
      : [part(metric.timeoutSeconds, () => metricProblems(kube, service, metric, signal))]),
    // A Job is a test of what runs: it begins when all else is there.
    ...(job === undefined
      ? []
      : [
          part(
            job.timeoutSeconds,
            jobProblems(
              kube,
              jobOf(job, {...where, service: service.name, namespace: service.namespace, purpose: 'gate'}),
            ),
          ),
        ]),
  ]
}

function jobProblems(kube: KubeClient, job: KubeObject): GatePart['problems'] {
  let isBegun = false
  return async () => {
    if (!isBegun) await beginJob(kube, job)
    isBegun = true
    const problem = await jobProblem(kube, job)
    return problem === undefined ? [] : [problem]
  }
}

async function httpProblems(
  kube: KubeReader,
  service: Service,
  http: Http,
  signal: AbortSignal,
): Promise<readonly NotReady[]> {
  const answer = await request(kube, service, http, http.path, signal)
  if (answer.status === http.status) return []
  const said = answer.status === undefined ? answer.body : `status ${answer.status}`
  return [
    {
      ref: targetOf(service, http),
      problem: `GET ${http.path} gives ${said}, expected ${http.status}`,
      isStuck: false,
    },
  ]
}

const answerSchema = z.looseObject({
  status: z.string(),
  error: z.string().optional(),
  data: z.looseObject({resultType: z.string(), result: z.unknown()}).optional(),
})

async function metricProblems(
  kube: KubeReader,
  service: Service,
  metric: Metric,
  signal: AbortSignal,
): Promise<readonly NotReady[]> {
  const path = `/api/v1/query?query=${encodeURIComponent(metric.query)}`
  const answer = await request(kube, service, metric, path, signal)
  const problem = metricProblem(answer)
  return problem === undefined
    ? []
    : [{ref: targetOf(service, metric), problem: `${metric.query}: ${problem}`, isStuck: false}]
}

/** Why the answer of Prometheus does not pass; undefined: it does. */
export function metricProblem({status, body}: Answer): string | undefined {
  if (status === undefined) return body
  const parsed = answerSchema.safeParse(jsonOf(body))
  if (!parsed.success) return `status ${status}, and no answer of Prometheus`
  const {error, data} = parsed.data
  if (data === undefined) return error ?? `status ${status}`
  // A scalar is one sample: `[time, "value"]`.
  if (data.resultType === 'scalar' && Array.isArray(data.result))
    return data.result[1] === '0' ? 'it is 0' : undefined
  return Array.isArray(data.result) && data.result.length > 0 ? undefined : 'it returns no samples'
}

/** For messages: the Service that is called, or that of the namespace where it is a URL. */
const targetOf = ({namespace, name}: Service, {service, url}: Http | Metric): ObjectRef =>
  service === undefined
    ? {apiVersion: 'v1', kind: 'URL', name: url ?? name}
    : {apiVersion: 'v1', kind: 'Service', namespace, name: service}

async function request(
  kube: KubeReader,
  {namespace}: Service,
  {url, service, port}: Http | Metric,
  path: string,
  signal: AbortSignal,
): Promise<Answer> {
  try {
    if (service !== undefined) {
      return await kube.fetch(
        `/api/v1/namespaces/${namespace}/services/${service}:${port ?? 80}/proxy${path}`,
        signal,
      )
    }
    const limited = AbortSignal.any([signal, AbortSignal.timeout(REQUEST_MS)])
    const answer = await fetch(new URL(path, url), {redirect: 'manual', signal: limited})
    return {status: answer.status, body: await answer.text()}
  } catch (error) {
    signal.throwIfAborted()
    return {body: causeOf(error)}
  }
}

/** fetch itself says no more than that it failed. */
const causeOf = (error: unknown): string =>
  error instanceof Error && error.cause instanceof Error ? error.cause.message : errorMessage(error)
