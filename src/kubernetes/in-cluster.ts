import {readFile} from 'node:fs/promises'
import {join} from 'node:path'
import {kubeClient} from './client.ts'
import {openTransport, type Identity} from './transport.ts'
import type {KubeClient} from './types.ts'

/** Where Kubernetes mounts a pod's service account. */
export const SERVICE_ACCOUNT_DIR = '/var/run/secrets/kubernetes.io/serviceaccount'

/**
 * The API server as a pod's service account. `host` and `port` are what KUBERNETES_SERVICE_HOST and
 * KUBERNETES_SERVICE_PORT say; the token is read anew for each call, as the kubelet renews it hourly.
 */
export async function openInClusterKube(options: {
  readonly host: string
  readonly port: number
  readonly signal: AbortSignal
  /** Default: SERVICE_ACCOUNT_DIR. */
  readonly serviceAccountDir?: string
}): Promise<KubeClient> {
  const dir = options.serviceAccountDir ?? SERVICE_ACCOUNT_DIR
  const ca = await readFile(join(dir, 'ca.crt'), 'utf8')
  const identity = async (): Promise<Identity> => {
    const token = (await readFile(join(dir, 'token'), 'utf8')).trim()
    return {headers: {authorization: `Bearer ${token}`}}
  }
  return kubeClient(openTransport({host: options.host, port: options.port, ca, identity}, options.signal))
}
