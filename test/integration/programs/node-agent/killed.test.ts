import {mkdir, readdir} from 'node:fs/promises'
import {join} from 'node:path'
import {Registry} from 'prom-client'
import {expect, test} from 'vitest'
import {openCheckpoint} from '../../../../src/checkpoint/sealed/open.ts'
import {checkpointStatusSchema} from '../../../../src/api/resources.ts'
import {startAgent} from '../../../../src/programs/node-agent/agent.ts'
import {digestSchema} from '../../../../src/api/sealed-checkpoint.ts'
import {checkpointRef} from '../../../../src/programs/node-agent/checkpoint-object.ts'
import {diskPreparations} from '../../../../src/programs/node-agent/prepare.ts'
import {reconcileCheckpoint} from '../../../../src/programs/node-agent/checkpoint-reconciler.ts'
import {FakeNode, Life, POD} from '../../../support/fake-node.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const NAME = {namespace: POD.namespace, name: 'nightly'}
const MOST_EFFECTS = 60

const statusOf = async (node: FakeNode) =>
  checkpointStatusSchema.parse((await node.kube.get(checkpointRef(NAME)))?.['status'] ?? {})

/** An agent that lives until everything is done. */
async function liveOn(node: FakeNode): Promise<void> {
  const ended = new AbortController()
  const tools = node.tools(new Life(), ended.signal)
  const agent = startAgent(tools, diskPreparations(join(node.folder, 'restore'), tools), new Registry())
  await expect
    .poll(async () => (await statusOf(node)).phase, {interval: 5, timeout: 10_000})
    .toMatch(/Ready|Failed/)
  await agent.idle()
  ended.abort()
}

/** What is stored opens, and is the memory that was dumped. */
async function expectStored(node: FakeNode): Promise<void> {
  const {signal} = new AbortController()
  const {digest} = await statusOf(node)
  const {blobs, keys} = await node.tools(new Life(), signal).stores.open('default', {signal})
  const opened = await openCheckpoint({
    store: blobs,
    digest: digestSchema.parse(digest),
    keys: keys.wrappers,
    trust: keys.trust,
    signal,
  })
  for (const {name, archiveBytes} of opened.metadata.containers) {
    let bytes = 0
    for await (const part of opened.archive(name)) bytes += part.length
    expect(bytes).toBe(archiveBytes)
  }
}

const modes = [
  {podPolicy: 'Resume', containers: ['smoke']},
  {podPolicy: 'Resume', containers: ['one', 'two']},
  {podPolicy: 'Freeze', containers: ['one', 'two']},
  {podPolicy: 'Delete', containers: ['smoke']},
] as const

const ways = [
  {dumpWay: 'Runtime', memoryBytes: 0},
  {dumpWay: 'Direct', memoryBytes: 0},
  {dumpWay: 'Direct', memoryBytes: 2 ** 40},
] as const

test.for(modes.flatMap((mode) => ways.map((way) => ({...mode, ...way}))))(
  'an agent killed after any of its side effects loses nothing: $podPolicy, $containers, $dumpWay, $memoryBytes',
  async ({podPolicy, containers, dumpWay, memoryBytes}) => {
    let effects: readonly string[] = []
    for (let point = 1; point <= MOST_EFFECTS; point++) {
      const life = new Life(point)
      await withTempFolder(async (folder) => {
        const node = new FakeNode(folder, containers)
        Object.assign(node, {dumpWay, memoryBytes})
        await mkdir(join(folder, 'memory'))
        node.ask(NAME.name, {
          podPolicy,
          hooks: {preCheckpoint: {container: containers[0], command: ['sync']}},
        })
        await reconcileCheckpoint(NAME, node.tools(life, new AbortController().signal)).catch(
          (error: unknown) => {
            if (!life.over) throw error
          },
        )
        effects = life.effects
        const seen = `killed after ${effects.length} effects: ${effects.at(-1)}`
        // At every moment: the process, or a checkpoint of it that is whole.
        if (!node.processes.alive) expect((await statusOf(node)).phase, seen).toBe('Ready')
        if (life.over) await liveOn(node)
        const status = await statusOf(node)
        expect(status, seen).toMatchObject({phase: 'Ready', frozen: podPolicy === 'Freeze'})
        await expectStored(node)
        expect(
          (await readdir(folder, {recursive: true})).filter((name) => name.includes('clouder-')),
          seen,
        ).toEqual([])
        expect(node.processes.alive, seen).toBe(podPolicy !== 'Delete')
        if (podPolicy === 'Resume') expect(node.runs, seen).toBe(true)
        if (podPolicy === 'Freeze')
          expect(node.processes.podFrozen || node.processes.heldContainers.size > 0, seen).toBe(true)
      })
      if (!life.over) break
    }
    // All of them were tried: the last life came to its end.
    expect(effects.length).toBeLessThan(MOST_EFFECTS)
    expect(new Set(effects)).toContain(dumpWay === 'Direct' ? 'runtime.directDump' : 'runtime.checkpoint')
  },
)
