import {expect, test} from 'vitest'
import {parse, stringify} from 'yaml'
import {z} from 'zod'
import type {HostFacts} from '../../src/bootstrap/hosts/host.ts'
import {
  discoveryKubeconfig,
  initDocuments,
  joinDocument,
  kubeletPatch,
} from '../../src/bootstrap/kubeadm/config.ts'
import {apiServerFiles, ENCRYPTION_PATH} from '../../src/bootstrap/kubeadm/hardening.ts'
import {includes, keepSettings} from '../../src/bootstrap/kubeadm/kept.ts'
import {makeBootstrapToken, makeCertificateKey} from '../../src/bootstrap/kubeadm/tokens.ts'
import {loadSpec} from '../../src/spec/load.ts'
import type {Machine} from '../../src/spec/machine.ts'

const vm: HostFacts = {
  hostname: 'cp-1',
  osId: 'debian',
  osVersion: '13',
  osPrettyName: 'Debian GNU/Linux 13',
  arch: 'amd64',
  kernel: '6.12.0',
  cgroupVersion: 2,
  container: false,
  capSysResource: true,
  cpus: 2,
  memoryMiB: 4096,
  machineId: 'a',
  bootId: 'b',
  systemd: true,
  systemdResolved: false,
  addresses: ['10.0.0.2/24'],
  routes: [],
  clockSkewMs: 0,
  clockSkewErrorMs: 0,
  apiForwarded: true,
  sudo: 'root',
}
const confined: HostFacts = {...vm, container: true, capSysResource: false, cgroupVersion: 1}
const machine = (name: string, role: Machine['role'], address: string): Machine => ({
  name,
  role,
  address,
  privateAddress: address,
  ssh: {user: 'root', port: 22, hostKeys: []},
  labels: {},
  taints: [],
})
const first = machine('cp-1', 'control-plane', '10.0.0.2')
const worker = machine('worker-1', 'worker', '10.0.0.3')
const endpoint = {internal: '10.0.0.2:6443', external: '127.0.0.1:40000', certSans: ['api.example.org']}
const spec = loadSpec({name: 'demo', overrides: {provider: 'local'}})

const document = (documents: readonly Readonly<Record<string, unknown>>[], kind: string) =>
  documents.find((candidate) => candidate['kind'] === kind)

test('the control-plane endpoint, the networks and the version are in the configuration from day one', () => {
  const documents = initDocuments(spec, endpoint, {machine: first, facts: vm}, [{machine: first, facts: vm}])
  expect(document(documents, 'ClusterConfiguration')).toMatchObject({
    kubernetesVersion: 'v1.35.4',
    controlPlaneEndpoint: '10.0.0.2:6443',
    networking: {podSubnet: '10.244.0.0/16', serviceSubnet: '10.96.0.0/12'},
    apiServer: {certSANs: ['10.0.0.2', '127.0.0.1', 'api.example.org', 'localhost']},
  })
})

test('the hardened flags and what they name are in the configuration of every cluster', () => {
  const documents = initDocuments(spec, endpoint, {machine: first, facts: vm}, [{machine: first, facts: vm}])
  const cluster = clusterSchema.parse(document(documents, 'ClusterConfiguration'))
  const flagsOf = (part: 'apiServer' | 'controllerManager' | 'scheduler') =>
    Object.fromEntries(cluster[part].extraArgs.map(({name, value}) => [name, value]))
  expect(flagsOf('apiServer')).toMatchObject({
    profiling: 'false',
    'tls-min-version': 'VersionTLS12',
    'enable-admission-plugins': 'NodeRestriction,EventRateLimit',
    'encryption-provider-config': '/etc/kubernetes/clouder/apiserver/encryption.yaml',
    'audit-log-maxage': '30',
    'audit-log-maxbackup': '10',
    'audit-log-maxsize': '100',
  })
  const named = Object.values(flagsOf('apiServer')).filter((value) =>
    value.startsWith('/etc/kubernetes/clouder/'),
  )
  expect(named.sort()).toEqual([...apiServerFiles.map(({path}) => path), ENCRYPTION_PATH].sort())
  const mounted = cluster.apiServer.extraVolumes.map(({mountPath}) => mountPath)
  for (const path of [...named, flagsOf('apiServer')['audit-log-path'] ?? ''])
    expect(mounted).toContain(path.slice(0, path.lastIndexOf('/')))
  expect(flagsOf('controllerManager')).toMatchObject({
    profiling: 'false',
    'terminated-pod-gc-threshold': '1000',
  })
  expect(flagsOf('scheduler')).toMatchObject({profiling: 'false', 'tls-min-version': 'VersionTLS12'})
  expect(document(documents, 'KubeletConfiguration')).toMatchObject({
    podPidsLimit: 4096,
    tlsMinVersion: 'VersionTLS12',
  })
})

test('the audit log has no content of any object, and nobody in particular is answered but for health', () => {
  const contentOf = (name: string): unknown =>
    parse(apiServerFiles.find(({path}) => path.endsWith(`/${name}.yaml`))?.content ?? '')
  const levels = z
    .looseObject({rules: z.array(z.looseObject({level: z.string()}))})
    .parse(contentOf('audit-policy'))
  expect(new Set(levels.rules.map(({level}) => level))).toEqual(new Set(['None', 'Metadata']))
  expect(levels.rules.at(-1)).toEqual({level: 'Metadata'})
  expect(contentOf('authentication')).toMatchObject({
    anonymous: {enabled: true, conditions: [{path: '/livez'}, {path: '/readyz'}, {path: '/healthz'}]},
  })
})

test('a running cluster keeps its networks, endpoint, name and names in certificates, and nothing else', () => {
  const node = {machine: first, facts: vm}
  const before = initDocuments(spec, endpoint, node, [node])
  const other = loadSpec({
    name: 'demo',
    overrides: {provider: 'local'},
    text: 'apiVersion: clouder.dev/v1alpha1\nkind: Cluster\nmetadata: {name: demo}\nspec: {network: {serviceCidr: 10.112.0.0/12}}\n',
  })
  const wanted = initDocuments(
    other,
    {...endpoint, internal: '10.9.9.9:6443', certSans: ['new.test']},
    node,
    [node],
  )
  const old = before.map((each) => stringify({...each, extra: 1})).join('---\n')
  expect(keepSettings(wanted, old)).toEqual({documents: before, differs: true})
  expect(keepSettings(before, old)).toEqual({documents: before, differs: false})
})

test('what is kept in the cluster is compared setting by setting, lists as a whole', () => {
  expect(includes({a: 1, b: {c: [1, 2], d: 'default'}}, {a: 1, b: {c: [1, 2]}})).toBe(true)
  expect(includes({a: 1, b: {c: [1, 2]}}, {b: {c: [1]}})).toBe(false)
  expect(includes({a: 1}, {a: 1, b: {c: true}})).toBe(false)
  expect(includes(undefined, {a: 1})).toBe(false)
})

const extraArgs = z.array(z.object({name: z.string(), value: z.string()}))
const clusterSchema = z.looseObject({
  apiServer: z.looseObject({extraArgs, extraVolumes: z.array(z.looseObject({mountPath: z.string()}))}),
  controllerManager: z.looseObject({extraArgs}),
  scheduler: z.looseObject({extraArgs}),
})

test('an ordinary machine gets no exception', () => {
  const documents = initDocuments(spec, endpoint, {machine: first, facts: vm}, [{machine: first, facts: vm}])
  expect(kubeletPatch(vm)).toBeUndefined()
  expect(document(documents, 'KubeProxyConfiguration')).not.toHaveProperty('conntrack')
  expect(document(documents, 'KubeletConfiguration')).toMatchObject({
    cgroupDriver: 'systemd',
    seccompDefault: true,
    resolvConf: '/etc/resolv.conf',
  })
  expect(JSON.stringify(documents)).not.toContain('ignorePreflightErrors')
})

test('only a host where systemd-resolved runs reads its file: what suits the first control plane suits no other', () => {
  expect(kubeletPatch({...vm, systemdResolved: true})).toEqual({
    resolvConf: '/run/systemd/resolve/resolv.conf',
  })
})

test('a container without CAP_SYS_RESOURCE on cgroup v1 gets what it cannot do without', () => {
  const nodes = [
    {machine: first, facts: vm},
    {machine: worker, facts: confined},
  ]
  expect(kubeletPatch(confined)).toEqual({
    cgroupDriver: 'cgroupfs',
    failCgroupV1: false,
    failSwapOn: false,
    evictionHard: {
      'memory.available': '100Mi',
      'nodefs.available': '1Gi',
      'nodefs.inodesFree': '5%',
      'imagefs.available': '1Gi',
      'imagefs.inodesFree': '5%',
    },
    imageGCHighThresholdPercent: 100,
    featureGates: {KubeletInUserNamespace: true},
  })
  const documents = initDocuments(spec, endpoint, {machine: first, facts: vm}, nodes)
  expect(document(documents, 'KubeProxyConfiguration')).toMatchObject({conntrack: {maxPerCore: 0}})
})

test('a node is born with the labels and taints that its kubelet may give it', () => {
  const machine = {
    ...worker,
    pool: 'gpu',
    labels: {
      'topology.kubernetes.io/zone': 'eu-central-1a',
      'node-role.kubernetes.io/gpu': '',
      'example.org/disk': 'ssd',
    },
    taints: [{key: 'gpu', value: '', effect: 'NoSchedule' as const}],
  }
  const node = {machine, facts: vm}
  const options = {spec, node, discoveryFile: '/d', token: 'abcdef.0123456789abcdef'}
  expect(joinDocument(options)).toMatchObject({
    nodeRegistration: {
      kubeletExtraArgs: [
        {name: 'node-ip'},
        {
          name: 'node-labels',
          value: 'clouder.dev/pool=gpu,topology.kubernetes.io/zone=eu-central-1a,example.org/disk=ssd',
        },
      ],
      taints: [{key: 'gpu', effect: 'NoSchedule'}],
    },
  })
})

test('the same spec and machines give the same configuration, without any secret', () => {
  const once = JSON.stringify(initDocuments(spec, endpoint, {machine: first, facts: vm}, []))
  expect(JSON.stringify(initDocuments(spec, endpoint, {machine: first, facts: vm}, []))).toBe(once)
  expect(once).not.toMatch(/[a-z0-9]{6}\.[a-z0-9]{16}/)
})

test('a worker joins by file and token, a control plane also with the certificate key', () => {
  const node = {machine: worker, facts: vm}
  const common = {spec, discoveryFile: '/run/clouder/join/discovery.conf', token: 'abcdef.0123456789abcdef'}
  expect(joinDocument({...common, node})).not.toHaveProperty('controlPlane')
  expect(joinDocument({...common, node, certificateKey: 'k'})).toMatchObject({
    controlPlane: {certificateKey: 'k', localAPIEndpoint: {advertiseAddress: '10.0.0.3'}},
  })
})

test('the discovery file names the internal endpoint the CA, and the token: nobody in particular is answered', () => {
  expect(discoveryKubeconfig(endpoint, 'PEM', 'abcdef.0123456789abcdef')).toMatchObject({
    clusters: [{cluster: {server: 'https://10.0.0.2:6443', 'certificate-authority-data': 'UEVN'}}],
    users: [{user: {token: 'abcdef.0123456789abcdef'}}],
  })
})

test('a bootstrap token has the form Kubernetes asks for and ends after 15 minutes', () => {
  const made = makeBootstrapToken(Date.parse('2026-11-21T09:00:00.123Z'))
  expect(made.token).toMatch(/^[a-z0-9]{6}\.[a-z0-9]{16}$/)
  expect(made.secret['stringData']).toMatchObject({'token-id': made.id, expiration: '2026-11-21T09:15:00Z'})
  expect(made.secret.metadata.name).toBe(`bootstrap-token-${made.id}`)
  expect(makeBootstrapToken(0).token).not.toBe(makeBootstrapToken(0).token)
})

test('a certificate key is 32 bytes of hex', () => {
  expect(makeCertificateKey()).toMatch(/^[0-9a-f]{64}$/)
})
