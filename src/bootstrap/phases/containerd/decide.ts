import {describeDrift, driftOf, type ManagedFile} from '../managed-files.ts'
import type {Observed} from '../probe.ts'
import {describeMismatch, mismatches, parseDump} from './dump.ts'
import {UNIT_PATH, type WantedContainerd} from './wanted.ts'

export interface ContainerdDecision {
  readonly files: readonly ManagedFile[]
  /** Mirror files of ours that the spec no longer names. */
  readonly removed: readonly string[]
  readonly restart: boolean
  /** Why; empty: nothing to do. */
  readonly reasons: readonly string[]
}

/** What is to be written and whether containerd has to start anew, from what was seen; pure. */
export function decideContainerd(wanted: WantedContainerd, observed: Observed): ContainerdDecision {
  const daemonDrift = driftOf(wanted.daemonFiles, observed)
  const mirrorDrift = driftOf(wanted.mirrorFiles, observed)
  const kept = new Set(wanted.mirrorFiles.map(({path}) => path))
  const removed = observed.all('mirror').filter((path) => !kept.has(path))
  const restartReasons = [...describeDrift(daemonDrift), ...runningReasons(wanted, observed)]
  return {
    files: [...daemonDrift, ...mirrorDrift].map(({file}) => file),
    removed,
    restart: restartReasons.length > 0,
    reasons: [
      ...restartReasons,
      ...describeDrift(mirrorDrift),
      ...removed.map((path) => `${path} belongs to a mirror that is no longer in the spec`),
    ],
  }
}

function runningReasons(wanted: WantedContainerd, observed: Observed): readonly string[] {
  const state = observed.one('ActiveState') ?? 'unknown'
  if (state !== 'active') return [`containerd.service is ${state}`]
  const reasons: string[] = []
  const running = observed.one('running')
  // The kernel adds a word to the name of a program whose file is gone.
  if (running !== observed.one('binary'))
    reasons.push(`${running ?? 'nothing'} runs instead of /usr/local/bin/containerd`)
  if (observed.one('UnitFileState') !== 'enabled') reasons.push('containerd.service does not start at boot')
  const unit = observed.one('FragmentPath')
  if (unit !== UNIT_PATH) reasons.push(`containerd.service runs from ${unit ?? 'no unit file'}`)
  if (observed.one('NeedDaemonReload') === 'yes') reasons.push('the unit changed after systemd read it')
  for (const path of observed.all('newer')) reasons.push(`${path} changed after containerd started`)
  // While a file differs or the program is gone the dump does too; that is the reason.
  const dump = observed.all('dump')
  if (driftOf(wanted.daemonFiles, observed).length === 0 && dump.length > 0)
    reasons.push(...mismatches(wanted.settings, parseDump(dump.join('\n'))).map(describeMismatch))
  return reasons
}
