import {readFile} from 'node:fs/promises'
import {parse} from 'yaml'
import {z} from 'zod'
import {AGENT} from '../../src/addons/checkpoint-names.ts'
import {SMOKE_REFERENCE} from '../../src/bundle/catalogue.ts'
import {API_VERSION, SYSTEM_NAMESPACE} from '../../src/checkpoint/names.ts'
import {podSchema} from '../../src/checkpoint/pod.ts'
import {openKube} from '../../src/kubernetes/client.ts'
import type {KubeClient, KubeObject, OpenKubeClient} from '../../src/kubernetes/types.ts'
import {waitFor} from '../../src/waiting.ts'
import type {E2eCluster} from './e2e-cluster.ts'
import {asServiceAccount} from './service-account.ts'

const {signal} = new AbortController()

/** Who attacks a live cluster, and whom it belongs to. */
export interface AttackScene {
  readonly root: OpenKubeClient
  /** Somebody with the role `edit` in a namespace, which is made. */
  readonly editorOf: (namespace: string) => Promise<OpenKubeClient>
  /** Whoever took a node over: its agent's own credential. */
  readonly agentOf: (node: string) => Promise<OpenKubeClient>
  close(): void
}

const clusterSchema = z.looseObject({
  clusters: z.tuple([z.looseObject({cluster: z.looseObject({server: z.string()})})]),
})

export async function attackScene(cluster: E2eCluster): Promise<AttackScene> {
  const kubeconfig = await readFile(cluster.paths.kubeconfig, 'utf8')
  const {clusters} = clusterSchema.parse(parse(kubeconfig))
  const port = Number(new URL(clusters[0].cluster.server).port)
  const root = await openKube({kubeconfig, port, signal})
  const api = {kube: root, kubeconfig, port}
  const opened: OpenKubeClient[] = [root]
  const remembered = (kube: OpenKubeClient): OpenKubeClient => {
    opened.push(kube)
    return kube
  }
  return {
    root,
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
      return remembered(await asServiceAccount(api, {namespace, name: 'editor'}))
    },
    async agentOf(node) {
      const pods = await root.list({
        apiVersion: 'v1',
        kind: 'Pod',
        namespace: SYSTEM_NAMESPACE,
        labelSelector: `app.kubernetes.io/name=${AGENT}`,
      })
      const own = pods.map((object) => podSchema.parse(object)).find(({spec}) => spec.nodeName === node)
      if (own === undefined) throw new Error(`node ${node} has no agent`)
      const {name, uid} = own.metadata
      return remembered(
        await asServiceAccount(api, {namespace: SYSTEM_NAMESPACE, name: AGENT, pod: {name, uid}}),
      )
    },
    close: () => opened.forEach((kube) => kube.close()),
  }
}

/** A pod of the smoke test's program on a node; `more` goes into its spec. */
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
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    containers: [
      {name: 'main', image: SMOKE_REFERENCE, imagePullPolicy: 'IfNotPresent', args: ['serve', ':8080']},
    ],
    ...more.spec,
  },
})

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

/** POST to a path, where a status that is no success is an error. */
export async function posted(kube: KubeClient, path: string): Promise<void> {
  const {status, body} = await kube.post(path, '{}')
  if (status >= 400) throw new Error(`${status} ${body}`)
}

const statusSchema = z
  .looseObject({phase: z.string().optional(), message: z.string().optional(), digest: z.string().optional()})
  .default({})
export type Ended = z.output<typeof statusSchema>

/** The status of an object, as soon as its phase is one of these. */
export function ended(kube: KubeClient, object: KubeObject, ...phases: readonly string[]): Promise<Ended> {
  const {apiVersion, kind, metadata} = object
  const {name, namespace = ''} = metadata
  return waitFor({
    what: `${kind} ${namespace}/${name} to be ${phases.join(' or ')}`,
    check: async () => {
      const found = await kube.get({apiVersion, kind, namespace, name})
      const status = statusSchema.parse(found?.['status'])
      const seen = JSON.stringify(status).slice(0, 300)
      return phases.includes(status.phase ?? '') ? {value: status, seen} : {seen}
    },
    timeoutMs: 120_000,
    intervalMs: 500,
    signal,
  })
}
