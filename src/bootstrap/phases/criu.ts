import {MEMORY_DIR, NODE_STORE_DIR, RESTORE_DIR} from '../../api/names.ts'
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
/** Of a mount unit systemd wants the path in the name. */
const MEMORY_UNIT = 'var-lib-clouder-memory.mount'
const MEMORY_UNIT_PATH = `/etc/systemd/system/${MEMORY_UNIT}`
/** Older ones cannot dump a TCP socket on kernels from 6.16 on. */
const MINIMUM_VERSION = '4.2'

/** All that this phase writes, or has written. */
const PATHS = [RUNC_CONF_PATH, MEMORY_UNIT_PATH] as const

/** The files that make checkpoint and restore work, by the spec; pure. */
export function criuFiles(spec: ClusterSpec, renderer: Renderer): readonly ManagedFile[] {
  const percent = spec.checkpoint.dumpMemoryPercent
  return [
    {
      path: RUNC_CONF_PATH,
      content: renderer.render('criu/runc.conf', {keepTcp: spec.checkpoint.establishedTcp === 'keep'}),
      mode: 0o644,
    },
    ...(percent === 0
      ? []
      : [
          {
            path: MEMORY_UNIT_PATH,
            content: renderer.render('criu/memory.mount', {folder: MEMORY_DIR, percent}),
            mode: 0o644,
          },
        ]),
  ]
}

export interface CriuDecision {
  readonly files: readonly ManagedFile[]
  readonly removed: readonly string[]
  /** Whether there is to be a file system of memory for dumps. */
  readonly mountsMemory: boolean
  /** Why; empty: nothing to do. */
  readonly reasons: readonly string[]
}

/** What is to be written or removed, from what was seen; pure. */
export function decideCriu(
  enabled: boolean,
  files: readonly ManagedFile[],
  observed: Observed,
): CriuDecision {
  const there = new Set(observed.all('file').map((line) => line.split(' ').slice(2).join(' ')))
  const wanted = new Set(enabled ? files.map(({path}) => path) : [])
  const removed = PATHS.filter((path) => there.has(path) && !wanted.has(path))
  if (!enabled)
    return {
      files: [],
      removed,
      mountsMemory: false,
      reasons: removed.map((path) => `${path} exists, but checkpointing is off`),
    }
  const drift = driftOf(files, observed)
  const folders = observed.all('folder')
  return {
    files: drift.map(({file}) => file),
    removed,
    mountsMemory: wanted.has(MEMORY_UNIT_PATH),
    reasons: [
      ...describeDrift(drift),
      ...removed.map((path) => `${path} exists, but spec.checkpoint.dumpMemoryPercent is 0`),
      ...(wanted.has(MEMORY_UNIT_PATH) ? memoryReasons(observed.one('memory')) : []),
      ...FOLDERS.filter((folder) => !folders.includes(`700 ${folder}`)).map(
        (folder) => `${folder} is absent or open to others than root`,
      ),
      ...criuReasons(observed.one('version'), observed.one('check')),
    ],
  }
}

/** One that could not be mounted is left: the machine does not allow it, and dumps go to the disk. */
function memoryReasons(state = ''): readonly string[] {
  const [enabled, active] = state.split(' ')
  if (enabled !== 'enabled') return [`${MEMORY_UNIT} is not enabled`]
  return active === 'active' || active === 'failed' ? [] : [`${MEMORY_UNIT} is not mounted`]
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
    memory: decision.mountsMemory,
    memoryUnit: MEMORY_UNIT,
    memoryUnitPath: MEMORY_UNIT_PATH,
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
      paths: PATHS,
      folders: FOLDERS,
      memoryUnit: MEMORY_UNIT,
      features: [],
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
