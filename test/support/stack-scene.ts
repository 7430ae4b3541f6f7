import {mkdir, mkdtemp, rm, writeFile} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {dirname, join} from 'node:path'
import {stringify} from 'yaml'
import {createRedactor, type Redactor} from '../../src/base/redaction.ts'
import type {RunEvent} from '../../src/base/run-events.ts'
import type {KubeClient, KubeObject} from '../../src/kubernetes/types.ts'
import type {StackTools} from '../../src/platform/graph/prepare.ts'

const {signal} = new AbortController()

export interface StackFolder extends AsyncDisposable {
  readonly path: string
  /** Writes objects as YAML to a file of the folder. */
  readonly write: (file: string, ...objects: readonly unknown[]) => Promise<void>
}

/** A folder for the files of a stack. */
export async function stackFolder(): Promise<StackFolder> {
  const path = await mkdtemp(join(tmpdir(), 'clouder-stack-'))
  return {
    path,
    write: async (file, ...objects) => {
      await mkdir(dirname(join(path, file)), {recursive: true})
      await writeFile(join(path, file), objects.map((object) => stringify(object)).join('---\n'))
    },
    [Symbol.asyncDispose]: () => rm(path, {recursive: true, force: true}),
  }
}

export interface RecordedTools extends StackTools {
  readonly events: RunEvent[]
  readonly redactor: Redactor
  /** Everything that was reported, as a log has it. */
  readonly log: () => string
}

/** Tools of the engine on an API server, which record what is reported. */
export function stackTools(kube: KubeClient, folder: string, given: Partial<StackTools> = {}): RecordedTools {
  const redactor = createRedactor()
  const events: RunEvent[] = []
  const absent = (name: string) => () => Promise.reject(new Error(`this test has no ${name}`))
  return {
    kube,
    folder,
    helm: absent('helm'),
    kubectl: absent('kubectl'),
    environment: {},
    temporaryDir: tmpdir(),
    resolveName: () => Promise.resolve('192.0.2.1'),
    now: () => Date.now(),
    holder: 'test',
    signal,
    hideSecret: (value) => redactor.add(value),
    redact: (text) => redactor.redact(text),
    // As the command has it: what is reported goes through the redactor.
    report: (event) => void events.push(JSON.parse(redactor.redact(JSON.stringify(event))) as RunEvent),
    graceMs: 2_000,
    concurrency: 16,
    events,
    redactor,
    log: () => events.map((event) => JSON.stringify(event)).join('\n'),
    ...given,
  }
}

/** A Deployment with one container. */
export const deployment = (
  name: string,
  image = `registry.example.com/${name}:1`,
  more: object = {},
): KubeObject => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: {name},
  spec: {
    selector: {matchLabels: {app: name}},
    template: {metadata: {labels: {app: name}}, spec: {containers: [{name: 'main', image, ...more}]}},
  },
})

/**
 * Writes the status of Deployments as their controller would, but not of those whose image is `:bad`; also Jobs succeed.
 * Ends with the signal.
 */
export async function playControllers(
  kube: KubeClient,
  until: AbortSignal,
  onReady: (name: string) => void = () => undefined,
): Promise<void> {
  const settle = (object: KubeObject): void => {
    if (object.metadata.deletionTimestamp !== undefined) return
    void write(kube, object)
      .then((isWritten) => {
        if (isWritten) onReady(object.metadata.name)
      })
      // It was changed meanwhile: another event follows.
      .catch(() => undefined)
  }
  const follow = (apiVersion: string, kind: string): Promise<void> =>
    kube.watch(
      {apiVersion, kind},
      ({type, object}) => (type === 'DELETED' ? undefined : settle(object)),
      until,
    )
  await Promise.all([follow('apps/v1', 'Deployment'), follow('batch/v1', 'Job')]).catch(() => undefined)
}

async function write(kube: KubeClient, object: KubeObject): Promise<boolean> {
  const {apiVersion, kind, metadata} = object
  const {name, namespace = ''} = metadata
  const text = JSON.stringify(object)
  const time = new Date().toISOString().replace(/\.\d+Z$/, 'Z')
  if (kind === 'Job') {
    if (text.includes('"Complete"') || text.includes('"Failed"')) return false
    const fails = text.includes(':bad"')
    const conditions = fails
      ? [
          {type: 'FailureTarget', status: 'True', reason: 'BackoffLimitExceeded', message: 'it always fails'},
          {type: 'Failed', status: 'True', reason: 'BackoffLimitExceeded', message: 'it always fails'},
        ]
      : [
          {type: 'SuccessCriteriaMet', status: 'True'},
          {type: 'Complete', status: 'True'},
        ]
    const status = {
      startTime: time,
      conditions,
      ...(fails ? {failed: 1} : {succeeded: 1, completionTime: time}),
    }
    await kube.patch({apiVersion, kind, name, namespace}, {status}, {subresource: 'status'})
    return true
  }
  const {generation = 1} = metadata
  const {observedGeneration} = (object['status'] ?? {}) as {observedGeneration?: number}
  if (text.includes(':bad"') || observedGeneration === generation) return false
  const {replicas = 1} = (object['spec'] ?? {}) as {replicas?: number}
  const status = {
    observedGeneration: generation,
    replicas,
    updatedReplicas: replicas,
    readyReplicas: replicas,
    availableReplicas: replicas,
    conditions: [
      {
        type: 'Available',
        status: 'True',
        reason: 'Test',
        message: '',
        lastTransitionTime: time,
        lastUpdateTime: time,
      },
    ],
  }
  await kube.patch({apiVersion, kind, name, namespace}, {status}, {subresource: 'status'})
  return true
}
