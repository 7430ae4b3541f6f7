import type {TemplateCase} from '../golden.ts'

export const cases: TemplateCase[] = [
  {template: 'preflight/probe.sh', name: 'control-plane', view: {criu: true, fsync: true}},
  {template: 'preflight/probe.sh', name: 'worker-without-checkpoints', view: {criu: false, fsync: false}},
  {
    template: 'preflight/reach.sh',
    name: 'two-targets',
    view: {
      targets: [
        {address: '10.0.0.2', port: 6443},
        {address: '10.0.0.3', port: 10250},
      ],
    },
  },
]
