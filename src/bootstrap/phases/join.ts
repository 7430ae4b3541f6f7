import {z} from 'zod'
import type {ClusterStep, Step} from '../engine/types.ts'
import type {Host, HostReader} from '../hosts/host.ts'
import {KubernetesError} from '../../kubernetes/errors.ts'
import {discoveryKubeconfig, joinDocument} from '../kubeadm/config.ts'
import {AUDIT_LOG_DIR, ENCRYPTION_PATH} from '../kubeadm/hardening.ts'
import {makeBootstrapToken, makeCertificateKey, TOKEN_LABEL} from '../kubeadm/tokens.ts'
import type {KubeObject, KubeReader, ObjectRef} from '../../kubernetes/types.ts'
import {yamlForGo} from '../../kubernetes/yaml.ts'
import {
  firstControlPlane,
  isControlPlane,
  type ClouderPhase,
  type ClusterTools,
  type PhaseContext,
} from './context.ts'
import {waitForControlPlane} from './control-plane-ready.ts'
import {controlPlaneFiles, filesView, KUBELET_PATCH_PATH, patchFile} from './kubeadm-files.ts'
import {
  CERTIFICATE_PATHS,
  KUBEADM_CONFIG_PATH,
  MANIFEST_PATHS,
  probeKubeadm,
  type KubeadmState,
} from './kubeadm-probe.ts'
import {observeHosts} from './probe.ts'
import {proxyVariables} from './proxy.ts'

const KUBELET_CONF = '/etc/kubernetes/kubelet.conf'
const KUBELET_CERTIFICATE = '/var/lib/kubelet/pki/kubelet-client-current.pem'
const JOIN_LEFTOVER = '/run/clouder/join'
const UPLOADED_CERTIFICATES = {
  apiVersion: 'v1',
  kind: 'Secret',
  namespace: 'kube-system',
  name: 'kubeadm-certs',
}
const ownersSchema = z.looseObject({ownerReferences: z.array(z.looseObject({name: z.string()})).optional()})
const TOKEN_STEP = 'create a join token valid for 15 minutes'
/** What is expected of a host on which an earlier join was cut short. */
const IGNORED = [
  'FileAvailable--etc-kubernetes-kubelet.conf',
  'FileAvailable--etc-kubernetes-bootstrap-kubelet.conf',
  'FileAvailable--etc-kubernetes-pki-ca.crt',
  'DirAvailable--etc-kubernetes-manifests',
  'Port-10250',
].join(',')

/** What a join needs and shares between the hosts of one run; made by the first step, never kept. */
interface Credentials {
  readonly token: string
  readonly certificateKey: string
  readonly caPem: string
  /** For further control planes; a secret. */
  readonly controlPlane: SharedByControlPlanes | undefined
}

/** What every control plane of a cluster has the same. */
interface SharedByControlPlanes {
  /** The kubeadm configuration that the cluster runs with. */
  readonly configuration: string
  /** What Secrets are encrypted with. */
  readonly encryption: string
}

/** Every machine of the spec is a node: further control planes one at a time, workers in parallel. */
export const joinPhase: ClouderPhase = {
  id: 'join',
  title: 'Joining the other machines',

  async plan(context, signal) {
    const first = await firstControlPlane(context, signal)
    const others = context.hosts.filter((host) => host !== first)
    const [kube, joining] = await Promise.all([
      context.kube(),
      observeHosts(
        'join',
        others,
        (host) => probeKubeadm(host, context.renderer, probed(host), [KUBELET_PATCH_PATH], signal),
        signal,
      ),
    ])
    return planJoin(
      context,
      first,
      joining.map(({host, observed: state}) => ({host, state})),
      kube,
    )
  },

  async diagnose(context, {host}) {
    if (host === undefined) return ''
    const script = {name: 'kubeadm/diagnose.sh', text: context.renderer.render('kubeadm/diagnose.sh', {})}
    return (await host.queryScript(script)).stdout
  },
}

const probed = (host: HostReader): string[] => [
  KUBELET_CONF,
  KUBELET_CERTIFICATE,
  JOIN_LEFTOVER,
  '/etc/kubernetes/bootstrap-kubelet.conf',
  ...(isControlPlane(host) ? [...MANIFEST_PATHS, ...CERTIFICATE_PATHS] : []),
]

async function planJoin(
  context: PhaseContext,
  first: HostReader | undefined,
  hosts: readonly {host: HostReader; state: KubeadmState}[],
  kube: KubeReader | undefined,
): Promise<readonly Step<ClusterTools>[]> {
  const [nodes, leftTokens] =
    kube === undefined
      ? [[], []]
      : await Promise.all([kube.list({apiVersion: 'v1', kind: 'Node'}), joinTokens(kube)])
  const names = new Set(nodes.map((node) => node.metadata.name))
  let credentials: Credentials | undefined
  const current = (): Credentials => {
    if (credentials === undefined) throw new KubernetesError('NOT_READY', 'the join token was not created')
    return credentials
  }
  const steps: Step<ClusterTools>[] = []
  const joins: Step<ClusterTools>[] = []
  for (const {host, state} of hosts) {
    const reason = joinReason(host, state, names, kube !== undefined)
    if (reason !== undefined) {
      joins.push({
        summary: `join as ${isControlPlane(host) ? 'control plane' : 'worker'}`,
        reason,
        on: host,
        run: runJoin(context, host, current),
      })
    } else if (!state.kubeletActive) {
      steps.push({
        summary: 'start the kubelet',
        reason: 'it is not running',
        on: host,
        run: async (target, {signal}) => {
          await target.exec(['systemctl', 'start', 'kubelet'], {signal})
        },
      })
    }
  }
  if (joins.length > 0) {
    const withControlPlane = hosts.some(
      ({host}) => isControlPlane(host) && joins.some((step) => step.on === host),
    )
    const make = makeCredentials(context, first, withControlPlane, (made) => (credentials = made))
    steps.push({
      summary: TOKEN_STEP,
      reason: `${joins.length} ${joins.length === 1 ? 'machine joins' : 'machines join'}`,
      run: make,
    })
    const joined = hosts.filter(({host}) => isControlPlane(host) && joins.every((step) => step.on !== host))
    steps.push(
      ...oneControlPlaneAtATime(
        joins,
        joined.map(({host}) => host.name),
      ),
    )
  }
  if (joins.length > 0 || leftTokens.length > 0) {
    const reason = joins.length > 0 ? 'the machines have joined' : 'left by an earlier run'
    steps.push({summary: 'delete the join token', reason, run: deleteTokens})
  }
  return steps
}

/**
 * Control planes first, each behind a barrier of its own, as etcd admits one learner at a time; then workers in parallel.
 * `joined`: those of an earlier run, which may have ended before they were ready.
 */
function oneControlPlaneAtATime(
  joins: readonly Step<ClusterTools>[],
  joined: readonly string[],
): Step<ClusterTools>[] {
  const workers = joins.filter((step) => step.on !== undefined && !isControlPlane(step.on))
  const planes = joins.filter((step) => step.on !== undefined && isControlPlane(step.on))
  const barrier = ({on}: Step<ClusterTools>): Step<ClusterTools>[] =>
    on === undefined ? [] : [waitForControlPlane(on.name)]
  const before = planes.length === 0 ? [] : joined.map((name) => waitForControlPlane(name))
  return [...before, ...planes.flatMap((step) => [step, ...barrier(step)]), ...workers]
}

function joinReason(
  host: HostReader,
  state: KubeadmState,
  nodes: ReadonlySet<string>,
  apiAnswers: boolean,
): string | undefined {
  const wanted = isControlPlane(host) ? [KUBELET_CONF, ...MANIFEST_PATHS] : [KUBELET_CONF]
  const absent = wanted.filter((path) => !state.paths.has(path))
  if (absent.length > 0) return `${absent.join(', ')} ${absent.length === 1 ? 'is' : 'are'} absent`
  if (!state.paths.has(KUBELET_CERTIFICATE)) return 'the kubelet has no client certificate'
  if (apiAnswers && !nodes.has(host.machine.name)) return `the cluster has no node ${host.machine.name}`
  return undefined
}

function makeCredentials(
  context: PhaseContext,
  first: HostReader | undefined,
  withControlPlane: boolean,
  keep: (credentials: Credentials) => void,
): ClusterStep<ClusterTools>['run'] {
  return async (tools, {signal}) => {
    if (first === undefined) throw new KubernetesError('NOT_READY', 'no control plane to join to')
    const caPem = await first.readFile('/etc/kubernetes/pki/ca.crt')
    if (caPem === undefined)
      throw new KubernetesError('NOT_READY', `${first.name} has no /etc/kubernetes/pki/ca.crt`)
    const made = makeBootstrapToken(tools.now())
    tools.hideSecret(made.token)
    const certificateKey = makeCertificateKey()
    tools.hideSecret(certificateKey)
    await (await tools.kube()).apply([made.secret], signal)
    if (withControlPlane) await uploadCertificates(context, tools.hostFor(first.name), certificateKey, signal)
    const controlPlane = withControlPlane ? await sharedOf(first) : undefined
    keep({token: made.token, certificateKey, caPem, controlPlane})
  }
}

async function sharedOf(first: HostReader): Promise<SharedByControlPlanes> {
  const [configuration, encryption] = await Promise.all(
    [KUBEADM_CONFIG_PATH, ENCRYPTION_PATH].map((path) => first.readFile(path)),
  )
  if (configuration === undefined || encryption === undefined)
    throw new KubernetesError('NOT_READY', `${first.name} lacks ${KUBEADM_CONFIG_PATH} or ${ENCRYPTION_PATH}`)
  return {configuration, encryption}
}

async function uploadCertificates(
  context: PhaseContext,
  host: Host,
  certificateKey: string,
  signal: AbortSignal,
): Promise<void> {
  const text = context.renderer.render('kubeadm/upload-certs.sh', {certificateKey})
  await host.runScript({name: 'kubeadm/upload-certs.sh', text}, {signal, secrets: [certificateKey]})
}

function runJoin(context: PhaseContext, reader: HostReader, credentials: () => Credentials) {
  return async (
    host: Host,
    {signal, progress}: {signal: AbortSignal; progress: (text: string) => void},
  ): Promise<void> => {
    const {token, certificateKey, caPem, controlPlane} = credentials()
    const isPlane = isControlPlane(reader)
    // Its API server starts with them while kubeadm still runs; it must write no Secret that others cannot read.
    if (isPlane && controlPlane !== undefined)
      await host.writeFile(ENCRYPTION_PATH, controlPlane.encryption, {mode: 0o600, secret: true})
    const files = isPlane
      ? controlPlaneFiles(context, reader, {initialised: controlPlane?.configuration, stage: 'encrypted'})
      : [patchFile(reader)]
    const node = {machine: reader.machine, facts: reader.facts}
    const document = joinDocument({
      spec: context.spec,
      node,
      token,
      discoveryFile: `${JOIN_LEFTOVER}/discovery.conf`,
      ...(isPlane ? {certificateKey} : {}),
    })
    const text = context.renderer.render('kubeadm/join.sh', {
      ...filesView(files),
      auditDir: isPlane ? AUDIT_LOG_DIR : '',
      discovery: yamlForGo(discoveryKubeconfig(context.endpoint, caPem, token)).trimEnd(),
      config: yamlForGo(document).trimEnd(),
      ignored: IGNORED,
      proxy: proxyVariables(context),
    })
    await host.runScript(
      {name: 'kubeadm join', text},
      {
        signal,
        secrets: [token, certificateKey],
        onLine: (line) => {
          if (line.startsWith('[')) progress(line)
        },
      },
    )
  }
}

const tokenRef = (secret: KubeObject): ObjectRef => ({
  apiVersion: 'v1',
  kind: 'Secret',
  namespace: 'kube-system',
  name: secret.metadata.name,
})

const joinTokens = (kube: KubeReader): Promise<readonly KubeObject[]> =>
  kube.list({
    apiVersion: 'v1',
    kind: 'Secret',
    namespace: 'kube-system',
    labelSelector: `${TOKEN_LABEL}=true`,
  })

async function deleteTokens(tools: ClusterTools): Promise<void> {
  const kube = await tools.kube()
  for (const secret of await joinTokens(kube)) await kube.delete(tokenRef(secret))
  const certificates = await kube.get(UPLOADED_CERTIFICATES)
  if (certificates === undefined) return
  // kubeadm makes a token of two hours that only ends the life of the certificates (kubeadm, copycerts.go).
  const {ownerReferences = []} = ownersSchema.parse(certificates.metadata)
  for (const {name} of ownerReferences) await kube.delete({...UPLOADED_CERTIFICATES, name})
  await kube.delete(UPLOADED_CERTIFICATES)
}
