import type {TemplateCase} from '../golden.ts'

export const cases: TemplateCase[] = [
  {
    template: 'kernel/probe.sh',
    name: 'any',
    view: {
      paths: ['/etc/modules-load.d/clouder.conf', '/etc/sysctl.d/90-clouder.conf'],
      modules: ['overlay', 'br_netfilter'],
      sysctls: ['net.ipv4.ip_forward', 'kernel.panic'],
      sysctlPath: '/etc/sysctl.d/90-clouder.conf',
    },
  },
  {
    template: 'kernel/apply.sh',
    name: 'bare-machine',
    view: {
      files: [{path: '/etc/modules-load.d/clouder.conf', mode: '644', base64: 'b3ZlcmxheQo='}],
      modules: ['overlay', 'br_netfilter'],
      sysctls: ['net.ipv4.ip_forward=1', 'fs.inotify.max_user_instances=8192'],
      swapOff: true,
    },
  },
  {
    template: 'kernel/apply.sh',
    name: 'only-a-sysctl',
    view: {files: [], modules: [], sysctls: ['net.ipv4.ip_forward=1'], swapOff: false},
  },
  {template: 'kernel/modules.conf', name: 'both', view: {modules: ['overlay', 'br_netfilter']}},
  {
    template: 'kernel/sysctl.conf',
    name: 'two',
    view: {
      sysctls: [
        {name: 'net.ipv4.ip_forward', value: 1},
        {name: 'fs.inotify.max_user_watches', value: 524_288},
      ],
    },
  },
]
