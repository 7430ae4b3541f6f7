import type {TemplateCase} from '../golden.ts'

const config = {
  root: '/var/lib/containerd',
  sandboxImage: 'registry.k8s.io/pause:3.10.1',
  certsDir: '/etc/containerd/certs.d',
  checkpoint: true,
  dumpDir: '/var/lib/clouder/dumps',
  restoreViaCreate: false,
  restrictOomScoreAdj: false,
  systemdCgroup: true,
  restoreRuntime: 'clouder-restore',
  restoreBinary: '/usr/local/libexec/clouder/runc-restore',
}

export const cases: TemplateCase[] = [
  {template: 'containerd/config.toml', name: 'machine', view: config},
  {
    template: 'containerd/config.toml',
    name: 'container-cgroup-v1',
    view: {...config, restrictOomScoreAdj: true, systemdCgroup: false},
  },
  {template: 'containerd/config.toml', name: 'trusted-images', view: {...config, restoreViaCreate: true}},
  {template: 'containerd/config.toml', name: 'no-checkpoints', view: {...config, checkpoint: false}},
  {template: 'containerd/containerd.service', name: 'machine', view: {lowerOomScore: true, proxy: []}},
  {template: 'containerd/containerd.service', name: 'container', view: {lowerOomScore: false, proxy: ['HTTPS_PROXY=http://proxy.example:3128', 'NO_PROXY=localhost,10.0.0.0/24']}},
  {
    template: 'containerd/hosts.toml',
    name: 'two-endpoints',
    view: {
      server: 'https://registry-1.docker.io',
      endpoints: ['https://mirror.example.com', 'http://10.0.0.5:5000/v2/hub'],
    },
  },
  {
    template: 'containerd/probe.sh',
    name: 'any',
    view: {
      paths: ['/etc/containerd/config.toml'],
      restartPaths: ['/etc/containerd/config.toml', '/etc/systemd/system/containerd.service'],
      certsDir: '/etc/containerd/certs.d',
      configPath: '/etc/containerd/config.toml',
    },
  },
  {
    template: 'containerd/apply.sh',
    name: 'restart',
    view: {
      files: [{path: '/etc/containerd/config.toml', mode: '644', base64: 'dmVyc2lvbiA9IDMK'}],
      removed: ['/etc/containerd/certs.d/quay.io/hosts.toml'],
      restart: true,
    },
  },
  {
    template: 'containerd/apply.sh',
    name: 'mirrors-only',
    view: {
      files: [{path: '/etc/containerd/certs.d/docker.io/hosts.toml', mode: '644', base64: 'IyBtaXJyb3IK'}],
      removed: [],
      restart: false,
    },
  },
]
