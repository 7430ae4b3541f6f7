import {parseAllDocuments} from 'yaml'
import {z} from 'zod'
import {
  configureKubelet,
  KUBELET_CONFIG,
  probeKubelet,
  writeOwnKubeletConfig,
  writeSharedKubeletConfig,
} from './simulated-kubelet-config.ts'
import {kubeconfigText, REGISTRATION, type SimulatedCluster} from './simulated-cluster.ts'
import {
  CERTIFICATE_PATHS,
  KUBECONFIG_PATHS,
  MANIFEST_PATHS,
} from '../../src/bootstrap/phases/kubeadm-probe.ts'
import {
  compareManifests,
  encryptionLines,
  encryptSecrets,
  keepKey,
  replaceManifests,
  STATIC_PODS,
  writeManifests,
} from './simulated-manifests.ts'
import {sha256Of, type SimulatedMachine} from './simulated-machine.ts'
import {
  failed,
  hereDocuments,
  lines,
  removeFiles,
  wordsAfter,
  type Behaviour,
  type Failed,
} from './simulated-shell.ts'

const CONFIG = '/etc/kubernetes/clouder/kubeadm.yaml'
const CA_CRT = '/etc/kubernetes/pki/ca.crt'
const KUBELET_CONF = '/etc/kubernetes/kubelet.conf'
const KUBELET_CERTIFICATE = '/var/lib/kubelet/pki/kubelet-client-current.pem'

const contentOf = (machine: SimulatedMachine, path: string): string => machine.files.get(path)?.content ?? ''

const lacking = (machine: SimulatedMachine, paths: readonly string[]): Failed | undefined => {
  const absent = paths.filter((path) => !machine.has(path))
  return absent.length === 0 ? undefined : failed(`open ${absent.join(', ')}: no such file or directory`)
}

const clusterName = (machine: SimulatedMachine): string =>
  /^clusterName: (.*)$/m.exec(contentOf(machine, CONFIG))?.[1] ?? 'kubernetes'

const probe: Behaviour = (machine, text) => {
  const ca = machine.files.get(CA_CRT)
  return lines(
    wordsAfter(text, /^if \[ -e ('.*') \]; then echo path=.*$/)
      .filter((path) => machine.has(path))
      .map((path) => `path=${path}`),
    wordsAfter(text, /^if \[ -f ('[^']*') \]; then echo "sha256:.*$/).flatMap((path) => {
      const file = machine.files.get(path)
      return file === undefined ? [] : [`sha256:${path}=${sha256Of(file.content)}`]
    }),
    [`kubelet=${machine.kubelet.active ? 'active' : 'inactive'}`],
    contentOf(machine, KUBELET_CONF).includes('kubelet-client-current.pem') ? ['rotating=yes'] : [],
    ca === undefined ? [] : [`ca=${sha256Of(ca.content)}`],
    encryptionLines(machine),
  )
}

const writeConfig: Behaviour = (machine, text) => {
  for (const [path, content] of hereDocuments(text, /put ('[^']*')/)) machine.put(path, content, 0o600)
  removeFiles(machine, text)
  machine.folders.set('/etc/kubernetes/clouder/patches', 0o700)
  if (text.includes('encryption=')) keepKey(machine, /- identity[\s\S]*- secretbox/.test(text))
  return ''
}

function writeKubeconfig(machine: SimulatedMachine, path: string, cluster: string, credential: string): void {
  const user = path.replace(/.*\/(.*)\.conf$/, '$1')
  machine.put(path, kubeconfigText({cluster, caPem: contentOf(machine, CA_CRT), user, credential}), 0o600)
}

/** What the kubelet needs before it can run a pod. */
function startKubelet(machine: SimulatedMachine, cluster: SimulatedCluster): Failed | undefined {
  const problem = lacking(machine, [KUBELET_CONFIG, KUBELET_CONF, '/etc/systemd/system/kubelet.service'])
  if (problem !== undefined) return problem
  const binary = machine.program('kubelet')
  if (binary === undefined) return failed('/usr/local/bin/kubelet: No such file or directory')
  if (!machine.containerd.active) return failed('container runtime is not running')
  machine.kubelet = {...machine.kubelet, active: true, binary}
  if (MANIFEST_PATHS.every((path) => machine.has(path))) cluster.serve(machine.name)
  if (cluster.answers) {
    machine.put(KUBELET_CERTIFICATE, `certificate of ${machine.name}\n`, 0o600)
    cluster.register(machine)
  }
  return undefined
}

const configMap = (cluster: SimulatedCluster, name: string, namespace = 'kube-system'): void =>
  cluster.kube.put({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {name, namespace},
    data: {of: 'kubeadm'},
  })

/** What joining nodes read, as kubeadm keeps it. */
function uploadConfiguration(machine: SimulatedMachine, cluster: SimulatedCluster): void {
  for (const document of parseAllDocuments(contentOf(machine, CONFIG))) {
    const uploads: Readonly<Record<string, readonly [string, string]>> = {
      ClusterConfiguration: ['kubeadm-config', 'ClusterConfiguration'],
      KubeletConfiguration: ['kubelet-config', 'kubelet'],
    }
    const upload = uploads[String(document.get('kind'))]
    if (upload === undefined) continue
    if (upload[0] === 'kubelet-config') cluster.kubeletConfig = document.toString()
    const metadata = {name: upload[0], namespace: 'kube-system'}
    cluster.kube.put({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata,
      data: {[upload[1]]: document.toString()},
    })
  }
}

const workload = (cluster: SimulatedCluster, kind: string, name: string): void => {
  cluster.kube.put({apiVersion: 'apps/v1', kind, metadata: {name, namespace: 'kube-system'}, spec: {}})
  configMap(cluster, name)
}

const registrationSchema = z.looseObject({
  nodeRegistration: z.looseObject({
    kubeletExtraArgs: z.array(z.object({name: z.string(), value: z.string()})).default([]),
    taints: z.array(z.looseObject({key: z.string(), effect: z.string()})).optional(),
  }),
})

/** What the kubelet of a configuration says of its node when it registers. */
function keepRegistration(machine: SimulatedMachine, configuration: string): void {
  for (const document of parseAllDocuments(configuration)) {
    const {success, data} = registrationSchema.safeParse(document.toJS())
    if (!success) continue
    const {kubeletExtraArgs, taints = []} = data.nodeRegistration
    const words = kubeletExtraArgs.find(({name}) => name === 'node-labels')?.value.split(',') ?? []
    const labels = Object.fromEntries(
      words.map((word): [string, string] => {
        const [key = '', value = ''] = word.split('=')
        return [key, value]
      }),
    )
    machine.put(REGISTRATION, JSON.stringify({labels, taints}), 0o600)
  }
}

function markControlPlane(machine: SimulatedMachine, cluster: SimulatedCluster): void {
  const label = 'node-role.kubernetes.io/control-plane'
  const schedulable = contentOf(machine, CONFIG).includes('taints: []')
  cluster.kube.put({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {name: machine.name, labels: {'kubernetes.io/hostname': machine.facts.hostname, [label]: ''}},
    spec: schedulable ? {} : {taints: [{key: label, effect: 'NoSchedule'}]},
  })
}

type InitPhase = (machine: SimulatedMachine, cluster: SimulatedCluster) => Failed | undefined

const offline =
  (needed: readonly string[], work: InitPhase): InitPhase =>
  (machine, cluster) =>
    lacking(machine, [CONFIG, ...needed]) ?? work(machine, cluster)

const online =
  (work: (machine: SimulatedMachine, cluster: SimulatedCluster) => void): InitPhase =>
  (machine, cluster) => {
    const problem = lacking(machine, [CONFIG, '/etc/kubernetes/admin.conf'])
    if (problem !== undefined) return problem
    if (!cluster.answers) return failed('dial tcp: connect: connection refused')
    work(machine, cluster)
    return undefined
  }

const putAbsent = (machine: SimulatedMachine, path: string, content: string): void => {
  if (!machine.has(path)) machine.put(path, content, 0o600)
}

const INIT_PHASES: Readonly<Record<string, InitPhase>> = {
  'certs all': offline([], (machine, cluster) => {
    putAbsent(machine, CA_CRT, cluster.newCa())
    for (const path of CERTIFICATE_PATHS) putAbsent(machine, path, `${path}\n`)
    return undefined
  }),
  'kubeconfig all': offline([CA_CRT], (machine, cluster) => {
    cluster.name = clusterName(machine)
    for (const path of KUBECONFIG_PATHS)
      if (!machine.has(path)) writeKubeconfig(machine, path, cluster.name, 'inline')
    return undefined
  }),
  'etcd local': offline([CA_CRT], (machine) => {
    writeManifests(machine, ['etcd'])
    return undefined
  }),
  'control-plane all': offline([CA_CRT], (machine) => {
    writeManifests(machine, STATIC_PODS.slice(1))
    return undefined
  }),
  'kubelet-start': offline([], (machine, cluster) => {
    writeOwnKubeletConfig(machine)
    keepRegistration(machine, contentOf(machine, CONFIG))
    return startKubelet(machine, cluster)
  }),
  'upload-config all': online(uploadConfiguration),
  'mark-control-plane': online(markControlPlane),
  'bootstrap-token --skip-token-print': online((_machine, cluster) =>
    configMap(cluster, 'cluster-info', 'kube-public'),
  ),
  'kubelet-finalize all': online((machine) =>
    writeKubeconfig(machine, KUBELET_CONF, clusterName(machine), KUBELET_CERTIFICATE),
  ),
  'addon kube-proxy': online((_machine, cluster) => workload(cluster, 'DaemonSet', 'kube-proxy')),
  'addon coredns': online((_machine, cluster) => workload(cluster, 'Deployment', 'coredns')),
}

/** `kubeadm init phase …`, one or several in a script. */
export const initPhases: Behaviour = (machine, text, cluster) => {
  if (machine.program('kubeadm') === undefined) return failed('kubeadm: command not found')
  for (const [, phase = ''] of text.matchAll(/^kubeadm init phase (.*) --config .*$/gm)) {
    const run = INIT_PHASES[phase]
    if (run === undefined) return failed(`the simulated kubeadm knows no phase ${phase}`)
    const problem = run(machine, cluster)
    if (problem !== undefined) return problem
  }
  return ''
}

const uploadCertificates: Behaviour = (_machine, _text, cluster) => {
  if (!cluster.answers) return failed('connection refused')
  cluster.kube.put({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name: 'kubeadm-certs',
      namespace: 'kube-system',
      ownerReferences: [{apiVersion: 'v1', kind: 'Secret', name: 'bootstrap-token-certs0', uid: 'certs'}],
    },
  })
  // Its end is that of the certificates, which it owns.
  const metadata = {name: 'bootstrap-token-certs0', namespace: 'kube-system'}
  cluster.kube.put({apiVersion: 'v1', kind: 'Secret', metadata})
  return ''
}

const secretThere = (cluster: SimulatedCluster, name: string): boolean =>
  cluster.kube.holds({apiVersion: 'v1', kind: 'Secret', namespace: 'kube-system', name})

const join: Behaviour = (machine, text, cluster) => {
  for (const [path, content] of hereDocuments(text, /cat > ('[^']*')/)) machine.put(path, content, 0o600)
  removeFiles(machine, text.replace(/^rm -f \/etc.*$/gm, ''))
  const tokenId = /tlsBootstrapToken: "?([a-z0-9]{6})\./.exec(text)?.[1] ?? ''
  if (!cluster.answers || !secretThere(cluster, `bootstrap-token-${tokenId}`))
    return failed("couldn't validate the identity of the API Server: the token is not known")
  const asControlPlane = text.includes('certificateKey:')
  if (asControlPlane && !secretThere(cluster, 'kubeadm-certs'))
    return failed('secret "kubeadm-certs" not found')
  const caData = /certificate-authority-data: "?([A-Za-z0-9+/=]+)/.exec(text)?.[1] ?? ''
  machine.put(CA_CRT, Buffer.from(caData, 'base64').toString('utf8'), 0o600)
  writeSharedKubeletConfig(machine, cluster)
  for (const [, content] of hereDocuments(text, /cat > ("[^"]*join\.yaml")/))
    keepRegistration(machine, content)
  // As kubeadm has it: its own name for the cluster in what joining nodes get.
  writeKubeconfig(machine, KUBELET_CONF, 'default-cluster', KUBELET_CERTIFICATE)
  if (asControlPlane) {
    for (const path of CERTIFICATE_PATHS) putAbsent(machine, path, `${path}\n`)
    writeManifests(machine, STATIC_PODS)
    writeKubeconfig(machine, '/etc/kubernetes/admin.conf', cluster.name, 'inline')
  }
  const problem = startKubelet(machine, cluster)
  if (problem !== undefined) return problem
  if (asControlPlane) markControlPlane(machine, cluster)
  return ''
}

const reset: Behaviour = (machine, _text, cluster) => {
  machine.kubelet = {...machine.kubelet, active: false, binary: ''}
  cluster.leave(machine.name)
  for (const path of ['/etc/kubernetes/pki', '/etc/kubernetes/clouder', '/var/lib/etcd', '/var/lib/cni'])
    machine.remove(path)
  for (const path of [...machine.files.keys()])
    if (
      /^\/etc\/kubernetes\/([^/]+\.conf|manifests\/.*)$|^\/var\/lib\/kubelet\/|^\/etc\/cni\/net\.d\//.test(
        path,
      )
    )
      machine.remove(path)
  return ''
}

const uninstall: Behaviour = (machine) => {
  machine.containerd = {active: false, enabled: false, binary: ''}
  machine.kubelet = {active: false, enabled: false, binary: ''}
  machine.store.clear()
  machine.images.clear()
  machine.pinned.clear()
  for (const path of [...machine.links.keys()]) machine.remove(path)
  for (const path of [
    '/etc/systemd/system/kubelet.service',
    '/etc/systemd/system/kubelet.service.d',
    '/etc/systemd/system/containerd.service',
    '/etc/systemd/system/var-lib-clouder-memory.mount',
    '/usr/local/libexec/clouder',
    '/etc/containerd',
    '/etc/criu',
    '/etc/modules-load.d/clouder.conf',
    '/etc/sysctl.d/90-clouder.conf',
    '/etc/kubernetes',
    '/var/lib/clouder',
    '/var/lib/kubelet',
    '/opt/clouder',
  ])
    machine.remove(path)
  return ''
}

const waitReady: Behaviour = (_machine, _text, cluster) =>
  cluster.answers ? '' : failed('the API server is not ready after 240 s')

export const kubeadmProbes: Readonly<Record<string, Behaviour>> = {
  'kubeadm/probe.sh': probe,
  'kubeadm/manifests.sh': compareManifests,
  'kubeadm/kubelet-probe.sh': probeKubelet,
  'kubeadm/diagnose.sh': (machine) => `kubelet: ${machine.kubelet.active ? 'active' : 'inactive'}\n`,
}

export const kubeadmChanges: Readonly<Record<string, Behaviour>> = {
  'kubeadm/write-config.sh': writeConfig,
  'kubeadm/wait-ready.sh': waitReady,
  'kubeadm/replace-manifests.sh': replaceManifests,
  'kubeadm/kubelet-config.sh': configureKubelet,
  'kubeadm/encrypt-secrets.sh': encryptSecrets,
  'kubeadm/upload-certs.sh': uploadCertificates,
  'kubeadm join': join,
  'kubeadm reset': reset,
  'kubeadm/uninstall.sh': uninstall,
}

export const commands: Readonly<Record<string, Behaviour>> = {
  'systemctl start kubelet': (machine, _text, cluster) => startKubelet(machine, cluster) ?? '',
}
