import {readFile} from 'node:fs/promises'
import {parse} from 'yaml'
import {z} from 'zod'
import {AGENT} from '../../src/platform/addons/checkpoint/names.ts'
import {PROGRAM_REFERENCE, SMOKE_REFERENCE} from '../../src/bundle/catalogue.ts'
import {API_VERSION, SYSTEM_NAMESPACE} from '../../src/api/names.ts'
import {podSchema, restartsOf, type Pod} from '../../src/kubernetes/pod.ts'
import {kubeClient, openKube} from '../../src/kubernetes/client.ts'
import {currentCredentials} from '../../src/kubernetes/kubeconfig.ts'
import {openTransport} from '../../src/kubernetes/transport.ts'
import type {KubeClient, KubeObject} from '../../src/kubernetes/types.ts'
import {waitFor} from '../../src/base/waiting.ts'
import type {E2eCluster} from './e2e-cluster.ts'
import {asServiceAccount} from './service-account.ts'

const {signal} = new AbortController()

/** Who attacks a live cluster, and whom it belongs to. */
export interface AttackScene {
  readonly root: KubeClient
  /** Somebody with the role `edit` in a namespace, which is made. */
  readonly editorOf: (namespace: string) => Promise<KubeClient>
  /** Whoever took a node over: its agent's own credential. */
  readonly agentOf: (node: string) => Promise<KubeClient>
  /** Somebody who proves nothing. */
  readonly nobody: KubeClient
  close(): void
}

const reviewSchema = z.looseObject({status: z.looseObject({allowed: z.boolean()})})

const clusterSchema = z.looseObject({
  clusters: z.tuple([z.looseObject({cluster: z.looseObject({server: z.string()})})]),
})

/** Attacks a cluster, with connections of its own. */
export async function attacked(
  cluster: E2eCluster,
  attack: (scene: AttackScene) => Promise<void>,
): Promise<void> {
  const scene = await attackScene(cluster)
  try {
    await attack(scene)
  } finally {
    scene.close()
  }
}

async function attackScene(cluster: E2eCluster): Promise<AttackScene> {
  const kubeconfig = await readFile(cluster.paths.kubeconfig, 'utf8')
  const {clusters} = clusterSchema.parse(parse(kubeconfig))
  const port = Number(new URL(clusters[0].cluster.server).port)
  const root = await openKube({kubeconfig, port, signal})
  const api = {kube: root, kubeconfig, port}
  const opened: KubeClient[] = [root]
  const remembered = (kube: KubeClient): KubeClient => {
    opened.push(kube)
    return kube
  }
  const {ca} = currentCredentials(kubeconfig)
  const nobody = remembered(kubeClient(openTransport({host: '127.0.0.1', port, ca}, signal)))
  return {
    root,
    nobody,
    async editorOf(namespace) {
      await root.apply([
        {apiVersion: 'v1', kind: 'Namespace', metadata: {name: namespace}},
        {apiVersion: 'v1', kind: 'ServiceAccount', metadata: {name: 'editor', namespace}},
        {
          apiVersion: 'rbac.authorization.k8s.io/v1',
          kind: 'RoleBinding',
          metadata: {name: 'editor', namespace},
          roleRef: {apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'edit'},
          subjects: [{kind: 'ServiceAccount', name: 'editor', namespace}],
        },
      ])
      const editor = remembered(await asServiceAccount(api, {namespace, name: 'editor'}))
      await comesTo('let in', () => refusal(mayMakePods(editor, namespace)))
      return editor
    },
    async agentOf(node) {
      const own = (await agentsOf(root)).get(node)
      if (own === undefined) throw new Error(`node ${node} has no agent`)
      const {name, uid} = own.metadata
      return remembered(
        await asServiceAccount(api, {namespace: SYSTEM_NAMESPACE, name: AGENT, pod: {name, uid}}),
      )
    },
    close: () => opened.forEach((kube) => kube.close()),
  }
}

/**
 * A pod of the smoke test's program on a node, as the editor's account, which is there before a controller has made the
 * default one of a new namespace; what `more` has goes into its metadata and its spec.
 */
export const victim = (
  namespace: string,
  name: string,
  node: string,
  more: {readonly metadata?: object; readonly spec?: object} = {},
): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {name, namespace, ...more.metadata},
  spec: {
    nodeName: node,
    terminationGracePeriodSeconds: 1,
    serviceAccountName: 'editor',
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    containers: [
      {name: 'main', image: SMOKE_REFERENCE, imagePullPolicy: 'IfNotPresent', args: ['serve', ':8080']},
    ],
    ...more.spec,
  },
})

/** JavaScript that draws a token, and answers it at a pod's port with what else a text gives. */
export const answering = (more = '{}'): string => `
  const token = crypto.randomBytes(16).toString('hex')
  require('http').createServer((request, response) => {
    response.setHeader('connection', 'close')
    response.end(JSON.stringify({token, ...${more}}))
  }).listen(8080)`

/** A pod that runs a text of JavaScript, as root of its container. */
export const scripted = (
  namespace: string,
  name: string,
  node: string,
  script: string,
  {container = {}, spec = {}}: {readonly container?: object; readonly spec?: object} = {},
): KubeObject => {
  const main = {
    name: 'main',
    image: PROGRAM_REFERENCE,
    imagePullPolicy: 'IfNotPresent',
    command: ['/usr/bin/node', '-e', script],
    securityContext: {runAsUser: 0, runAsNonRoot: false},
    ...container,
  }
  return victim(namespace, name, node, {spec: {containers: [main], ...spec}})
}

export const asked = (
  kind: 'Checkpoint' | 'Migration' | 'Restore' | 'Runtime',
  namespace: string,
  name: string,
  spec: object,
): KubeObject => ({apiVersion: API_VERSION, kind, metadata: {name, namespace}, spec})

/** What the API server said to a request that it refused; `let in` where it did not. */
export const refusal = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'let in',
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  )

/** Repeats a request until its answer has these words: what admission and RBAC know of is behind for a moment. */
export const comesTo = (words: string, attempt: () => Promise<string>): Promise<true> =>
  waitFor({
    what: `a request to be answered with ${words}`,
    check: async () => {
      const seen = await attempt()
      return {seen, ...(seen.includes(words) ? {value: true as const} : {})}
    },
    timeoutMs: 30_000,
    intervalMs: 200,
    signal,
  })

/** Throws until RBAC has heard of a role. */
async function mayMakePods(kube: KubeClient, namespace: string): Promise<void> {
  const resourceAttributes = {namespace, verb: 'create', resource: 'pods'}
  const {body} = await kube.post(
    '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
    JSON.stringify({
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SelfSubjectAccessReview',
      spec: {resourceAttributes},
    }),
  )
  if (!reviewSchema.parse(JSON.parse(body)).status.allowed) throw new Error('not yet')
}

/** Has a namespace under a level of Pod Security, and waits until the API server holds pods to it. */
export async function secured(
  kube: KubeClient,
  namespace: string,
  level: string,
  pod: KubeObject,
): Promise<void> {
  const labels = {'pod-security.kubernetes.io/enforce': level}
  await kube.patch({apiVersion: 'v1', kind: 'Namespace', name: namespace}, {metadata: {labels}})
  await comesTo('violates PodSecurity', () => refusal(kube.create(pod, {dryRun: true})))
}

/** POST to a path, where a status that is no success is an error. */
export async function posted(kube: KubeClient, path: string, text = '{}'): Promise<void> {
  const {status, body} = await kube.post(path, text)
  if (status >= 400) throw new Error(`${status} ${body}`)
}

/** What a path answers, which has to be a success. */
export async function fetched(kube: KubeClient, path: string): Promise<string> {
  const {status, body} = await kube.fetch(path)
  if (status >= 400) throw new Error(`${path}: ${status} ${body}`)
  return body
}

/** The agents, by node. */
export async function agentsOf(kube: KubeClient): Promise<ReadonlyMap<string, Pod>> {
  const pods = await kube.list({
    apiVersion: 'v1',
    kind: 'Pod',
    namespace: SYSTEM_NAMESPACE,
    labelSelector: `app.kubernetes.io/name=${AGENT}`,
  })
  return new Map(pods.map((object) => podSchema.parse(object)).map((pod) => [pod.spec.nodeName ?? '', pod]))
}

/** What a pod's process answers at its port, as soon as it does. */
export function answerOf(kube: KubeClient, namespace: string, name: string): Promise<string> {
  return waitFor({
    what: `pod ${namespace}/${name} to answer`,
    check: async () => {
      const {status, body} = await kube.fetch(`/api/v1/namespaces/${namespace}/pods/${name}:8080/proxy/`)
      const seen = `${status} ${body.slice(0, 200)}`
      return status === 200 ? {value: body, seen} : {seen}
    },
    timeoutMs: 60_000,
    intervalMs: 300,
    signal,
  })
}

/** What tells a running pod from another one: its uid, how often it was started anew, the token in its memory. */
export async function selfOf(kube: KubeClient, namespace: string, name: string): Promise<string> {
  const object = await kube.get({apiVersion: 'v1', kind: 'Pod', namespace, name})
  if (object === undefined) throw new Error(`pod ${namespace}/${name} is gone`)
  const pod = podSchema.parse(object)
  const [token] = /[0-9a-f]{32}/.exec(await answerOf(kube, namespace, name)) ?? []
  if (token === undefined) throw new Error(`pod ${namespace}/${name} tells no token`)
  return `${pod.metadata.uid} ${restartsOf(pod)} ${token}`
}

const statusSchema = z
  .looseObject({
    phase: z.string().optional(),
    reason: z.string().optional(),
    message: z.string().optional(),
    digest: z.string().optional(),
  })
  .default({})
export type Ended = z.output<typeof statusSchema>

/** The status of an object, as soon as its phase is one of these. */
export const ended = (kube: KubeClient, object: KubeObject, ...phases: readonly string[]): Promise<Ended> =>
  statusOf(kube, object, `be ${phases.join(' or ')}`, ({phase = ''}) => phases.includes(phase))

/** The status of an object, as soon as its message says this. */
export const told = (kube: KubeClient, object: KubeObject, words: RegExp): Promise<Ended> =>
  statusOf(kube, object, `say ${words.source}`, ({message = ''}) => words.test(message))

function statusOf(
  kube: KubeClient,
  {apiVersion, kind, metadata}: KubeObject,
  what: string,
  isWanted: (status: Ended) => boolean,
): Promise<Ended> {
  const {name, namespace = ''} = metadata
  return waitFor({
    what: `${kind} ${namespace}/${name} to ${what}`,
    check: async () => {
      const found = await kube.get({apiVersion, kind, namespace, name})
      const status = statusSchema.parse(found?.['status'])
      const seen = JSON.stringify(status).slice(0, 300)
      return isWanted(status) ? {value: status, seen} : {seen}
    },
    timeoutMs: 120_000,
    intervalMs: 500,
    signal,
  })
}
