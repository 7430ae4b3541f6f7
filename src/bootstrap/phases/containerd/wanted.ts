import {CHECKPOINT_IMAGES_LABEL, DUMP_DIR, RESTORE_RUNTIME} from '../../../api/names.ts'
import type {Bundle} from '../../../bundle/types.ts'
import {BundleError} from '../../../bundle/errors.ts'
import type {HostFacts, HostReader} from '../../hosts/host.ts'
import type {ClusterSpec} from '../../../spec/cluster-spec.ts'
import type {Renderer} from '../../../base/renderer.ts'
import type {ManagedFile} from '../managed-files.ts'
import {RESTORE_HANDLER} from '../node-store.ts'
import type {WantedSetting} from './dump.ts'

export const CONFIG_PATH = '/etc/containerd/config.toml'
export const UNIT_PATH = '/etc/systemd/system/containerd.service'
export const CERTS_DIR = '/etc/containerd/certs.d'

const ROOT = '/var/lib/containerd'
const IMAGES = 'plugins.io.containerd.cri.v1.images'
const RUNTIME = 'plugins.io.containerd.cri.v1.runtime'

export interface WantedContainerd {
  /** Unit and configuration: a change needs a restart. */
  readonly daemonFiles: readonly ManagedFile[]
  /** Registry mirrors: read anew for each pull. */
  readonly mirrorFiles: readonly ManagedFile[]
  readonly settings: readonly WantedSetting[]
}

/** A container cannot lower a score that root of the machine around it set. */
export const cannotLowerOomScore = (facts: HostFacts): boolean => facts.container && !facts.capSysResource

function sandboxImage(bundle: Bundle): string {
  const pause = bundle.lock.images.find(({name}) => name === 'pause')
  if (pause) return pause.reference
  throw new BundleError('BUNDLE_INVALID', `the bundle ${bundle.dir} has no pause image`, {
    suggestions: [`clouder bundle build --kubernetes ${bundle.lock.kubernetes}`],
  })
}

/** Docker Hub answers under another name than its images have. */
const upstreamOf = (registry: string): string =>
  registry === 'docker.io' ? 'https://registry-1.docker.io' : `https://${registry}`

/** Files of containerd for a host, and what it must show when it has read them; `proxy` as `NAME=value`; pure. */
export function wantedContainerd(
  spec: ClusterSpec,
  {facts, machine}: Pick<HostReader, 'facts' | 'machine'>,
  bundle: Bundle,
  renderer: Renderer,
  proxy: readonly string[] = [],
): WantedContainerd {
  const checkpoint = spec.checkpoint.enabled
  const view = {
    root: ROOT,
    sandboxImage: sandboxImage(bundle),
    certsDir: CERTS_DIR,
    checkpoint,
    dumpDir: DUMP_DIR,
    // It restores whatever image says that it is a checkpoint, so only where pods are let in for that.
    restoreViaCreate:
      checkpoint &&
      spec.checkpoint.restore === 'trusted-images' &&
      machine.labels[CHECKPOINT_IMAGES_LABEL] === 'true',
    restrictOomScoreAdj: cannotLowerOomScore(facts),
    systemdCgroup: facts.cgroupVersion === 2,
    restoreRuntime: RESTORE_RUNTIME,
    restoreBinary: RESTORE_HANDLER,
  }
  const options = (runtime: string): string => `${RUNTIME}.containerd.runtimes.${runtime}.options`
  return {
    daemonFiles: [
      {path: CONFIG_PATH, content: renderer.render('containerd/config.toml', view), mode: 0o644},
      {
        path: UNIT_PATH,
        content: renderer.render('containerd/containerd.service', {
          lowerOomScore: !view.restrictOomScoreAdj,
          proxy,
        }),
        mode: 0o644,
      },
    ],
    mirrorFiles: spec.containerd.registryMirrors.map(({registry, endpoints}) => ({
      path: `${CERTS_DIR}/${registry}/hosts.toml`,
      content: renderer.render('containerd/hosts.toml', {server: upstreamOf(registry), endpoints}),
      mode: 0o644,
    })),
    settings: [
      {section: '', key: 'root', value: ROOT},
      {section: `${IMAGES}.pinned_images`, key: 'sandbox', value: view.sandboxImage},
      {section: `${IMAGES}.registry`, key: 'config_path', value: CERTS_DIR},
      {section: RUNTIME, key: 'enable_criu', value: checkpoint},
      {section: RUNTIME, key: 'enable_experimental_restore_via_create', value: view.restoreViaCreate},
      {section: RUNTIME, key: 'restrict_oom_score_adj', value: view.restrictOomScoreAdj},
      {section: options('runc'), key: 'SystemdCgroup', value: view.systemdCgroup},
      ...(checkpoint
        ? [
            {section: '', key: 'temp', value: DUMP_DIR},
            {section: options(RESTORE_RUNTIME), key: 'BinaryName', value: RESTORE_HANDLER},
            {section: options(RESTORE_RUNTIME), key: 'SystemdCgroup', value: view.systemdCgroup},
          ]
        : []),
    ],
  }
}
