import {mkdir, readdir} from 'node:fs/promises'
import {dirname, join} from 'node:path'
import {expect, test} from 'vitest'
import {CheckpointError} from '../../../../src/checkpoint/errors.ts'
import {checkpointRef} from '../../../../src/programs/node-agent/checkpoint-object.ts'
import {reconcileCheckpoint} from '../../../../src/programs/node-agent/checkpoint-reconciler.ts'
import {UnsuitedDumpError} from '../../../../src/programs/node-agent/direct-dump.ts'
import type {AgentTools} from '../../../../src/programs/node-agent/tools.ts'
import {FakeNode, Life, POD} from '../../../support/fake-node.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const NAME = {namespace: POD.namespace, name: 'nightly'}

test.for([
  [3, 'Ready', 4, 'OCI runtime pause failed: unable to freeze'],
  [9, 'Failed', 4, 'criu: Unseizable non-zombie 37938 found, state D'],
] as const)(
  'a container that does not stand still %i times on a busy node is checkpointed: %s',
  async ([times, phase, calls, said]) => {
    await withTempFolder(async (folder) => {
      const node = new FakeNode(folder)
      node.ask(NAME.name, {})
      const lived = node.tools(new Life(), new AbortController().signal)
      let asked = 0
      const checkpoint: AgentTools['checkpoint'] = (...parameters) => {
        asked += 1
        if (asked > times) return lived.checkpoint(...parameters)
        return Promise.reject(new CheckpointError('CHECKPOINT_FAILED', said))
      }
      const directDump: AgentTools['directDump'] = (...parameters) => {
        asked += 1
        if (asked > times) return lived.directDump(...parameters)
        return Promise.reject(new CheckpointError('CHECKPOINT_FAILED', said))
      }
      for (const dumpWay of ['Runtime', 'Direct'] as const) {
        asked = 0
        node.dumpWay = dumpWay
        await reconcileCheckpoint(NAME, {...lived, checkpoint, directDump})
        expect(asked).toBe(calls)
        expect(await node.kube.get(checkpointRef(NAME))).toMatchObject({status: {phase}})
        expect(node.runs).toBe(true)
        node.kube.drop(checkpointRef(NAME))
        node.ask(NAME.name, {})
      }
    })
  },
)

test('memory for dumps that is full is left for the disk, and one that is not is not to blame', async () => {
  await withTempFolder(async (folder) => {
    const node = new FakeNode(folder)
    await mkdir(join(folder, 'memory'))
    Object.assign(node, {dumpWay: 'Direct', memoryBytes: 2 ** 40, memoryIsFull: true})
    const lived = node.tools(new Life(), new AbortController().signal)
    const folders: string[] = []
    const full: AgentTools['directDump'] = (target, path, ...rest) => {
      folders.push(dirname(path))
      if (folders.length > 1) return lived.directDump(target, path, ...rest)
      return Promise.reject(new CheckpointError('CHECKPOINT_FAILED', 'no space left on device'))
    }
    node.ask(NAME.name, {podPolicy: 'Freeze'})
    await reconcileCheckpoint(NAME, {...lived, directDump: full})
    expect(await node.kube.get(checkpointRef(NAME))).toMatchObject({status: {phase: 'Ready', frozen: true}})
    expect(folders).toEqual([join(folder, 'memory'), folder])
    expect(await readdir(join(folder, 'memory'))).toEqual([])

    node.memoryIsFull = false
    node.kube.drop(checkpointRef(NAME))
    await lived.cgroups.thaw('')
    node.ask(NAME.name, {})
    folders.length = 0
    await reconcileCheckpoint(NAME, {...lived, directDump: full})
    expect(folders).toEqual([join(folder, 'memory')])
    expect(await node.kube.get(checkpointRef(NAME))).toMatchObject({status: {phase: 'Failed'}})
  })
})

test('what cannot be dumped to a folder is dumped by an archive of the runtime', async () => {
  await withTempFolder(async (folder) => {
    const node = new FakeNode(folder, ['one', 'two'])
    node.dumpWay = 'Direct'
    const lived = node.tools(new Life(), new AbortController().signal)
    const byRuntime: string[] = []
    const checkpoint: AgentTools['checkpoint'] = (target, ...rest) => {
      byRuntime.push(target.container)
      return lived.checkpoint(target, ...rest)
    }
    const directDump: AgentTools['directDump'] = (target, ...rest) =>
      target.container === 'one'
        ? lived.directDump(target, ...rest)
        : Promise.reject(new UnsuitedDumpError('no overlay is mounted there', new Error('exit code 3')))
    node.ask(NAME.name, {podPolicy: 'Freeze'})
    await reconcileCheckpoint(NAME, {...lived, checkpoint, directDump})
    expect(await node.kube.get(checkpointRef(NAME))).toMatchObject({status: {phase: 'Ready'}})
    expect(byRuntime).toEqual(['one', 'two'])
    // Neither is one whose root is no overlay, which is seen before.
    const {upper: _upper, ...size} = node.dumpSize
    node.dumpSize = size
    node.kube.drop(checkpointRef(NAME))
    await lived.cgroups.thaw('')
    byRuntime.length = 0
    node.ask(NAME.name, {})
    await reconcileCheckpoint(NAME, {...lived, checkpoint})
    expect(byRuntime).toEqual(['one', 'two'])
  })
})
