import {expect, test} from 'vitest'
import {podTemplateOf, templatedPodSchema} from '../../../../src/checkpoint/pod-template.ts'
import {checkpointStatusSchema, type CheckpointStatus} from '../../../../src/api/resources.ts'
import {checkpointRef} from '../../../../src/programs/node-agent/checkpoint-object.ts'
import {reconcileCheckpoint} from '../../../../src/programs/node-agent/checkpoint-reconciler.ts'
import {FakeNode, Life, NODE, POD} from '../../../support/fake-node.ts'
import {tempFolder} from '../../../support/temp-folder.ts'

const NAME = {namespace: POD.namespace, name: 'nightly'}

const statusOf = async ({kube}: FakeNode): Promise<CheckpointStatus> =>
  checkpointStatusSchema.parse((await kube.get(checkpointRef(NAME)))?.['status'] ?? {})

const taken = (node: FakeNode): Promise<void> =>
  reconcileCheckpoint(NAME, node.tools(new Life(), new AbortController().signal))

/** Another image, which a running pod may be given. */
function changePod({kube}: FakeNode): void {
  const [pod] = kube.peek('v1', 'Pod')
  if (pod === undefined) throw new Error('there is no pod')
  kube.put({...pod, spec: {nodeName: NODE, containers: [{name: 'smoke', image: 'clouder.dev/smoke:2'}]}})
}

test.for<[string, object]>([
  ['that is given to no node', {phase: null, nodeName: null, podUID: null, podTemplate: null}],
  ['that is given to another node', {nodeName: 'worker-2'}],
  ['of a pod of that name that is gone', {podUID: 'another'}],
  ['of which nobody has said what is made of it', {podTemplate: null}],
  ['of a pod that has changed since', {podTemplate: {spec: {containers: [{name: 'smoke', image: 'x:1'}]}}}],
])('a checkpoint %s is left alone', async ([, status]) => {
  await using folder = await tempFolder()
  const node = new FakeNode(folder.path)
  node.ask(NAME.name, {podPolicy: 'Freeze'})
  await node.kube.patch(checkpointRef(NAME), {status}, {subresource: 'status'})
  const before = await statusOf(node)
  await taken(node)
  expect(await statusOf(node)).toEqual(before)
  expect(node.processes.dumped).toBe(false)
  expect(node.runs).toBe(true)
})

test('a pod that changed before its dump is described again first', async () => {
  await using folder = await tempFolder()
  const node = new FakeNode(folder.path)
  node.ask(NAME.name, {podPolicy: 'Freeze'})
  // As an agent that died before its dump left it.
  await node.kube.patch(checkpointRef(NAME), {status: {phase: 'Dumping'}}, {subresource: 'status'})
  changePod(node)
  await taken(node)
  expect(await statusOf(node)).toMatchObject({phase: 'Pending', nodeName: NODE})
  expect(node.processes.dumped).toBe(false)
  const [pod] = node.kube.peek('v1', 'Pod')
  const podTemplate = podTemplateOf(templatedPodSchema.parse(pod))
  await node.kube.patch(checkpointRef(NAME), {status: {podTemplate}}, {subresource: 'status'})
  await taken(node)
  expect(await statusOf(node)).toMatchObject({phase: 'Ready', frozen: true, podTemplate})
})

test('what nobody described, as agents began it before, is described first', async () => {
  await using folder = await tempFolder()
  const node = new FakeNode(folder.path)
  node.ask(NAME.name, {})
  await node.kube.patch(
    checkpointRef(NAME),
    {status: {phase: 'Dumping', podTemplate: null}},
    {subresource: 'status'},
  )
  await taken(node)
  expect(await statusOf(node)).toMatchObject({phase: 'Pending', nodeName: NODE})
})
