import {z} from 'zod'
import {describeRef, refOf} from '../../kubernetes/refs.ts'
import type {KubeObject, KubeReader, ObjectRef} from '../../kubernetes/types.ts'
import {failingContainers, lastLogLines} from './pods.ts'
import type {NotReady} from './types.ts'
import {podsOf} from './workload-pods.ts'

/** So many are explained; the others are named. */
const EXPLAINED = 3

const eventSchema = z.looseObject({
  type: z.string().nullish(),
  reason: z.string().nullish(),
  message: z.string().nullish(),
  lastTimestamp: z.string().nullish(),
  eventTime: z.string().nullish(),
})

/** The objects that are not ready, what the newest event or the log says of each, and the next command. */
export async function explainNotReady(kube: KubeReader, notReady: readonly NotReady[]): Promise<string> {
  // What is stuck is more often the cause than what only waits.
  const ordered = notReady.toSorted((one, two) => Number(two.isStuck) - Number(one.isStuck))
  const explained = await Promise.all(ordered.slice(0, EXPLAINED).map((item) => explanation(kube, item)))
  const others = ordered.slice(EXPLAINED).map(({ref, problem}) => `${describeRef(ref)}: ${problem}`)
  return [...explained, ...others].join('\n')
}

async function explanation(kube: KubeReader, {ref, problem}: NotReady): Promise<string> {
  const details = await detailsOf(kube, ref).catch(() => [])
  return [`${describeRef(ref)}: ${problem}`, ...details].join('\n')
}

/** Evidence is shown where it can be had: what fails here must not hide the problem itself. */
async function detailsOf(kube: KubeReader, ref: ObjectRef): Promise<readonly string[]> {
  const live = await kube.get(ref)
  if (live === undefined) return []
  const pods = live.kind === 'Pod' ? [live] : await podsOf(kube, live)
  const [failing] = await failingContainers(kube, pods)
  if (failing !== undefined) {
    const log = await lastLogLines(kube, failing)
    const {namespace = '', name} = failing.pod
    const next = `next: kubectl logs -n ${namespace} ${name} -c ${failing.container ?? ''} --previous`
    if (log !== '') return [log, next]
  }
  const events = await Promise.all([live, ...pods].map((object) => warningsOf(kube, object)))
  const [newest] = events.flat().toSorted((one, two) => (one.at < two.at ? 1 : -1))
  const subject = pods.find(({metadata}) => metadata.name === newest?.name) ?? live
  return [...(newest === undefined ? [] : [newest.text]), `next: ${describeCommand(refOf(subject))}`]
}

interface Warning {
  readonly at: string
  readonly name: string
  readonly text: string
}

async function warningsOf(kube: KubeReader, {metadata, kind}: KubeObject): Promise<readonly Warning[]> {
  const {namespace = 'default', name, uid = ''} = metadata
  const events = await kube.list({
    ...{apiVersion: 'v1', kind: 'Event', namespace},
    fieldSelector: `involvedObject.name=${name},involvedObject.uid=${uid},type=Warning`,
  })
  return events.map((event) => {
    const {reason, message, lastTimestamp, eventTime} = eventSchema.parse(event)
    const at = lastTimestamp ?? eventTime ?? event.metadata.creationTimestamp ?? ''
    return {at, name, text: `event of ${kind} ${name}: ${reason ?? ''}: ${message ?? ''}`}
  })
}

function describeCommand({kind, name, namespace, apiVersion}: ObjectRef): string {
  const group = apiVersion.includes('/') ? `.${apiVersion.split('/')[0] ?? ''}` : ''
  const where = namespace === undefined ? '' : ` -n ${namespace}`
  return `kubectl describe ${kind.toLowerCase()}${group}${where} ${name}`
}
