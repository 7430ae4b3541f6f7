import {expect, test} from 'vitest'
import {checkpointRef} from '../../../../src/programs/node-agent/checkpoint-object.ts'
import {reconcileCheckpoint} from '../../../../src/programs/node-agent/checkpoint-reconciler.ts'
import {FakeNode, Life, POD} from '../../../support/fake-node.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const NAME = {namespace: POD.namespace, name: 'nightly'}

test('a pod is ended by its checkpoint only once the controller has said that it would be taken again', () =>
  withTempFolder(async (folder) => {
    const node = new FakeNode(folder, ['smoke'])
    node.ask(NAME.name, {podPolicy: 'Delete'})
    const ref = checkpointRef(NAME)
    await node.kube.patch(ref, {status: {admitted: null}}, {subresource: 'status'})
    const take = () => reconcileCheckpoint(NAME, node.tools(new Life(), new AbortController().signal))
    await take()
    expect(await node.kube.get(ref)).toMatchObject({status: {phase: 'Pending'}})
    expect(node.processes.alive).toBe(true)
    await node.kube.patch(ref, {status: {admitted: true}}, {subresource: 'status'})
    await take()
    expect(await node.kube.get(ref)).toHaveProperty('status.phase', 'Ready')
    expect(node.processes.alive).toBe(false)
  }))
