import {createHash} from 'node:crypto'
import {z} from 'zod'
import {objectName} from '../../api/object-names.ts'
import {describeRef, refOf} from '../../kubernetes/refs.ts'
import type {KubeClient, KubeObject, KubeReader} from '../../kubernetes/types.ts'
import type {NotReady} from '../release/types.ts'
import type {JobTemplate} from './stack-schema.ts'

/** Label of Jobs that hooks and gates run: the stack. */
export const STACK_JOB_LABEL = 'clouder.dev/stack-job'
/** How long one is kept that has ended: long enough to read its log. */
const KEPT_SECONDS = 24 * 3600

export interface JobPlace {
  readonly stack: string
  readonly service: string
  readonly namespace: string
  /** `before`, `after`, `gate`. */
  readonly purpose: string
  /** What it runs for: another one gets another Job, the same one finds its own again. */
  readonly occasion: string
}

/** The Job of a hook or gate. */
export function jobOf(
  {image, command, args, env, serviceAccountName, timeoutSeconds}: JobTemplate,
  place: JobPlace,
): KubeObject {
  return placed(
    {
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: {name: place.purpose},
      spec: {
        backoffLimit: 0,
        activeDeadlineSeconds: timeoutSeconds,
        ttlSecondsAfterFinished: KEPT_SECONDS,
        template: {
          spec: {
            restartPolicy: 'Never',
            ...(serviceAccountName === undefined ? {} : {serviceAccountName}),
            containers: [
              {
                name: place.purpose,
                image,
                ...(command.length === 0 ? {} : {command}),
                ...(args.length === 0 ? {} : {args}),
                ...(env.length === 0 ? {} : {env}),
              },
            ],
          },
        },
      },
    },
    place,
  )
}

/** A Job, also one that a chart has as a hook, under a name of its occasion. */
export function placed(
  job: KubeObject,
  {stack, service, namespace, purpose, occasion}: JobPlace,
): KubeObject {
  const digest = createHash('sha256')
    .update(JSON.stringify([job, occasion]))
    .digest('hex')
    .slice(0, 10)
  return {
    ...job,
    metadata: {
      ...job.metadata,
      name: objectName([stack, service, purpose, digest]),
      namespace: job.metadata.namespace ?? namespace,
      labels: {...job.metadata.labels, [STACK_JOB_LABEL]: stack},
    },
  }
}

const statusSchema = z.looseObject({
  conditions: z
    .array(z.looseObject({type: z.string(), status: z.string(), message: z.string().optional()}))
    .optional(),
})

/** Begins a Job that has not begun, also in a run before this one. */
export async function beginJob(kube: KubeClient, job: KubeObject): Promise<void> {
  await kube.create(job)
}

/** Why a Job has not succeeded; undefined: it has. */
export async function jobProblem(kube: KubeReader, job: KubeObject): Promise<NotReady | undefined> {
  const ref = refOf(job)
  const live = await kube.get(ref)
  if (live === undefined) return {ref, problem: 'it was deleted before it ended', isStuck: true}
  const {conditions = []} = statusSchema.parse(live['status'] ?? {})
  const has = (type: string) =>
    conditions.find((condition) => condition.type === type && condition.status === 'True')
  if (has('Complete') !== undefined) return undefined
  const failed = has('Failed')
  return failed === undefined
    ? {ref, problem: 'it is running', isStuck: false}
    : {ref, problem: failed.message ?? 'it failed', isStuck: true}
}

/** `Job shop/shop-iam-before-…`. */
export const describeJob = (job: KubeObject): string => describeRef(refOf(job))
