import {interruption} from '../engine/failures.ts'
import {fanOut} from '../engine/fan-out.ts'
import {HostsFailedError} from '../../base/errors.ts'
import {HostCommandError} from '../errors.ts'
import type {HostReader, Script} from '../hosts/host.ts'

/** What a probe script printed: lines `key=value`; a key may come more than once. */
export interface Observed {
  /** First value of the key. */
  one(key: string): string | undefined
  all(key: string): readonly string[]
}

export interface ObservedHost<T> {
  readonly host: HostReader
  readonly observed: T
}

/** Reads `key=value` lines; lines without `=` are skipped. */
export function parseObserved(text: string): Observed {
  const values = new Map<string, string[]>()
  for (const line of text.split('\n')) {
    const at = line.indexOf('=')
    if (at < 1) continue
    const key = line.slice(0, at)
    const list = values.get(key)
    if (list) list.push(line.slice(at + 1))
    else values.set(key, [line.slice(at + 1)])
  }
  return {one: (key) => values.get(key)?.[0], all: (key) => values.get(key) ?? []}
}

/** What a probe script printed, in one round trip. Throws HostCommandError when the probe itself breaks. */
export async function probeOutput(host: HostReader, script: Script, signal: AbortSignal): Promise<string> {
  const result = await host.queryScript(script, {signal})
  if (result.exitCode !== 0) {
    throw new HostCommandError(
      'HOST_COMMAND_FAILED',
      `${script.name} on ${host.name} exited with code ${result.exitCode}`,
      {
        host: host.name,
        command: `bash -s < ${script.name}`,
        exitCode: result.exitCode,
        signal: undefined,
        stdout: result.stdout,
        stderr: result.stderr,
      },
    )
  }
  return result.stdout
}

/** One read-only round trip to a host. Throws HostCommandError when the probe itself breaks. */
export async function probeHost(host: HostReader, script: Script, signal: AbortSignal): Promise<Observed> {
  return parseObserved(await probeOutput(host, script, signal))
}

/** Probes read little and wait a lot; more at once only queues on the machine that runs clouder. */
const PROBES_AT_ONCE = 64

/** Reads hosts in parallel, in the order given. Throws HostsFailedError with every host that could not be read. */
export async function observeHosts<T>(
  phase: string,
  hosts: readonly HostReader[],
  observe: (host: HostReader) => Promise<T>,
  signal: AbortSignal,
): Promise<readonly ObservedHost<T>[]> {
  const outcomes = await fanOut(hosts, PROBES_AT_ONCE, observe, signal)
  if (signal.aborted) throw interruption(signal)
  const failures = outcomes.flatMap((outcome) =>
    'error' in outcome ? [{host: outcome.item.name, phase, step: undefined, error: outcome.error}] : [],
  )
  if (failures.length > 0) throw new HostsFailedError(phase, failures)
  return outcomes.flatMap((outcome) =>
    'value' in outcome ? [{host: outcome.item, observed: outcome.value}] : [],
  )
}

/** Probes hosts in parallel with one script each. Throws HostsFailedError. */
export async function probeHosts<T>(
  phase: string,
  hosts: readonly HostReader[],
  script: (host: HostReader) => Script,
  read: (observed: Observed) => T,
  signal: AbortSignal,
): Promise<readonly ObservedHost<T>[]> {
  return observeHosts(phase, hosts, async (host) => read(await probeHost(host, script(host), signal)), signal)
}
