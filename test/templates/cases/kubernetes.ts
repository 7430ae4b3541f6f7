import type {TemplateCase} from '../golden.ts'

const folders = ['/etc/kubernetes', '/etc/kubernetes/manifests', '/var/lib/kubelet']
const programs = [
  {path: '/usr/local/bin/kubeadm', arguments: ['version', '-o', 'short']},
  {path: '/usr/local/bin/kubelet', arguments: ['--version']},
]

export const cases: TemplateCase[] = [
  {template: 'kubernetes/kubelet.service', name: 'any', view: {}},
  {template: 'kubernetes/10-kubeadm.conf', name: 'any', view: {proxy: ['HTTPS_PROXY=http://proxy.example:3128']}},
  {
    template: 'kubernetes/probe.sh',
    name: 'worker',
    view: {
      paths: ['/etc/systemd/system/kubelet.service'],
      folders,
      programs: programs.map(({path}) => path),
    },
  },
  {
    template: 'kubernetes/apply.sh',
    name: 'bare-machine',
    view: {
      files: [{path: '/etc/systemd/system/kubelet.service', mode: '644', base64: 'W1VuaXRdCg=='}],
      folders,
      version: 'v1.35.4',
      programs,
    },
  },
]
