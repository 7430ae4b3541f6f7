import type {TemplateCase} from '../golden.ts'

export const cases: TemplateCase[] = [
  {
    template: 'byoc/heartbeat.sh',
    name: 'any',
    view: {
      name: 'lab-1',
      statusUrl: 'https://192.0.2.10:6443/apis/clouder.dev/v1alpha1/containerhosts/lab-1/status',
      tokenUrl:
        'https://192.0.2.10:6443/api/v1/namespaces/clouder-system/serviceaccounts/container-host-lab-1/token',
      tokenRequest: '{"kind":"TokenRequest"}',
      ca: '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----',
      token: 'header.payload.signature',
    },
  },
]
