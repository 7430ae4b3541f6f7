import type {TemplateCase} from '../golden.ts'

const store = '/opt/clouder/store'
const keys = [`${'a'.repeat(64)}-kubelet`, `${'b'.repeat(64)}-criu`]
const folders = [
  {
    name: 'cni-plugins',
    folder: '/opt/cni/bin',
    contents: `${store}/${'c'.repeat(64)}-cni-plugins`,
    onlyMissing: false,
  },
  {
    name: 'host-tools',
    folder: '/usr/local/sbin',
    contents: `${store}/${'d'.repeat(64)}-host-tools`,
    onlyMissing: true,
  },
]

export const cases: TemplateCase[] = [
  {
    template: 'artifacts/probe.sh',
    name: 'worker',
    view: {store, keys, links: ['/usr/local/bin/kubelet', '/opt/clouder/criu'], folders},
  },
  {template: 'artifacts/receive.sh', name: 'two-files', view: {root: '/opt/clouder', store, keys}},
  {
    template: 'artifacts/link.sh',
    name: 'worker',
    view: {store, links: [{path: '/usr/local/bin/kubelet', target: `${store}/${keys[0] ?? ''}`}], folders},
  },
  {template: 'images/probe.sh', name: 'any', view: {}},
  {
    template: 'images/import.sh',
    name: 'pause',
    view: {
      images: [{reference: 'registry.k8s.io/pause:3.10.1', digest: `sha256:${'e'.repeat(64)}`}],
      pinned: ['registry.k8s.io/pause:3.10.1'],
    },
  },
]
