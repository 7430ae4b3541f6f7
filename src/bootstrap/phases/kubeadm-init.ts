import type {HostStep} from '../engine/types.ts'
import type {HostReader} from '../hosts/host.ts'
import {askReadyz} from './control-plane-ready.ts'
import {ENCRYPTION_PATH} from '../kubeadm/hardening.ts'
import {firstControlPlane, type ClouderPhase, type PhaseContext} from './context.ts'
import {CONTROL_PLANE_FILE_PATHS, controlPlaneFiles, initFile} from './kubeadm-files.ts'
import {writeFilesSteps} from './kubeadm-steps.ts'
import {proxyVariables} from './proxy.ts'
import {
  CERTIFICATE_PATHS,
  KUBEADM_CONFIG_PATH,
  KUBECONFIG_PATHS,
  MANIFEST_PATHS,
  isManaged,
  probeKubeadm,
  type KubeadmState,
} from './kubeadm-probe.ts'
import {ENCRYPTED_REF, readUploaded, type UploadedState} from './kubeadm-uploaded.ts'

const ADMIN_CONF = '/etc/kubernetes/admin.conf'
const KUBELET_CONFIG = '/var/lib/kubelet/config.yaml'
const READY_TIMEOUT_SECONDS = 240

const PROBED = [...CERTIFICATE_PATHS, ...KUBECONFIG_PATHS, ...MANIFEST_PATHS, KUBELET_CONFIG]

/**
 * The first control plane runs. kubeadm is driven phase by phase, each only when its result is absent, so that a
 * run killed anywhere continues; nothing is ever reset (kubeadm #2353).
 */
export const kubeadmInitPhase: ClouderPhase = {
  id: 'kubeadm-init',
  title: 'Initialising the first control plane',

  async plan(context, signal) {
    const host = await firstControlPlane(context, signal)
    if (host === undefined) return []
    const [state, kube, initialised] = await Promise.all([
      probeKubeadm(host, context.renderer, PROBED, CONTROL_PLANE_FILE_PATHS, signal),
      context.kube(),
      host.readFile(KUBEADM_CONFIG_PATH),
    ])
    const wanted = initFile(context, host, isManaged(state) ? initialised : undefined)
    const uploaded = await readUploaded(kube, host, wanted.content ?? '', proxyVariables(context))
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
  return state.paths.has(ADMIN_CONF) && (await askReadyz(host, signal)) === 'ready'
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
    return missing.length === paths.length ? 'none exists' : `absent: ${missing.join(', ')}`
  }

  // Those of a control plane that has its manifests are the phase before.
  if (!isManaged(state)) {
    const stage = 'encrypted'
    steps.push(
      ...writeFilesSteps(context, host, state, {files: controlPlaneFiles(context, host, {stage}), stage}),
    )
  }

  kubeadm('create the certificates', ['certs all'], absent(CERTIFICATE_PATHS))
  kubeadm('create the kubeconfigs of the control plane', ['kubeconfig all'], absent(KUBECONFIG_PATHS))
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
  add('wait for the API server', apiAnswers ? undefined : '/readyz is not ok', async (target, {signal}) => {
    const text = context.renderer.render('kubeadm/wait-ready.sh', {
      timeoutSeconds: READY_TIMEOUT_SECONDS,
      address: host.machine.privateAddress,
    })
    await target.runScript(
      {name: 'kubeadm/wait-ready.sh', text},
      {signal, timeoutMs: (READY_TIMEOUT_SECONDS + 20) * 1000},
    )
  })
  kubeadm('upload the configuration', ['upload-config all'], uploaded.configuration)
  kubeadm(
    'mark the node as control plane',
    ['mark-control-plane'],
    uploaded.marked ? undefined : 'the node has no control-plane label',
  )
  kubeadm(
    'allow machines to join by token',
    ['bootstrap-token --skip-token-print'],
    uploaded.tokensAllowed ? undefined : 'kube-public/cluster-info is absent',
  )
  kubeadm(
    'allow the kubelet to rotate its certificate',
    ['kubelet-finalize all'],
    state.rotating ? undefined : 'kubelet.conf contains a fixed certificate',
  )
  const wanted = ['kube-proxy', 'coredns'].filter((name) => !uploaded.addons.includes(name))
  kubeadm(
    `install ${wanted.join(' and ')}`,
    wanted.map((name) => `addon ${name}`),
    wanted.length === 0 ? undefined : `${wanted.join(', ')} ${wanted.length === 1 ? 'is' : 'are'} absent`,
  )
  if (!wanted.includes('kube-proxy'))
    kubeadm('install kube-proxy again', ['addon kube-proxy'], uploaded.kubeProxy)
  const key = state.encryption?.key
  add(
    'encrypt existing Secrets',
    key !== undefined && uploaded.encryptedWith === key
      ? undefined
      : 'not every Secret is encrypted with the key of this cluster',
    async (target, {signal}) => {
      const text = context.renderer.render('kubeadm/encrypt-secrets.sh', {
        encryption: ENCRYPTION_PATH,
        name: ENCRYPTED_REF.name,
        namespace: ENCRYPTED_REF.namespace,
      })
      await target.runScript({name: 'kubeadm/encrypt-secrets.sh', text}, {signal})
    },
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
