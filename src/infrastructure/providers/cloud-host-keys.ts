import {readFile} from 'node:fs/promises'
import {join} from 'node:path'
import {z} from 'zod'
import {isMissing} from '../../base/system-errors.ts'
import type {Cloud} from '../clouds/cloud.ts'
import {writeDurably} from '../../base/durable-files.ts'
import {ConnectionError, errorMessage, isTransient, TimeoutError} from '../../base/errors.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import {waitFor} from '../../base/waiting.ts'
import type {ProviderContext} from './provider.ts'

const keysSchema = z.record(z.string(), z.array(z.string()))
type KeysById = ReadonlyMap<string, readonly string[]>

export interface HostKeyOptions {
  /** The cluster's folder of Terraform: keys once read are kept there, for consoles forget. */
  readonly dir: string
  readonly cloud: () => Promise<Cloud>
  readonly timeoutMs: number
  readonly intervalMs: number
}

/** Host keys that were read before. */
export async function knownHostKeys(dir: string): Promise<KeysById> {
  try {
    return new Map(Object.entries(keysSchema.parse(JSON.parse(await readFile(keysPath(dir), 'utf8')))))
  } catch (error) {
    if (isMissing(error)) return new Map()
    throw error
  }
}

/**
 * The host keys of machines that boot, from their consoles through the cloud's API, so that the first connection meets
 * a key that is known. Where the consoles stay silent, `strict` refuses, and `first-use` says so and goes on.
 */
export async function readHostKeys(
  cloudIds: readonly string[],
  spec: ClusterSpec,
  context: ProviderContext,
  options: HostKeyOptions,
): Promise<KeysById> {
  const known = new Map(await knownHostKeys(options.dir))
  const open = cloudIds.filter((id) => !known.has(id))
  if (open.length === 0) return known
  const {report} = context
  const task = 'host-keys'
  const startedMs = performance.now()
  report({
    type: 'task-started',
    task,
    title: `Reading the host keys of ${open.length} machines from their consoles`,
  })
  const durationMs = () => Math.round(performance.now() - startedMs)
  try {
    const missing = await pollKeys(open, known, context, options)
    // A console that stayed silent for so long is not asked again, where that may pass.
    if (spec.ssh.hostKeys === 'first-use') for (const id of missing) known.set(id, [])
    await writeKeys(options.dir, new Map([...known].filter(([id]) => cloudIds.includes(id))))
    if (missing.length > 0) reportMissingKeys(missing, spec, context)
    report({type: 'task-done', task, durationMs: durationMs(), text: `${open.length - missing.length} read`})
    return known
  } catch (error) {
    const message = errorMessage(error)
    report({type: 'task-failed', task, durationMs: durationMs(), message})
    throw error
  }
}

/** Adds what is found to `known`; gives those that told nothing in time. */
async function pollKeys(
  open: readonly string[],
  known: Map<string, readonly string[]>,
  {signal, report}: ProviderContext,
  {cloud, timeoutMs, intervalMs}: HostKeyOptions,
): Promise<readonly string[]> {
  const opened = await cloud()
  const missing = () => open.filter((id) => !known.has(id))
  try {
    await waitFor({
      what: 'the host keys on the consoles',
      check: async (checkSignal) => {
        for (const [id, keys] of await opened.hostKeys(missing(), checkSignal)) known.set(id, keys)
        const rest = missing().length
        return rest === 0 ? {value: true, seen: 'all'} : {seen: `${open.length - rest} of ${open.length}`}
      },
      timeoutMs,
      intervalMs,
      signal,
      onSeen: (text) => report({type: 'task-progress', task: 'host-keys', text}),
    })
  } catch (error) {
    if (!(error instanceof TimeoutError)) throw error
    // The consoles were not silent, they were not asked.
    if (isTransient(error.cause)) throw error.cause
  }
  return missing()
}

function reportMissingKeys(missing: readonly string[], spec: ClusterSpec, {report}: ProviderContext): void {
  const [host = ''] = missing
  const text = `no host key of ${missing.join(', ')} could be read from the console`
  if (spec.ssh.hostKeys === 'strict')
    throw new ConnectionError('HOST_KEY_UNKNOWN', text, {
      host,
      address: host,
      suggestions: [
        'check in the console of the machine whether it booted and cloud-init ran, then run the same command again',
        'to pin the key of the first connection: spec.ssh.hostKeys: first-use',
      ],
    })
  report({type: 'note', level: 'warning', text: `${text}; the key of the first connection is pinned`})
}

async function writeKeys(dir: string, keys: KeysById): Promise<void> {
  await writeDurably(keysPath(dir), `${JSON.stringify(Object.fromEntries(keys), undefined, 2)}\n`)
}

const keysPath = (dir: string) => join(dir, 'host-keys.json')
