import type {HostStep} from '../engine/types.ts'
import type {HostReader} from '../hosts/host.ts'
import type {KubeReader} from '../kubernetes/types.ts'
import {firstControlPlane, type ClouderPhase, type PhaseContext} from './context.ts'
import {
  fileReason,
  filesView,
  initFile,
  KUBEADM_CONFIG_PATH,
  KUBELET_PATCH_PATH,
  patchFile,
} from './kubeadm-files.ts'
import {proxyVariables} from './proxy.ts'
import {
  CERTIFICATE_PATHS,
  KUBECONFIG_PATHS,
  MANIFEST_PATHS,
  probeKubeadm,
  type KubeadmState,
} from './kubeadm-probe.ts'

const ADMIN_CONF = '/etc/kubernetes/admin.conf'
const KUBELET_CONFIG = '/var/lib/kubelet/config.yaml'
const READY_TIMEOUT_SECONDS = 240

const PROBED = [...CERTIFICATE_PATHS, ...KUBECONFIG_PATHS, ...MANIFEST_PATHS, KUBELET_CONFIG]

/** What the API server holds of kubeadm's making; all false while there is none. */
interface UploadedState {
  readonly configuration: boolean
  readonly marked: boolean
  readonly tokensAllowed: boolean
  readonly addons: readonly string[]
}

/**
 * The first control plane runs. kubeadm is driven phase by phase, each only when its result is absent, so that a
 * run killed anywhere continues; nothing is ever reset (kubeadm #2353).
 */
export const kubeadmInitPhase: ClouderPhase = {
  id: 'kubeadm-init',
  title: 'Initialise the first control plane',

  async plan(context, signal) {
    const host = await firstControlPlane(context, signal)
    if (host === undefined) return []
    const state = await probeKubeadm(
      host,
      context.renderer,
      PROBED,
      [KUBEADM_CONFIG_PATH, KUBELET_PATCH_PATH],
      signal,
    )
    const kube = await context.kube()
    const uploaded = await readUploaded(kube, host)
    const apiAnswers = kube !== undefined || (await isReady(host, state, signal))
    return planInit(context, host, state, uploaded, apiAnswers)
  },

  async diagnose(context, {host}) {
    if (host === undefined) return ''
    const script = {name: 'kubeadm/diagnose.sh', text: context.renderer.render('kubeadm/diagnose.sh', {})}
    return (await host.queryScript(script)).stdout
  },
}

/**
 * Whether the API server is ready that lets nobody read yet: kubeadm gives its administrator that right with the first
 * phase that changes the cluster, not with the kubeconfig.
 */
async function isReady(host: HostReader, state: KubeadmState, signal: AbortSignal): Promise<boolean> {
  if (!state.paths.has(ADMIN_CONF)) return false
  const words = ['--server', 'https://127.0.0.1:6443', '--request-timeout', '5s', 'get', '--raw', '/readyz']
  const {exitCode} = await host.query(['kubectl', '--kubeconfig', ADMIN_CONF, ...words], {signal})
  return exitCode === 0
}

async function readUploaded(kube: KubeReader | undefined, host: HostReader): Promise<UploadedState> {
  if (kube === undefined) return {configuration: false, marked: false, tokensAllowed: false, addons: []}
  const system = {apiVersion: 'v1', kind: 'ConfigMap', namespace: 'kube-system'}
  const [kubeadmConfig, kubeletConfig, clusterInfo, node, proxy, proxyConfig, dns, dnsConfig] =
    await Promise.all([
      kube.get({...system, name: 'kubeadm-config'}),
      kube.get({...system, name: 'kubelet-config'}),
      kube.get({...system, namespace: 'kube-public', name: 'cluster-info'}),
      kube.get({apiVersion: 'v1', kind: 'Node', name: host.machine.name}),
      kube.get({apiVersion: 'apps/v1', kind: 'DaemonSet', namespace: 'kube-system', name: 'kube-proxy'}),
      kube.get({...system, name: 'kube-proxy'}),
      kube.get({apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'kube-system', name: 'coredns'}),
      kube.get({...system, name: 'coredns'}),
    ])
  return {
    configuration: kubeadmConfig !== undefined && kubeletConfig !== undefined,
    marked: node?.metadata.labels?.['node-role.kubernetes.io/control-plane'] !== undefined,
    tokensAllowed: clusterInfo !== undefined,
    addons: [
      ...(proxy === undefined || proxyConfig === undefined ? [] : ['kube-proxy']),
      ...(dns === undefined || dnsConfig === undefined ? [] : ['coredns']),
    ],
  }
}

/** The decision, a function of what is wanted and what was seen. */
export function planInit(
  context: PhaseContext,
  host: HostReader,
  state: KubeadmState,
  uploaded: UploadedState,
  apiAnswers: boolean,
): HostStep[] {
  const steps: HostStep[] = []
  const add = (summary: string, reason: string | undefined, run: HostStep['run']): void => {
    if (reason !== undefined) steps.push({summary, reason, on: host, run})
  }
  const kubeadm = (summary: string, phases: readonly string[], reason: string | undefined): void =>
    add(summary, reason, runPhase(context, phases))
  const absent = (paths: readonly string[]): string | undefined => {
    const missing = paths.filter((path) => !state.paths.has(path))
    if (missing.length === 0) return undefined
    return missing.length === paths.length ? 'none is there' : `absent: ${missing.join(', ')}`
  }

  const files = [initFile(context, host), patchFile(host)]
  const initialised = uploaded.configuration
  const changed = files.filter((file) => fileReason(file, state) !== undefined)
  if (!initialised || files.some((file) => fileReason(file, state) === 'is absent')) {
    add(
      `write ${changed.map(({path}) => path).join(', ')}`,
      changed.length === 0
        ? undefined
        : changed.map((file) => `${file.path} ${fileReason(file, state)}`).join(', '),
      async (target, {signal}) => {
        const text = context.renderer.render('kubeadm/write-config.sh', filesView(changed))
        await target.runScript({name: 'kubeadm/write-config.sh', text}, {signal})
      },
    )
  } else if (changed.length > 0) {
    context.note(
      'the spec asks for kubeadm settings that differ from those this cluster was initialised with; a running cluster keeps its own',
      host.name,
    )
  }

  kubeadm('make the certificates', ['certs all'], absent(CERTIFICATE_PATHS))
  kubeadm('make the kubeconfigs of the control plane', ['kubeconfig all'], absent(KUBECONFIG_PATHS))
  kubeadm(
    'write the manifests of etcd and the control plane',
    ['etcd local', 'control-plane all'],
    absent(MANIFEST_PATHS),
  )
  if (!state.paths.has(KUBELET_CONFIG)) {
    kubeadm('configure and start the kubelet', ['kubelet-start'], `${KUBELET_CONFIG} is absent`)
  } else {
    add(
      'start the kubelet',
      state.kubeletActive ? undefined : 'it is not running',
      async (target, {signal}) => {
        await target.exec(['systemctl', 'start', 'kubelet'], {signal})
      },
    )
  }
  add(
    'wait for the API server',
    apiAnswers ? undefined : '/readyz does not answer',
    async (target, {signal}) => {
      const text = context.renderer.render('kubeadm/wait-ready.sh', {
        timeoutSeconds: READY_TIMEOUT_SECONDS,
        address: host.machine.privateAddress,
      })
      await target.runScript(
        {name: 'kubeadm/wait-ready.sh', text},
        {signal, timeoutMs: (READY_TIMEOUT_SECONDS + 20) * 1000},
      )
    },
  )
  kubeadm(
    'upload the configuration',
    ['upload-config all'],
    uploaded.configuration ? undefined : 'kubeadm-config or kubelet-config is absent',
  )
  kubeadm(
    'mark the node as control plane',
    ['mark-control-plane'],
    uploaded.marked ? undefined : 'the node has no control-plane label',
  )
  kubeadm(
    'let machines join by token',
    ['bootstrap-token --skip-token-print'],
    uploaded.tokensAllowed ? undefined : 'kube-public/cluster-info is absent',
  )
  kubeadm(
    'let the kubelet rotate its certificate',
    ['kubelet-finalize all'],
    state.rotating ? undefined : 'kubelet.conf holds a fixed certificate',
  )
  const wanted = ['kube-proxy', 'coredns'].filter((name) => !uploaded.addons.includes(name))
  kubeadm(
    `install ${wanted.join(' and ')}`,
    wanted.map((name) => `addon ${name}`),
    wanted.length === 0 ? undefined : `${wanted.join(', ')} ${wanted.length === 1 ? 'is' : 'are'} absent`,
  )
  return steps
}

function runPhase(context: PhaseContext, phases: readonly string[]): HostStep['run'] {
  return async (host, stepContext) => {
    const text = context.renderer.render('kubeadm/phase.sh', {
      phases: [...phases],
      config: KUBEADM_CONFIG_PATH,
      proxy: proxyVariables(context),
    })
    const onLine = (line: string): void => {
      if (line.startsWith('[')) stepContext.progress(line)
    }
    await host.runScript(
      {name: `kubeadm init phase ${phases.join(', ')}`, text},
      {
        signal: stepContext.signal,
        onLine,
      },
    )
  }
}
