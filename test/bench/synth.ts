// (e) `node synth.ts aws|azure`: one synthesis of 3 + 50 nodes, the load of cdktf included; prints the seconds.
import {specFromDocument} from '../../src/spec/load.ts'

const kind = process.argv[2] === 'azure' ? 'azure' : 'aws'
const place = kind === 'aws' ? {region: 'eu-central-1', zones: ['a', 'b', 'c']} : {location: 'westeurope'}
const spec = specFromDocument({
  apiVersion: 'clouder.dev/v1alpha1',
  kind: 'Cluster',
  metadata: {name: 'large'},
  spec: {
    provider: {kind, [kind]: place},
    controlPlane: {count: 3},
    workers: [{name: 'worker', count: 50}],
    access: {adminCidrs: ['198.51.100.0/24']},
  },
})
const input = {
  spec,
  sshPublicKey: `ssh-ed25519 ${'A'.repeat(68)}`,
  cloudInit: '#cloud-config\n',
  imageIds: {},
}

const started = performance.now()
const json =
  kind === 'aws'
    ? (await import('../../stacks/aws.ts')).synthesiseAws(input)
    : (await import('../../stacks/azure.ts')).synthesiseAzure(input)
JSON.stringify(json)
process.stdout.write(`${(performance.now() - started) / 1000}\n`)
