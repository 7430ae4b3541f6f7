import {expect} from 'vitest'
import {z} from 'zod'
import {SMOKE_REFERENCE} from '../../src/bundle/catalogue.ts'
import {waitFor} from '../../src/base/waiting.ts'
import type {CliOptions, CliResult} from './cli.ts'
import type {E2eCluster} from './e2e-cluster.ts'
import {endOf, errorSchema, lastLine, resultOf} from './e2e-results.ts'

const ADMIN = 'kubectl --kubeconfig /etc/kubernetes/admin.conf'
const PORT = 8080
const TIMEOUT_MS = 120_000
const {signal} = new AbortController()

/** Where the pods of these tests are; another one where several work on a cluster that was kept. */
export const NAMESPACE = process.env['CLOUDER_E2E_NAMESPACE'] ?? 'travel'

/** kubectl on the control plane; `stdin` is applied or created from `-f -`. */
export function kubectl(cluster: E2eCluster, words: string, stdin?: string): Promise<string> {
  if (stdin === undefined) return cluster.read('cp-1', `${ADMIN} ${words}`)
  const coded = Buffer.from(stdin).toString('base64')
  return cluster.read('cp-1', `base64 -d <<<${coded} | ${ADMIN} ${words}`)
}

/** Makes a namespace, and waits for the account that its pods run as: until a controller has made it they are refused. */
export async function makeNamespace(
  cluster: E2eCluster,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<void> {
  const namespace = {apiVersion: 'v1', kind: 'Namespace', metadata: {name, labels}}
  await kubectl(cluster, 'apply -f -', JSON.stringify(namespace))
  await kubectl(cluster, `wait --for=create serviceaccount/default -n ${name} --timeout=60s`)
}

export interface TravellerOptions {
  readonly node: string
  /** Random bytes in its memory, beside its token. */
  readonly mebibytes?: number
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly capabilities?: readonly string[]
  readonly tty?: boolean
  readonly runtimeClassName?: string
  /** Default: that of the smoke test. */
  readonly image?: string
  /** A Secret with `file`, which is mounted, and `environment`, which is the variable SECRET. */
  readonly secretName?: string
}

/** A pod whose process draws a token and a buffer at its start, holds them in memory only, and counts. */
export async function startTraveller(
  cluster: E2eCluster,
  name: string,
  options: TravellerOptions,
): Promise<void> {
  await applyTraveller(cluster, name, options)
  await kubectl(cluster, `wait --for=condition=Ready pod ${name} -n ${NAMESPACE} --timeout=120s`)
}

export async function applyTraveller(
  cluster: E2eCluster,
  name: string,
  {
    node,
    mebibytes = 1,
    labels = {},
    annotations = {},
    capabilities,
    tty,
    runtimeClassName,
    image = SMOKE_REFERENCE,
    secretName,
  }: TravellerOptions,
): Promise<void> {
  const secret =
    secretName === undefined
      ? undefined
      : {
          env: [{name: 'SECRET', valueFrom: {secretKeyRef: {name: secretName, key: 'environment'}}}],
          volumeMounts: [{name: 'secret', mountPath: '/run/secrets/own', readOnly: true}],
        }
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {name, namespace: NAMESPACE, labels: {app: name, ...labels}, annotations},
    spec: {
      nodeName: node,
      terminationGracePeriodSeconds: 1,
      ...(runtimeClassName === undefined ? {} : {runtimeClassName}),
      containers: [
        {
          name: 'smoke',
          image,
          imagePullPolicy: 'IfNotPresent',
          args: ['serve', `:${PORT}`, String(mebibytes)],
          ...(tty === true ? {tty, stdin: true} : {}),
          ...(capabilities === undefined ? {} : {securityContext: {capabilities: {add: capabilities}}}),
          readinessProbe: {httpGet: {path: '/', port: PORT}, periodSeconds: 1},
          ...secret,
        },
      ],
      ...(secretName === undefined
        ? {}
        : {
            volumes: [{name: 'secret', secret: {secretName, items: [{key: 'file', path: 'file'}]}}],
          }),
    },
  }
  await kubectl(cluster, 'apply -f -', JSON.stringify(pod))
}

/** What tells one process from another. */
export interface Identity {
  readonly token: string
  readonly count: number
  /** Of the buffer in its memory. */
  readonly sha256: string
}

/** Asks the process who it is; a proxy that knows the new address only a moment later is asked again. */
export async function identityOf(cluster: E2eCluster, pod: string): Promise<Identity> {
  const ask = (path: string) =>
    kubectl(cluster, `get --raw /api/v1/namespaces/${NAMESPACE}/pods/${pod}:${PORT}/proxy${path}`)
  return waitFor({
    what: `${pod} to say who it is`,
    check: async () => {
      const said = await Promise.all([ask('/'), ask('/memory')]).catch((error: unknown) => String(error))
      if (typeof said === 'string') return {seen: said}
      const [, token, count] = /^token=([0-9a-f]+) count=(\d+)/.exec(said[0]) ?? []
      const [, sha256] = /^sha256=([0-9a-f]{64}) /.exec(said[1]) ?? []
      const isWhole = token !== undefined && sha256 !== undefined
      return isWhole
        ? {value: {token, sha256, count: Number(count)}, seen: 'answers'}
        : {seen: said.join(' ')}
    },
    timeoutMs: TIMEOUT_MS,
    intervalMs: 500,
    signal,
  })
}

/** The same process, which has gone on. */
export function expectSame(after: Identity, before: Identity): void {
  expect(after).toMatchObject({token: before.token, sha256: before.sha256})
  expect(after.count).toBeGreaterThan(before.count)
}

/** Runs a command that ends well. */
export async function expectDone(cluster: E2eCluster, words: string): Promise<void> {
  const result = await run(cluster, words)
  expect(result.exitCode, endOf(result)).toBe(0)
}

/** Runs a command that is refused by the cluster, with a code and a reason. */
export async function expectRefused(
  cluster: E2eCluster,
  words: string,
  {code, why = /./}: {readonly code: string; readonly why?: RegExp},
): Promise<void> {
  const result = await run(cluster, words)
  expect(lastLine(result, errorSchema), endOf(result)).toMatchObject({
    code,
    message: expect.stringMatching(why) as string,
  })
  expect(result.exitCode).toBe(11)
}

/** The node that a pod is on. */
export const nodeOf = (cluster: E2eCluster, pod: string): Promise<string> =>
  kubectl(cluster, `get pod ${pod} -n ${NAMESPACE} -o jsonpath={.spec.nodeName}`)

/** `clouder … --cluster NAME --json`. */
export const run = (
  cluster: E2eCluster,
  words: string,
  options: Omit<CliOptions, 'home'> = {},
): Promise<CliResult> => cluster.clouder([...words.split(' '), '--cluster', cluster.name, '--json'], options)

const checkpointResult = z.looseObject({
  checkpoint: z.looseObject({
    metadata: z.looseObject({name: z.string()}),
    status: z.looseObject({digest: z.string(), nodeName: z.string()}),
  }),
})

/** `checkpoint create` that must succeed; gives its name. */
export async function checkpointOf(cluster: E2eCluster, pod: string, more = ''): Promise<string> {
  const made = await run(cluster, `checkpoint create ${NAMESPACE}/${pod}${more}`)
  return resultOf(made, checkpointResult).checkpoint.metadata.name
}

/** The value of a JSON path of an object, as soon as it is one of those wanted. */
export function waitForValue(
  cluster: E2eCluster,
  object: string,
  path: string,
  wanted: (value: string) => boolean,
): Promise<string> {
  return waitFor({
    what: `${path} of ${object}`,
    check: async () => {
      const seen = await kubectl(cluster, `get ${object} -n ${NAMESPACE} -o 'jsonpath={${path}}'`)
      return wanted(seen) ? {value: seen, seen} : {seen}
    },
    timeoutMs: TIMEOUT_MS * 2,
    intervalMs: 500,
    signal,
  })
}

/** Ends the pods of a program of the cluster as a crash would, and their successors come. */
export const killPods = (cluster: E2eCluster, program: string): Promise<string> =>
  kubectl(
    cluster,
    `delete pod -n clouder-system -l app.kubernetes.io/name=${program} --grace-period=0 --force --wait=false`,
  )
