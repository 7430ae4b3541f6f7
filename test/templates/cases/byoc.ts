import type {TemplateCase} from '../golden.ts'

export const cases: TemplateCase[] = [
  {
    template: 'byoc/heartbeat.sh',
    name: 'any',
    view: {
      name: 'lab-1',
      url: 'https://192.0.2.10:6443/apis/clouder.dev/v1alpha1/containerhosts/lab-1/status',
      ca: '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----',
      token: 'header.payload.signature',
    },
  },
]
