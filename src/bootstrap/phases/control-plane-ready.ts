import type {ClusterStep} from '../engine/types.ts'
import {TimeoutError} from '../../base/errors.ts'
import {KubernetesError} from '../../kubernetes/errors.ts'
import type {HostReader} from '../hosts/host.ts'
import {waitFor} from '../../base/waiting.ts'
import type {ClusterTools} from './context.ts'

const TIMEOUT_MS = 300_000

/** `ready`, or what the API server of this very control plane says instead; its etcd answers for the quorum. */
export async function askReadyz(host: HostReader, signal: AbortSignal): Promise<string> {
  const words = ['--server', 'https://127.0.0.1:6443', '--request-timeout', '5s', 'get', '--raw', '/readyz']
  const {exitCode, stderr} = await host.query(
    ['kubectl', '--kubeconfig', '/etc/kubernetes/admin.conf', ...words],
    {signal},
  )
  if (exitCode === 0) return 'ready'
  return stderr.trim().split('\n').at(-1) ?? `kubectl exited with code ${exitCode}`
}

/** Asks the one that joined, through whatever is slow or away for a moment: another one that answers says nothing of it. */
export const waitForControlPlane = (name: string, intervalMs = 1_000): ClusterStep<ClusterTools> => ({
  summary: `wait until etcd and the API server are ready on ${name}`,
  reason: 'the next control plane joins after it',
  run: async (tools, stepContext) => {
    const host = tools.hostFor(name)
    await waitFor({
      what: `etcd and the API server on ${name}`,
      timeoutMs: TIMEOUT_MS,
      intervalMs,
      signal: stepContext.signal,
      onSeen: (seen) => stepContext.progress(seen),
      check: async (attempt) => {
        const seen = await askReadyz(host, attempt)
        return seen === 'ready' ? {value: true, seen} : {seen}
      },
    }).catch((error: unknown) => {
      if (!(error instanceof TimeoutError)) throw error
      throw new KubernetesError('NOT_READY', error.message, {
        cause: error,
        suggestions: [`see the logs of etcd and the API server on ${name}: /var/log/pods/kube-system_*`],
      })
    })
  },
})
