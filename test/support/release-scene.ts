import type {TestContext} from 'vitest'
import type {KubeClient, KubeObject} from '../../src/kubernetes/types.ts'
import {applyRelease, type ApplyOptions} from '../../src/platform/release/apply.ts'
import {planRelease} from '../../src/platform/release/plan.ts'
import type {Release, Revision} from '../../src/platform/release/types.ts'
import {needBundle, startApiServer, type ApiServer, type ApiServerOptions} from './with-api-server.ts'

export const applyOptions = (holder = 'a test'): ApplyOptions => ({
  signal: new AbortController().signal,
  progress: () => undefined,
  now: Date.now,
  holder,
})

export const release = (
  name: string,
  objects: readonly KubeObject[],
  more: Partial<Release> = {},
): Release => ({
  owner: 'addon',
  name,
  version: '1.0.0',
  parameters: {},
  objects,
  ...more,
})

export const install = async (kube: KubeClient, wanted: Release): Promise<Revision> =>
  applyRelease(kube, await planRelease(kube, wanted), applyOptions())

export const namespace = (name: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: {name},
})

export const configMap = (space: string, name: string, data: Record<string, string>): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: {name, namespace: space},
  data,
})

export const secret = (space: string, name: string, stringData: Record<string, string>): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: {name, namespace: space},
  stringData,
})

export const deployment = (
  space: string,
  name: string,
  more: object = {},
  labels = {app: name},
): KubeObject => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: {name, namespace: space},
  spec: {
    replicas: 2,
    selector: {matchLabels: labels},
    template: {
      metadata: {labels},
      spec: {
        containers: [
          {
            name: 'main',
            image: `registry.example/${name}:1`,
            ports: [{containerPort: 8080}],
            env: [
              {name: 'A', value: '1'},
              {name: 'B', value: '2'},
            ],
            resources: {requests: {cpu: '100m', memory: '64Mi'}},
            securityContext: {capabilities: {drop: ['ALL']}},
          },
        ],
        volumes: [{name: 'tmp', emptyDir: {}}],
      },
    },
    ...more,
  },
})

export const service = (space: string, name: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: {name, namespace: space},
  spec: {selector: {app: name}, ports: [{name: 'http', port: 80, targetPort: 8080}]},
})

export const definition = (kind: string): KubeObject => {
  const plural = `${kind.toLowerCase()}s`
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: {name: `${plural}.release.example`},
    spec: {
      group: 'release.example',
      names: {kind, plural, singular: kind.toLowerCase(), listKind: `${kind}List`},
      scope: 'Namespaced',
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema: {openAPIV3Schema: {type: 'object', 'x-kubernetes-preserve-unknown-fields': true}},
        },
      ],
    },
  }
}

/** One API server for the tests of a file. */
export function oneApiServer(options: ApiServerOptions = {}) {
  let started: Promise<ApiServer> | undefined
  return {
    async of(context: TestContext): Promise<ApiServer> {
      const bundle = await needBundle(context)
      return (started ??= startApiServer(bundle, options))
    },
    async stop(): Promise<void> {
      await (await started)?.[Symbol.asyncDispose]()
    },
  }
}
