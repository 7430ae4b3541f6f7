import {expect, test} from 'vitest'
import {CheckpointError} from '../../../../src/checkpoint/errors.ts'
import {checkpointRef} from '../../../../src/programs/node-agent/checkpoint-object.ts'
import {reconcileCheckpoint} from '../../../../src/programs/node-agent/checkpoint-reconciler.ts'
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
      await reconcileCheckpoint(NAME, {...lived, checkpoint})
      expect(asked).toBe(calls)
      expect(await node.kube.get(checkpointRef(NAME))).toMatchObject({status: {phase}})
      expect(node.runs).toBe(true)
    })
  },
)
