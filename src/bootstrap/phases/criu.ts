import {NODE_STORE_DIR, RESTORE_DIR} from '../../api/names.ts'
import type {HostStep} from '../engine/types.ts'
import type {HostReader} from '../hosts/host.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import type {Renderer} from '../../base/renderer.ts'
import {isAtLeast} from '../../base/versions.ts'
import type {ClouderPhase} from './context.ts'
import {describeDrift, driftOf, filesView, type ManagedFile} from './managed-files.ts'
import {probeHosts, type Observed} from './probe.ts'

/** For root alone: memory of processes lies there. */
const FOLDERS = [RESTORE_DIR, NODE_STORE_DIR] as const
/** runc passes this file to CRIU; of its own options for TCP nothing else changes them. */
const RUNC_CONF_PATH = '/etc/criu/runc.conf'
/** Older ones cannot dump a TCP socket on kernels from 6.16 on. */
const MINIMUM_VERSION = '4.2'

/** The files that make checkpoint and restore work, by the spec; pure. */
export function criuFiles(spec: ClusterSpec, renderer: Renderer): readonly ManagedFile[] {
  return [
    {
      path: RUNC_CONF_PATH,
      content: renderer.render('criu/runc.conf', {keepTcp: spec.checkpoint.establishedTcp === 'keep'}),
      mode: 0o644,
    },
  ]
}

export interface CriuDecision {
  readonly files: readonly ManagedFile[]
  readonly removed: readonly string[]
  /** Why; empty: nothing to do. */
  readonly reasons: readonly string[]
}

/** What is to be written or removed, from what was seen; pure. */
export function decideCriu(
  enabled: boolean,
  files: readonly ManagedFile[],
  observed: Observed,
): CriuDecision {
  if (!enabled) {
    const there = new Set(observed.all('file').map((line) => line.split(' ').slice(2).join(' ')))
    const removed = files.map(({path}) => path).filter((path) => there.has(path))
    return {files: [], removed, reasons: removed.map((path) => `${path} exists, but checkpointing is off`)}
  }
  const drift = driftOf(files, observed)
  const folders = observed.all('folder')
  return {
    files: drift.map(({file}) => file),
    removed: [],
    reasons: [
      ...describeDrift(drift),
      ...FOLDERS.filter((folder) => !folders.includes(`700 ${folder}`)).map(
        (folder) => `${folder} is absent or open to others than root`,
      ),
      ...criuReasons(observed.one('version'), observed.one('check')),
    ],
  }
}

function criuReasons(version: string | undefined, check: string | undefined): readonly string[] {
  if (version === undefined) return ['criu absent']
  if (version === '') return ['criu does not start']
  if (!isAtLeast(version, MINIMUM_VERSION))
    return [`criu is ${version}, ${MINIMUM_VERSION} or newer is required`]
  return check === 'ok' ? [] : [`criu check fails: ${check ?? 'no output'}`]
}

function stepFor(
  host: HostReader,
  enabled: boolean,
  decision: CriuDecision,
  renderer: Renderer,
): readonly HostStep[] {
  if (decision.reasons.length === 0) return []
  const text = renderer.render('criu/apply.sh', {
    files: filesView(decision.files),
    removed: decision.removed,
    folders: enabled ? FOLDERS : [],
    check: enabled,
    minimum: MINIMUM_VERSION,
  })
  return [
    {
      summary: enabled ? 'set up CRIU, run criu check' : "remove CRIU's configuration",
      reason: decision.reasons.join('; '),
      on: host,
      run: async (changeable, {signal}) => {
        await changeable.runScript({name: 'criu/apply.sh', text}, {signal})
      },
    },
  ]
}

/** CRIU works on the host, and what is restored has its folders. */
export const criuPhase: ClouderPhase = {
  id: 'criu',
  title: 'Setting up checkpoint and restore',
  async plan({hosts, spec, renderer}, signal) {
    const {enabled} = spec.checkpoint
    const files = criuFiles(spec, renderer)
    const text = renderer.render('criu/probe.sh', {
      paths: files.map(({path}) => path),
      folders: FOLDERS,
    })
    const found = await probeHosts(
      'criu',
      hosts,
      () => ({name: 'criu/probe.sh', text}),
      (observed) => observed,
      signal,
    )
    return found.flatMap(({host, observed}) =>
      stepFor(host, enabled, decideCriu(enabled, files, observed), renderer),
    )
  },
}
