import type {KubeObject} from '../../../kubernetes/types.ts'
import type {SmokeTools} from '../addon.ts'
import {waitAnswer} from '../balancers.ts'
import {SMOKE_PORT, startPod} from '../smoke-pods.ts'
import {CLASS, GATEWAY, GATEWAY_API, NAMESPACE, PART} from './objects.ts'

const NAME = 'routed'

/** A server answers through the Gateway by an HTTPRoute, and by an Ingress. */
export async function smokeGateway(tools: SmokeTools): Promise<void> {
  const {kube, namespace, signal, progress} = tools
  const image = tools.facts.image('smoke')
  await startPod(tools, {name: NAME, image, args: ['serve'], serves: true})
  const service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {name: NAME, namespace},
    spec: {selector: {app: NAME}, ports: [{port: 80, targetPort: SMOKE_PORT, protocol: 'TCP'}]},
  }
  // The server answers on every path, so that a path of this namespace is enough to tell the routes apart.
  const pathOf = (kind: string): string => `/${namespace}/${kind}`
  await kube.apply(
    [service, route(namespace, pathOf('route')), ingress(namespace, pathOf('ingress'))],
    signal,
  )
  const host = `${PART.name}.${NAMESPACE}.svc.${tools.facts.spec.network.dnsDomain}`
  progress('waiting for an HTTPRoute')
  await waitAnswer(tools, 'by-route', `http://${host}${pathOf('route')}`)
  progress('waiting for an Ingress')
  await waitAnswer(tools, 'by-ingress', `http://${host}${pathOf('ingress')}`)
}

const route = (namespace: string, value: string): KubeObject => ({
  apiVersion: GATEWAY_API,
  kind: 'HTTPRoute',
  metadata: {name: NAME, namespace},
  spec: {
    parentRefs: [{name: GATEWAY, namespace: NAMESPACE, sectionName: 'http'}],
    rules: [{matches: [{path: {type: 'PathPrefix', value}}], backendRefs: [{name: NAME, port: 80}]}],
  },
})

const ingress = (namespace: string, path: string): KubeObject => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'Ingress',
  metadata: {name: NAME, namespace},
  spec: {
    ingressClassName: CLASS,
    rules: [
      {
        http: {
          paths: [{path, pathType: 'Prefix', backend: {service: {name: NAME, port: {number: 80}}}}],
        },
      },
    ],
  },
})
