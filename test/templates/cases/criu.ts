import type {TemplateCase} from '../golden.ts'

const folders = ['/var/lib/clouder/restore', '/var/lib/clouder/store']

const memoryUnit = 'var-lib-clouder-memory.mount'
const unit = {memoryUnit, memoryUnitPath: `/etc/systemd/system/${memoryUnit}`}

export const cases: TemplateCase[] = [
  {template: 'criu/runc.conf', name: 'close', view: {keepTcp: false}},
  {template: 'criu/runc.conf', name: 'keep', view: {keepTcp: true}},
  {template: 'criu/memory.mount', name: 'half', view: {folder: '/var/lib/clouder/memory', percent: 50}},
  {template: 'criu/probe.sh', name: 'any', view: {paths: ['/etc/criu/runc.conf'], folders, memoryUnit, features: []}},
  {
    template: 'criu/probe.sh',
    name: 'features',
    view: {paths: [], folders: [], memoryUnit: '', features: ['mem_dirty_track', 'uffd-noncoop']},
  },
  {
    template: 'criu/apply.sh',
    name: 'enabled',
    view: {
      files: [{path: '/etc/criu/runc.conf', mode: '644', base64: 'dGNwLWNsb3NlCg=='}],
      removed: [],
      folders,
      check: true,
      memory: true,
      ...unit,
      minimum: '4.2',
    },
  },
  {
    template: 'criu/apply.sh',
    name: 'disabled',
    view: {
      ...{files: [], removed: ['/etc/criu/runc.conf'], folders: [], check: false, minimum: '4.2'},
      ...{memory: false, ...unit},
    },
  },
]
