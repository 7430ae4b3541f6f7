import {metadataRules} from '../../../src/bootstrap/phases/cloud-metadata.ts'
import {specOf} from '../../support/local-cluster.ts'
import type {TemplateCase} from '../golden.ts'

const rulesOf = (kind: 'aws' | 'azure') => metadataRules(specOf('demo', {provider: {kind}}))

export const cases: TemplateCase[] = [
  {template: 'metadata/clouder-metadata.service', name: 'aws', view: {rules: rulesOf('aws')}},
  {template: 'metadata/clouder-metadata.service', name: 'azure', view: {rules: rulesOf('azure')}},
  {template: 'metadata/networkd.conf', name: 'any', view: {}},
  {
    template: 'metadata/probe.sh',
    name: 'aws',
    view: {paths: ['/etc/systemd/system/clouder-metadata.service'], rules: rulesOf('aws')},
  },
  {
    template: 'metadata/apply.sh',
    name: 'any',
    view: {files: [{path: '/etc/systemd/system/clouder-metadata.service', mode: '644', base64: 'W1VuaXRdCg=='}]},
  },
]
