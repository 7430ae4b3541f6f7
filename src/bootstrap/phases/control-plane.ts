import {basename} from 'node:path'
import type {ClusterStep, HostStep, Step} from '../engine/types.ts'
import {KubernetesError} from '../../kubernetes/errors.ts'
import type {HostReader} from '../hosts/host.ts'
import {PATCHES_DIR} from '../kubeadm/config.ts'
import {
  controlPlanes,
  firstControlPlane,
  type ClouderPhase,
  type ClusterTools,
  type PhaseContext,
} from './context.ts'
import {
  CONTROL_PLANE_FILE_PATHS,
  controlPlaneFiles,
  initFile,
  type SecretsStage,
  type WantedFile,
} from './kubeadm-files.ts'
import {
  KUBEADM_CONFIG_PATH,
  MANIFEST_PATHS,
  probeKubeadm,
  textSha256,
  type KubeadmState,
} from './kubeadm-probe.ts'
import {writeFilesSteps} from './kubeadm-steps.ts'
import {observeHosts, probeHost} from './probe.ts'
import {proxyVariables} from './proxy.ts'

/** etcd, then the API server, start again; on a busy machine each takes most of a minute. */
const START_TIMEOUT_SECONDS = 240

interface Member {
  readonly host: HostReader
  readonly state: KubeadmState
}

/**
 * Control planes that run are as wanted: what kubeadm would write now is compared with what the kubelet runs, so that
 * neither a new setting nor one that was wrong when the cluster was made stays behind. One machine at a time.
 */
export const controlPlanePhase: ClouderPhase = {
  id: 'control-plane',
  title: 'Updating running control planes',

  async plan(context, signal) {
    const [found, first] = await Promise.all([
      observeHosts(
        'control-plane',
        controlPlanes(context),
        (host) => probeKubeadm(host, context.renderer, MANIFEST_PATHS, CONTROL_PLANE_FILE_PATHS, signal),
        signal,
      ),
      firstControlPlane(context, signal),
    ])
    const members = found
      .map(({host, observed: state}) => ({host, state}))
      .filter(({state}) => MANIFEST_PATHS.every((path) => state.paths.has(path)))
    const initialised = await first?.readFile(KUBEADM_CONFIG_PATH)
    // Half an initialisation, or one that is not clouder's: the next phase's.
    if (first === undefined || initialised === undefined || !members.some(({host}) => host === first))
      return []
    if (initFile(context, first, initialised).keeps) {
      context.note(
        'the spec has kubeadm settings that differ from those this cluster was initialised with; a running cluster keeps its own',
        first.name,
      )
    }
    return planMembers(context, members, initialised, signal)
  },

  async diagnose(context, {host}) {
    if (host === undefined) return ''
    const script = {name: 'kubeadm/diagnose.sh', text: context.renderer.render('kubeadm/diagnose.sh', {})}
    return (await host.queryScript(script)).stdout
  },
}

async function planMembers(
  context: PhaseContext,
  members: readonly Member[],
  initialised: string,
  signal: AbortSignal,
): Promise<readonly Step<ClusterTools>[]> {
  const keyHolder = members.find(({state}) => state.encryption !== undefined) ?? members[0]
  const key = keyHolder?.state.encryption?.key
  const reads = ({state}: Member): boolean =>
    state.decrypts && state.encryption?.key === key && key !== undefined
  const unready = members.length > 1 ? members.filter((member) => !reads(member)) : []
  const keyFrom = ({host, state}: Member): HostReader | undefined =>
    host === keyHolder?.host || (key !== undefined && state.encryption?.key === key)
      ? undefined
      : keyHolder?.host
  const steps: Step<ClusterTools>[] = []
  const filesOf = (host: HostReader, stage: SecretsStage): readonly WantedFile[] =>
    controlPlaneFiles(context, host, {initialised, stage})
  const differing = await observeHosts(
    'control-plane',
    members.map(({host}) => host),
    (host) => differingManifests(context, host, filesOf(host, 'encrypted'), signal),
    signal,
  )
  const differencesOf = ({host}: Member): readonly string[] =>
    differing.find((each) => each.host === host)?.observed ?? []
  const withEtcd = (member: Member): boolean => differencesOf(member).some((text) => text.startsWith('etcd '))
  // No API server writes what another one cannot read.
  for (const member of unready) {
    const {host, state} = member
    const stage = 'readable'
    steps.push(
      ...writeFilesSteps(context, host, state, {
        files: filesOf(host, stage),
        stage,
        keyFrom: keyFrom(member),
      }),
      replaceStep(context, host, 'it cannot read encrypted Secrets yet', withEtcd(member)),
      barrier(host),
    )
  }
  for (const member of members) {
    const {host} = member
    const stage = 'encrypted'
    const files = filesOf(host, stage)
    const isSecondPass = unready.includes(member)
    const state = isSecondPass ? afterFirstPass(member.state, files) : member.state
    const key = isSecondPass ? undefined : keyFrom(member)
    steps.push(...writeFilesSteps(context, host, state, {files, stage, keyFrom: key}))
    const reason = isSecondPass
      ? 'every API server can then read encrypted Secrets'
      : differencesOf(member).join('; ')
    if (reason === '') continue
    steps.push(replaceStep(context, host, reason, !isSecondPass && withEtcd(member)))
    if (members.length > 1) steps.push(barrier(host))
  }
  return steps
}

/** What a control plane has when its Secrets are readable: all files but the one that tells the order of providers. */
const afterFirstPass = (state: KubeadmState, files: readonly WantedFile[]): KubeadmState => ({
  ...state,
  encryption: {key: '', stage: 'readable'},
  digests: new Map(
    files.flatMap(({path, content}) =>
      content === undefined || path.endsWith('/kube-apiserver0+merge.yaml')
        ? []
        : [[path, textSha256(content)] as const],
    ),
  ),
})

/** `kube-apiserver differs: --profiling`, for each static pod that kubeadm would write otherwise. */
async function differingManifests(
  context: PhaseContext,
  host: HostReader,
  files: readonly WantedFile[],
  signal: AbortSignal,
): Promise<readonly string[]> {
  const text = context.renderer.render('kubeadm/manifests.sh', {
    proxy: proxyVariables(context),
    patchesDir: PATCHES_DIR,
    config: files.find(({path}) => path === KUBEADM_CONFIG_PATH)?.content ?? '',
    patches: files
      .filter(({path, content}) => path.startsWith(`${PATCHES_DIR}/`) && content !== undefined)
      .map(({path, content}) => ({name: basename(path), content})),
  })
  const observed = await probeHost(host, {name: 'kubeadm/manifests.sh', text}, signal)
  return observed.all('manifest').map((line) => {
    const [name = '', ...settings] = line.trim().split(' ')
    const told = settings.length > 4 ? [...settings.slice(0, 3), `${settings.length - 3} more`] : settings
    return `${name} differs from what kubeadm generates from the configuration${told.length === 0 ? '' : `: ${told.join(', ')}`}`
  })
}

function replaceStep(context: PhaseContext, host: HostReader, reason: string, etcd: boolean): HostStep {
  return {
    summary: `write the manifests of ${etcd ? 'etcd and ' : ''}the control plane, wait until it is ready`,
    reason,
    on: host,
    run: async (target, stepContext) => {
      const text = context.renderer.render('kubeadm/replace-manifests.sh', {
        config: KUBEADM_CONFIG_PATH,
        proxy: proxyVariables(context),
        etcd,
        timeoutSeconds: START_TIMEOUT_SECONDS,
      })
      await target.runScript(
        {name: 'kubeadm/replace-manifests.sh', text},
        {
          signal: stepContext.signal,
          timeoutMs: (START_TIMEOUT_SECONDS + 20) * 1000,
          onLine: (line) => {
            if (line.startsWith('[')) stepContext.progress(line)
          },
        },
      )
    },
  }
}

/** Steps of different hosts run side by side; one on no host parts them. */
const barrier = (host: HostReader): ClusterStep<ClusterTools> => ({
  summary: `check that the cluster is ready after ${host.name}`,
  reason: 'the next control plane is updated after it',
  run: async (tools) => {
    const answer = await (await tools.kube()).fetch('/readyz')
    if (answer.status !== 200) throw new KubernetesError('NOT_READY', `/readyz returns ${answer.status}`)
  },
})
