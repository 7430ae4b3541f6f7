import {ClouderError, TimeoutError} from '../../base/errors.ts'
import type {CheckpointFinding} from './finding.ts'
import type {CheckpointNodes} from './cluster.ts'
import {timeName} from './objects.ts'
import {roundTrip} from './round-trip.ts'
import {smokeNamespace} from './smoke-pods.ts'
import type {Tools} from '../session/types.ts'

/** Checkpoints and restores a process of our own, in a namespace of its own, which is gone afterwards. */
export async function probeRoundTrip(
  {kube, session}: CheckpointNodes,
  nodes: readonly [string, string],
  tools: Pick<Tools, 'now' | 'report' | 'signal'>,
): Promise<CheckpointFinding | {readonly said: string}> {
  const namespace = `clouder-doctor-${timeName(tools.now())}`
  const {report, signal, now} = tools
  const [task, startedMs] = ['probe', now()]
  const [from, to] = nodes
  report({type: 'task-started', task, title: `checkpoint on ${from}, restore on ${to}`})
  await kube.apply(smokeNamespace(namespace), signal)
  try {
    const bench = {kube, session, namespace, nodes, signal}
    const said = await roundTrip(bench, tools, (text) => report({type: 'task-progress', task, text}))
    report({type: 'task-done', task, durationMs: now() - startedMs, text: said})
    return {said}
  } catch (error) {
    signal.throwIfAborted()
    if (!(error instanceof ClouderError)) throw error
    report({type: 'task-failed', task, durationMs: now() - startedMs, message: error.message})
    const code = error instanceof TimeoutError ? 'TIMED_OUT' : error.code
    return {
      where: from === to ? from : `${from} to ${to}`,
      check: 'RoundTrip',
      weight: 'blocks',
      problem: `${code}: ${error.message}`,
      fix: error.suggestions[0] ?? `docs/errors.md#${code.toLowerCase()}`,
    }
  } finally {
    await kube.delete({apiVersion: 'v1', kind: 'Namespace', name: namespace})
  }
}
