import type {TemplateCase} from '../golden.ts'

const config = '/etc/kubernetes/clouder/kubeadm.yaml'
const patchesDir = '/etc/kubernetes/clouder/patches'
const encryption = '/etc/kubernetes/clouder/apiserver/encryption.yaml'
const auditDir = '/var/log/kubernetes/audit'
const patch = `${patchesDir}/kubeletconfiguration0+merge.yaml`
const files = [
  {path: config, content: "kind: InitConfiguration\nnodeRegistration:\n  name: it's cp-1"},
  {path: patch, content: ''},
]

export const cases: TemplateCase[] = [
  {template: 'kubeadm/probe.sh', name: 'control-plane', view: {paths: ['/etc/kubernetes/pki/ca.crt'], digested: [config], encryption}},
  {template: 'kubeadm/probe.sh', name: 'worker', view: {paths: ['/etc/kubernetes/kubelet.conf'], digested: [patch], encryption: ''}},
  {template: 'kubeadm/write-config.sh', name: 'without-patch', view: {patchesDir, files, encryption: false}},
  {template: 'kubeadm/write-config.sh', name: 'with-key', view: {patchesDir, files, encryption: {path: encryption, encrypts: true, auditDir}}},
  {template: 'kubeadm/write-config.sh', name: 'with-readable-key', view: {patchesDir, files: [], encryption: {path: encryption, encrypts: false, auditDir}}},
  {template: 'kubeadm/manifests.sh', name: 'any', view: {proxy: ['NO_PROXY=localhost,.svc'], patchesDir, config: 'kind: InitConfiguration', patches: [{name: 'kube-apiserver0+merge.yaml', content: 'metadata: {}'}]}},
  {template: 'kubeadm/replace-manifests.sh', name: 'with-etcd', view: {config, proxy: ['NO_PROXY=localhost,.svc'], etcd: true, timeoutSeconds: 240}},
  {template: 'kubeadm/replace-manifests.sh', name: 'without-etcd', view: {config, proxy: [], etcd: false, timeoutSeconds: 240}},
  {template: 'kubeadm/kubelet-probe.sh', name: 'any', view: {patch, marker: '/run/clouder/kubelet-restart'}},
  {
    template: 'kubeadm/kubelet-config.sh',
    name: 'rewritten',
    view: {proxy: [], rewrite: true, patch: 'failCgroupV1: false', patchPath: patch, patchesDir, marker: '/run/clouder/kubelet-restart', serving: true, timeoutSeconds: 60},
  },
  {
    template: 'kubeadm/kubelet-config.sh',
    name: 'modes-only',
    view: {proxy: [], rewrite: false, patch: '', patchPath: patch, patchesDir, marker: '/run/clouder/kubelet-restart', serving: true, timeoutSeconds: 60},
  },
  {template: 'kubeadm/encrypt-secrets.sh', name: 'any', view: {encryption, name: 'clouder-encrypted-secrets', namespace: 'kube-system'}},
  {template: 'kubeadm/phase.sh', name: 'manifests', view: {phases: ['etcd local', 'control-plane all'], config, proxy: ['NO_PROXY=localhost,.svc']}},
  {template: 'kubeadm/wait-ready.sh', name: 'any', view: {timeoutSeconds: 240}},
  {template: 'kubeadm/diagnose.sh', name: 'any', view: {}},
  {template: 'kubeadm/upload-certs.sh', name: 'any', view: {certificateKey: 'c'.repeat(64)}},
  {
    template: 'kubeadm/join.sh',
    name: 'worker-on-cgroup-v1',
    view: {
      patchesDir,
      files: [{path: patch, content: 'cgroupDriver: cgroupfs\nfailCgroupV1: false'}],
      discovery: 'kind: Config\nclusters: []',
      config: 'kind: JoinConfiguration\ndiscovery:\n  tlsBootstrapToken: abcdef.0123456789abcdef',
      ignored: 'Port-10250',
      proxy: [],
      auditDir: '',
    },
  },
  {
    template: 'kubeadm/join.sh',
    name: 'control-plane',
    view: {
      patchesDir,
      files: [{path: config, content: 'kind: InitConfiguration'}],
      discovery: 'kind: Config\nclusters: []',
      config: `kind: JoinConfiguration\ncontrolPlane:\n  certificateKey: ${'c'.repeat(64)}`,
      ignored: 'Port-10250',
      auditDir,
      proxy: [],
    },
  },
  {
    template: 'kubeadm/reset.sh',
    name: 'any',
    view: {criSocket: 'unix:///run/containerd/containerd.sock', keepCheckpoints: false},
  },
  {
    template: 'kubeadm/reset.sh',
    name: 'keeps-checkpoints',
    view: {criSocket: 'unix:///run/containerd/containerd.sock', keepCheckpoints: true},
  },
  {template: 'kubeadm/uninstall.sh', name: 'any', view: {}},
]
