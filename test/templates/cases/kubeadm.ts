import type {TemplateCase} from '../golden.ts'

const config = '/etc/kubernetes/clouder/kubeadm.yaml'
const patchesDir = '/etc/kubernetes/clouder/patches'
const patch = `${patchesDir}/kubeletconfiguration0+merge.yaml`
const files = [
  {path: config, content: "kind: InitConfiguration\nnodeRegistration:\n  name: it's cp-1"},
  {path: patch, content: ''},
]

export const cases: TemplateCase[] = [
  {template: 'kubeadm/probe.sh', name: 'control-plane', view: {paths: ['/etc/kubernetes/pki/ca.crt'], digested: [config]}},
  {template: 'kubeadm/write-config.sh', name: 'without-patch', view: {patchesDir, files}},
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
    },
  },
  {template: 'kubeadm/reset.sh', name: 'any', view: {criSocket: 'unix:///run/containerd/containerd.sock'}},
  {template: 'kubeadm/uninstall.sh', name: 'any', view: {}},
]
