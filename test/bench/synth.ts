// (e) `node synth.ts aws|azure CONTROL_PLANES WORKERS`: one synthesis, the load of cdktf included; prints the seconds.
import {specFromDocument} from '../../src/spec/load.ts'

const [, , , controlPlanes, workers] = process.argv.map(Number)
const kind = process.argv[2] === 'azure' ? 'azure' : 'aws'
const place = kind === 'aws' ? {region: 'eu-central-1', zones: ['a', 'b', 'c']} : {location: 'westeurope'}
const spec = specFromDocument({
  apiVersion: 'clouder.dev/v1alpha1',
  kind: 'Cluster',
  metadata: {name: 'large'},
  spec: {
    provider: {kind, [kind]: place},
    controlPlane: {count: controlPlanes},
    workers: [{name: 'worker', count: workers}],
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
