import {z} from 'zod'
import {kubeClient} from '../../src/kubernetes/client.ts'
import {currentCredentials} from '../../src/kubernetes/kubeconfig.ts'
import {openTransport} from '../../src/kubernetes/transport.ts'
import type {KubeClient} from '../../src/kubernetes/types.ts'

const tokenSchema = z.looseObject({status: z.looseObject({token: z.string()})})

export interface ServiceAccount {
  readonly namespace: string
  readonly name: string
  /** That the token is bound to, as the kubelet asks for it: it names the node then. */
  readonly pod?: {readonly name: string; readonly uid: string}
}

interface Served {
  readonly kube: KubeClient
  readonly kubeconfig: string
  readonly port: number
}

/** A real token of a service account, and the authority of the server that knows it. */
export async function tokenOf(
  api: Served,
  {namespace, name, pod}: ServiceAccount,
): Promise<{readonly token: string; readonly ca: string | undefined}> {
  const bound = pod === undefined ? {} : {boundObjectRef: {apiVersion: 'v1', kind: 'Pod', ...pod}}
  const {status, body} = await api.kube.post(
    `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`,
    JSON.stringify({
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: {expirationSeconds: 3600, ...bound},
    }),
  )
  if (status !== 201) throw new Error(`no token for ${namespace}/${name}: ${status} ${body}`)
  const {token} = tokenSchema.parse(JSON.parse(body)).status
  return {token, ca: currentCredentials(api.kubeconfig).ca}
}

/** The API server as a service account is, with a real token. */
export async function asServiceAccount(api: Served, account: ServiceAccount): Promise<KubeClient> {
  const {token, ca} = await tokenOf(api, account)
  const server = {
    host: '127.0.0.1',
    port: api.port,
    ca,
    identity: () => Promise.resolve({headers: {authorization: `Bearer ${token}`}}),
  }
  return kubeClient(openTransport(server, new AbortController().signal))
}
