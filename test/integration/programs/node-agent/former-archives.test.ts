import {readdir, utimes, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {Registry} from 'prom-client'
import {expect, test} from 'vitest'
import {startAgent} from '../../../../src/programs/node-agent/agent.ts'
import {kubeletArchives} from '../../../../src/programs/node-agent/former-archives.ts'
import {diskPreparations} from '../../../../src/programs/node-agent/prepare.ts'
import {reconcileCheckpoint} from '../../../../src/programs/node-agent/checkpoint-reconciler.ts'
import {API_VERSION} from '../../../../src/api/names.ts'
import {FakeNode, Life, NODE, POD} from '../../../support/fake-node.ts'
import {MEMBERS, SPEC, tarOf} from '../../../support/kubelet-archive.ts'
import {tempFolder} from '../../../support/temp-folder.ts'

const FILE = 'checkpoint-web_team-b-main-2026-11-21T09:00:00Z.tar'
const OURS = {namespace: 'team', pod: 'web', container: 'b-main'}
const THEIRS = {namespace: 'team-b', pod: 'web', container: 'main'}

/** An archive that says whose it is. */
const archiveOf = ({namespace, pod, container}: typeof OURS): Promise<Uint8Array> =>
  tarOf({
    ...MEMBERS,
    'spec.dump': JSON.stringify({
      ...SPEC,
      annotations: {
        'io.kubernetes.cri.sandbox-namespace': namespace,
        'io.kubernetes.cri.sandbox-name': pod,
        'io.kubernetes.cri.container-name': container,
      },
    }),
  })

const EVER = {sinceMs: 0, untilMs: Number.POSITIVE_INFINITY}

test('of two containers whose archives have the same name each loses its own only', async () => {
  await using folder = await tempFolder()
  const archives = kubeletArchives(folder.path)
  await writeFile(join(folder.path, FILE), await archiveOf(THEIRS))
  await archives.removeUnclaimed(OURS, EVER, false)
  expect(await readdir(folder.path)).toEqual([FILE])
  await archives.removeUnclaimed(THEIRS, EVER, true)
  expect(await readdir(folder.path)).toEqual([])
})

test('one that was broken off goes where no other container has its name', async () => {
  await using folder = await tempFolder()
  const archives = kubeletArchives(folder.path)
  await writeFile(join(folder.path, FILE), (await archiveOf(OURS)).subarray(0, 700))
  await archives.removeUnclaimed(OURS, EVER, true)
  expect(await readdir(folder.path)).toEqual([FILE])
  await archives.removeUnclaimed(OURS, EVER, false)
  expect(await readdir(folder.path)).toEqual([])
})

test("a Checkpoint that names no container of its pod takes nobody else's archive", async () => {
  await using folder = await tempFolder()
  const node = new FakeNode(folder.path)
  const file = `checkpoint-${POD.name}_${POD.namespace}-b-main-2099-01-01T00:00:00Z.tar`
  await writeFile(join(folder.path, file), '')
  node.ask('grab', {containers: ['b-main']})
  const over = new AbortController()
  await reconcileCheckpoint({namespace: POD.namespace, name: 'grab'}, node.tools(new Life(), over.signal))
  expect(node.kube.peek(API_VERSION, 'Checkpoint')[0]?.['status']).toMatchObject({
    phase: 'Failed',
    nodeName: NODE,
    message: expect.stringContaining('no such container') as string,
  })
  expect(await readdir(folder.path)).toEqual([file])
})

test('what an agent of before had begun is removed when the next one starts, and nothing newer', async () => {
  await using folder = await tempFolder()
  const node = new FakeNode(folder.path)
  const nameAt = (time: string) => `checkpoint-${POD.name}_${POD.namespace}-smoke-${time}.tar`
  const [old, begun, later] = ['2026-11-20T09:00:00Z', '2026-11-21T09:00:00Z', '2099-01-01T00:00:00Z']
  for (const time of [old, begun, later]) {
    const path = join(folder.path, nameAt(time))
    await writeFile(path, 'half of it')
    await utimes(path, new Date(time), new Date(time))
  }
  node.ask('nightly', {})
  const [pod] = node.kube.peek('v1', 'Pod')
  await node.kube.patch(
    {apiVersion: API_VERSION, kind: 'Checkpoint', namespace: POD.namespace, name: 'nightly'},
    {
      status: {
        phase: 'Dumping',
        nodeName: NODE,
        podUID: pod?.metadata.uid,
        startTime: '2026-11-21T08:59:00Z',
      },
    },
    {subresource: 'status'},
  )
  const over = new AbortController()
  const tools = {...node.tools(new Life(), over.signal), now: () => Date.parse('2026-11-30T00:00:00Z')}
  const agent = startAgent(tools, diskPreparations(join(folder.path, 'restore'), tools), new Registry())
  const left = async () => (await readdir(folder.path)).filter((name) => name.startsWith('checkpoint-'))
  await expect.poll(left, {interval: 5}).toEqual([nameAt(old), nameAt(later)])
  await agent.idle()
  over.abort()
})
