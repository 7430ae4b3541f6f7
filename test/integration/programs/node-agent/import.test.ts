import {expect, test} from 'vitest'
import {API_VERSION, CHECKPOINT_FINALIZER} from '../../../../src/api/names.ts'
import {checkpointStatusSchema} from '../../../../src/api/resources.ts'
import {checkpointRef} from '../../../../src/programs/node-agent/checkpoint-object.ts'
import {reconcileCheckpoint} from '../../../../src/programs/node-agent/checkpoint-reconciler.ts'
import {FakeNode, Life, NODE, POD} from '../../../support/fake-node.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const {signal} = new AbortController()
const named = (name: string) => ({namespace: POD.namespace, name})

test('an imported checkpoint that is deleted stays on the disk, whose it is too', async () => {
  await withTempFolder(async (folder) => {
    const node = new FakeNode(folder)
    node.ask('theirs', {})
    const tools = node.tools(new Life(), signal)
    await reconcileCheckpoint(named('theirs'), tools)
    const made = (await node.kube.get(checkpointRef(named('theirs'))))?.['status']
    const {digest} = checkpointStatusSchema.parse(made)
    // Made by another cluster: here is no object of it.
    node.kube.drop(checkpointRef(named('theirs')))
    node.kube.put({
      apiVersion: API_VERSION,
      kind: 'Checkpoint',
      metadata: {
        ...named('imported'),
        finalizers: [CHECKPOINT_FINALIZER],
        deletionTimestamp: '2026-01-01T00:00:00Z',
      },
      spec: {import: {digest}},
      status: {phase: 'Ready', nodeName: NODE, digest},
    })
    await reconcileCheckpoint(named('imported'), tools)
    expect(await node.kube.get(checkpointRef(named('imported')))).toBeUndefined()
    expect(await node.blobs.listManifests(signal)).toHaveLength(1)
  })
})
