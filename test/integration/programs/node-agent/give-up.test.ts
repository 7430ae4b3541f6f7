import {readdir} from 'node:fs/promises'
import {expect, test} from 'vitest'
import {THAW_ANNOTATION} from '../../../../src/api/names.ts'
import {checkpointStatusSchema} from '../../../../src/api/resources.ts'
import {CheckpointError} from '../../../../src/checkpoint/errors.ts'
import {KubernetesError} from '../../../../src/kubernetes/errors.ts'
import {checkpointRef} from '../../../../src/programs/node-agent/checkpoint-object.ts'
import {reconcileCheckpoint} from '../../../../src/programs/node-agent/checkpoint-reconciler.ts'
import {sealsAhead} from '../../../../src/programs/node-agent/seal-ahead.ts'
import type {AgentTools} from '../../../../src/programs/node-agent/tools.ts'
import {FakeNode, Life, POD} from '../../../support/fake-node.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const NAME = {namespace: POD.namespace, name: 'nightly'}
const REF = checkpointRef(NAME)
const MOST_EFFECTS = 60
const {signal} = new AbortController()

const statusOf = async (node: FakeNode) =>
  checkpointStatusSchema.parse((await node.kube.get(REF))?.['status'] ?? {})
const archivesIn = async (folder: string): Promise<readonly string[]> =>
  (await readdir(folder)).filter((name) => name.startsWith('clouder-'))

/** Tools whose store is not there; `meanwhile` happens before that is found when it is needed. */
const withoutStore = (tools: AgentTools, meanwhile: () => Promise<unknown> = () => Promise.resolve()) => {
  const missing = (): Promise<never> =>
    Promise.reject(new CheckpointError('STORE_UNKNOWN', 'there is no such store'))
  const stores = {...tools.stores, open: missing}
  return {
    ...tools,
    // While the dump is written it is not there either.
    ahead: sealsAhead({...tools, stores, dumps: tools.archives}),
    stores: {...stores, open: () => meanwhile().then(missing)},
  }
}

test.for(
  (['Resume', 'Freeze', 'Delete'] as const).flatMap((podPolicy) =>
    (['Runtime', 'Direct'] as const).map((dumpWay) => [podPolicy, dumpWay] as const),
  ),
)(
  'an agent killed while it gives up has undone nothing before that was told: %s, %s',
  async ([podPolicy, dumpWay]) => {
    let effects: readonly string[] = []
    for (let point = 1; point <= MOST_EFFECTS; point++) {
      const life = new Life(point)
      await withTempFolder(async (folder) => {
        const node = new FakeNode(folder)
        node.dumpWay = dumpWay
        node.ask(NAME.name, {podPolicy})
        const taking = reconcileCheckpoint(NAME, withoutStore(node.tools(life, signal)))
        await taking.catch((error: unknown) => {
          if (!life.over) throw error
        })
        effects = life.effects
        const seen = `killed after ${effects.length} effects: ${effects.at(-1)}`
        const {phase} = await statusOf(node)
        if (phase === 'Storing') {
          expect(await archivesIn(folder), seen).toHaveLength(1)
          if (podPolicy !== 'Resume') expect(node.processes.ranAfterDump, seen).toBe(false)
        }
        if (life.over) await reconcileCheckpoint(NAME, withoutStore(node.tools(new Life(), signal)))
        expect(await statusOf(node), seen).toMatchObject({
          phase: 'Failed',
          reason: 'STORE_UNKNOWN',
          frozen: false,
        })
        expect(await archivesIn(folder), seen).toEqual([])
        expect(node.runs, seen).toBe(true)
      })
      if (!life.over) break
    }
    expect(effects.length).toBeLessThan(MOST_EFFECTS)
    expect(effects).toContain('archives.remove')
  },
)

test('what became Ready while it was given up stays Ready, and its pod stands still', async () => {
  await withTempFolder(async (folder) => {
    const node = new FakeNode(folder)
    node.ask(NAME.name, {podPolicy: 'Freeze'})
    const ready = () =>
      node.kube.patch(REF, {status: {phase: 'Ready', message: 'stored'}}, {subresource: 'status'})
    await reconcileCheckpoint(NAME, withoutStore(node.tools(new Life(), signal), ready))
    expect(await statusOf(node)).toMatchObject({phase: 'Ready', message: 'stored', frozen: true})
    expect(node.processes.ranAfterDump).toBe(false)
  })
})

test('where the API server takes no word of a failure, the pod goes on all the same, and nothing gets Ready', async () => {
  await withTempFolder(async (folder) => {
    const node = new FakeNode(folder)
    node.ask(NAME.name, {podPolicy: 'Freeze'})
    const whole = node.tools(new Life(), signal)
    const refusal = new KubernetesError('API_REJECTED', 'forbidden', {answer: {status: 403}})
    const kube: AgentTools['kube'] = new Proxy(whole.kube, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name)
        if (typeof value !== 'function') return value
        return (...parameters: unknown[]): unknown =>
          name === 'patch' && JSON.stringify(parameters).includes('"phase":"Failed"')
            ? Promise.reject(refusal)
            : Reflect.apply(value, target, parameters)
      },
    })
    await expect(reconcileCheckpoint(NAME, withoutStore({...whole, kube}))).rejects.toThrow('forbidden')
    expect(await archivesIn(folder)).toEqual([])
    expect(node.runs).toBe(true)
    // With its store, it would be stored now.
    await reconcileCheckpoint(NAME, whole)
    expect(await statusOf(node)).toMatchObject({phase: 'Failed', frozen: false})
  })
})

test('a checkpoint that is stored does not fail by the hook after it', async () => {
  await withTempFolder(async (folder) => {
    const node = new FakeNode(folder)
    node.ask(NAME.name, {
      podPolicy: 'Freeze',
      hooks: {postCheckpoint: {container: 'smoke', command: ['fail']}},
    })
    const tools = node.tools(new Life(), signal)
    await reconcileCheckpoint(NAME, tools)
    expect(await statusOf(node)).toMatchObject({phase: 'Ready', frozen: true})
    await node.kube.patch(REF, {metadata: {annotations: {[THAW_ANNOTATION]: 'true'}}})
    const failing = {...tools, exec: () => Promise.resolve({exitCode: 1, stdout: '', stderr: 'no'})}
    await reconcileCheckpoint(NAME, failing)
    expect(await statusOf(node)).toMatchObject({phase: 'Ready', frozen: false})
    expect(node.runs).toBe(true)
  })
})

test('a pod that stands still for what the controller gave up goes on', async () => {
  await withTempFolder(async (folder) => {
    const node = new FakeNode(folder)
    node.ask(NAME.name, {podPolicy: 'Freeze'})
    const tools = node.tools(new Life(), signal)
    const lost = () =>
      node.kube.patch(REF, {status: {phase: 'Failed', reason: 'CHECKPOINT_FAILED'}}, {subresource: 'status'})
    await reconcileCheckpoint(NAME, withoutStore(tools, lost))
    expect(await statusOf(node)).toMatchObject({reason: 'CHECKPOINT_FAILED', frozen: false})
    expect(node.runs).toBe(true)
    expect(await archivesIn(folder)).toEqual([])
  })
})
