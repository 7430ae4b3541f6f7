import {containerName} from '../../src/infrastructure/providers/local-decision.ts'
import type {CliEvent, CliResult} from './cli.ts'
import type {E2eCluster} from './e2e-cluster.ts'
import {etcdIdentity} from './etcd-identity.ts'

/** Something has just been completed: a step, or long work that is not looking only. */
const isCompletion = (event: CliEvent): boolean =>
  event.type === 'step-done' || (event.type === 'task-done' && event['task'] !== 'connect')

const isStart = (event: CliEvent): boolean =>
  event.type === 'step-started' || (event.type === 'task-started' && event['task'] !== 'connect')

/** What a completion is known by between runs. */
const nameOf = ({phase, host, step, task}: CliEvent): string =>
  `${phase ?? String(task)} ${host ?? 'cluster'} ${step ?? ''}`

/** An init that is killed right after the n-th thing it completed, counted from 1; it may end before. */
export function initKilledAfter(cluster: E2eCluster, n: number): Promise<CliResult> {
  let completed = 0
  return cluster.init({
    onEvent: (event, child) => {
      if (!isCompletion(event)) return
      completed += 1
      if (completed === n) child.kill('SIGKILL')
    },
  })
}

/**
 * An init that is killed right after it completed so many things that are not in `known`, where they are put then. What
 * must be done again in each run would end every run at the same place.
 */
export function initKilledAfterNews(
  cluster: E2eCluster,
  known: Set<string>,
  count: number,
): Promise<CliResult> {
  let completed = 0
  return cluster.init({
    onEvent: (event, child) => {
      if (completed === count || !isCompletion(event) || known.has(nameOf(event))) return
      known.add(nameOf(event))
      completed += 1
      if (completed === count) child.kill('SIGKILL')
    },
  })
}

/**
 * An init beside which a second one is started with its first phase; it is killed at the first thing that it completes
 * once the second has ended. Gives both.
 */
export async function initBesideAnother(
  cluster: E2eCluster,
): Promise<{readonly first: CliResult; readonly second: CliResult}> {
  let second: Promise<CliResult> | undefined
  let secondEnded = false
  const first = await cluster.init({
    onEvent: (event, child) => {
      if (event.type === 'phase-started')
        second ??= cluster.init().finally(() => {
          secondEnded = true
        })
      if (secondEnded && isCompletion(event)) child.kill('SIGKILL')
    },
  })
  if (second === undefined) throw new Error(`no phase began: ${first.stderr}`)
  return {first, second: await second}
}

/** An init that gets a signal some time after the n-th thing it began, counted from 1; it may end before. */
export async function initSignalled(
  cluster: E2eCluster,
  {n, afterMs, signal}: {readonly n: number; readonly afterMs: number; readonly signal: NodeJS.Signals},
): Promise<CliResult> {
  let begun = 0
  let timer: NodeJS.Timeout | undefined
  try {
    return await cluster.init({
      onEvent: (event, child) => {
        if (!isStart(event)) return
        begun += 1
        if (begun === n) timer = setTimeout(() => child.kill(signal), afterMs)
      },
    })
  } finally {
    clearTimeout(timer)
  }
}

/** Park and Miller's generator: the same moments for the same seed; from 0 to 1. */
export function randomOf(seed: number): () => number {
  let state = seed * 7919
  return () => {
    state = (state * 48271) % 2147483647
    return state / 2147483647
  }
}

/** What of a cluster must never change once it is there: ids, keys, certificates and etcd; absent what is not there yet. */
export async function identityOf(cluster: E2eCluster): Promise<ReadonlyMap<string, string>> {
  const identity = new Map<string, string>()
  for (const machine of cluster.machines) {
    const container = await cluster.engine.findContainer(containerName(cluster.name, machine))
    if (container?.status !== 'running') continue
    identity.set(`${machine} container`, container.id)
    const lines = (await cluster.read(machine, IDENTITY)).split('\n').filter((line) => line !== '')
    for (const line of lines) {
      const [value = '', path = ''] = line.split('  ')
      identity.set(`${machine} ${path}`, value)
    }
  }
  if (identity.has('cp-1 container')) {
    const etcd = await etcdIdentity(cluster)
    if (etcd !== undefined) identity.set('etcd', etcd)
  }
  return identity
}

const IDENTITY = `sha256sum /etc/machine-id /etc/ssh/ssh_host_*_key.pub /etc/kubernetes/pki/*.crt \\
  /etc/kubernetes/pki/sa.pub /etc/kubernetes/pki/etcd/*.crt 2>/dev/null || true`

/** Holds the identity of a cluster to what it was when each part of it was first seen. */
export class IdentityWatch {
  readonly #first = new Map<string, string>()

  /** What is another than when it was first seen, or gone. */
  async changesOf(cluster: E2eCluster): Promise<readonly string[]> {
    const now = await identityOf(cluster)
    const changes = [...this.#first].flatMap(([what, value]) => {
      const current = now.get(what)
      // etcd may be starting.
      if (current === value || (what === 'etcd' && current === undefined)) return []
      return [`${what} was ${value}, is ${current ?? 'gone'}`]
    })
    for (const [what, value] of now) if (!this.#first.has(what)) this.#first.set(what, value)
    return changes
  }

  has(what: string): boolean {
    return this.#first.has(what)
  }
}
