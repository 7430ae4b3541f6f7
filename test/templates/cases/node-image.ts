import type {TemplateCase} from '../golden.ts'

export const cases: TemplateCase[] = [
  {
    template: 'node-image/Dockerfile',
    name: 'debian-13',
    view: {base: 'debian:13', packages: ['systemd', 'openssh-server']},
  },
  {
    template: 'node-image/customise.sh',
    name: 'two-units',
    view: {maskedUnits: ['getty.target', 'apt-daily.timer']},
  },
  {template: 'node-image/node-init.sh', name: 'any', view: {}},
]
