import {CheckpointError} from '../../checkpoint/errors.ts'
import {KubernetesError} from '../../kubernetes/errors.ts'
import {createCheckpoint, type CheckpointTools} from './checkpoint.ts'
import {restoreCheckpoint} from './move.ts'
import {PORT, startServer, waitServer, type Bench} from './smoke-pods.ts'

interface Heartbeat {
  readonly token: string
  readonly count: number
}

async function readHeartbeat({kube, namespace, signal}: Bench, name: string): Promise<Heartbeat> {
  const path = `/api/v1/namespaces/${namespace}/pods/${name}:${PORT}/proxy/`
  const answer = await kube.fetch(path, signal)
  const match = /^token=([0-9a-f]+) count=(\d+)/.exec(answer.body)
  if (match?.[1] === undefined)
    throw new KubernetesError('SMOKE_TEST_FAILED', `pod ${name} answers ${answer.status} ${answer.body}`)
  return {token: match[1], count: Number(match[2])}
}

/**
 * A process with a random token only in its memory is checkpointed on the bench's first node, its pod deleted, and
 * restored on the second one, where it must present the same token and a larger count. Throws CheckpointError with
 * what went wrong in the cluster, KubernetesError SMOKE_TEST_FAILED when it is another process.
 */
export async function roundTrip(
  bench: Bench,
  tools: CheckpointTools,
  progress: (text: string) => void,
): Promise<string> {
  const {kube, namespace} = bench
  const [from, to] = bench.nodes
  const name = 'traveller'
  await startServer(bench, {name, node: from})
  const before = await readHeartbeat(bench, name)
  progress(`checkpointing on ${from} at count ${before.count}`)
  const quiet = {...tools, report: () => undefined}
  const made = await createCheckpoint(
    kube,
    {namespace, pod: name, name, store: 'default', podPolicy: 'Delete'},
    quiet,
  )
  progress(`restoring ${Math.round((made.status?.sizeBytes ?? 0) / 1024)} KiB on ${to}`)
  const restored = await restoreCheckpoint(kube, {namespace, name, node: to}, quiet)
  await waitServer(bench, name)
  const after = await readHeartbeat(bench, name)
  if (after.token !== before.token) {
    throw new KubernetesError(
      'SMOKE_TEST_FAILED',
      'the restored process has another token: it was started again, not restored',
    )
  }
  if (after.count <= before.count) {
    const counts = `${after.count} is not larger than ${before.count}`
    throw new KubernetesError('SMOKE_TEST_FAILED', `the restored counter ${counts}`)
  }
  if (restored.status?.nodeName !== undefined && restored.status.nodeName !== to)
    throw new CheckpointError(
      'RESTORE_FAILED',
      `it was restored on ${restored.status.nodeName}, not on ${to}`,
    )
  return `same token, count ${before.count} on ${from}, ${after.count} on ${to}`
}
