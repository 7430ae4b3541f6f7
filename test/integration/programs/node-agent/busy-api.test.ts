import {readdir} from 'node:fs/promises'
import {join} from 'node:path'
import {Registry} from 'prom-client'
import {expect, test} from 'vitest'
import {checkpointStatusSchema} from '../../../../src/api/resources.ts'
import {KubernetesError, type KubernetesErrorCode} from '../../../../src/kubernetes/errors.ts'
import {startAgent} from '../../../../src/programs/node-agent/agent.ts'
import {checkpointRef} from '../../../../src/programs/node-agent/checkpoint-object.ts'
import {diskPreparations} from '../../../../src/programs/node-agent/prepare.ts'
import {reconcileCheckpoint} from '../../../../src/programs/node-agent/checkpoint-reconciler.ts'
import type {AgentTools} from '../../../../src/programs/node-agent/tools.ts'
import {FakeNode, Life, POD} from '../../../support/fake-node.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const NAME = {namespace: POD.namespace, name: 'nightly'}
const AWAY: readonly KubernetesErrorCode[] = ['API_UNAVAILABLE', 'API_UNREACHABLE', 'API_CONFLICT']

interface Outcome {
  readonly calls: readonly string[]
  readonly dumps: number
  readonly wokenAfterDump: boolean
  readonly status: ReturnType<typeof checkpointStatusSchema.parse>
  readonly archives: readonly string[]
}

/**
 * An agent brings a Checkpoint to its end, and its `failing`-th call of the API server ends with `error`: before the
 * server saw it, or after it did what was asked, so that only the answer is lost.
 */
async function takenWith(
  failing: number,
  error: KubernetesError,
  podPolicy: 'Resume' | 'Freeze',
  lost: 'request' | 'answer' = 'request',
): Promise<Outcome> {
  return withTempFolder(async (folder) => {
    const node = new FakeNode(folder)
    node.ask(NAME.name, {podPolicy})
    const [calls, over] = [[] as string[], new AbortController()]
    let dumps = 0
    const whole = node.tools(new Life(), over.signal)
    const kube = new Proxy(whole.kube, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name)
        if (typeof value !== 'function' || name === 'watch') return value
        return (...parameters: unknown[]): unknown => {
          calls.push(`${String(name)} after ${dumps} dumps`)
          const fails = calls.length === failing
          if (fails && lost === 'request') return Promise.reject(error)
          const answer: unknown = Reflect.apply(value, target, parameters)
          return fails ? Promise.resolve(answer).then(() => Promise.reject(error)) : answer
        }
      },
    })
    const checkpoint: AgentTools['checkpoint'] = (...parameters) => {
      dumps += 1
      return whole.checkpoint(...parameters)
    }
    const tools: AgentTools = {...whole, kube, checkpoint}
    const agent = startAgent(tools, diskPreparations(join(folder, 'restore'), tools), new Registry())
    const status = async () =>
      checkpointStatusSchema.parse((await node.kube.get(checkpointRef(NAME)))?.['status'] ?? {})
    await expect
      .poll(async () => (await status()).phase, {interval: 5, timeout: 20_000})
      .toMatch(/Ready|Failed/)
    await agent.idle()
    over.abort()
    return {
      calls,
      dumps,
      wokenAfterDump: node.processes.ranAfterDump,
      status: await status(),
      archives: (await readdir(folder)).filter((name) => name.startsWith('clouder-')),
    }
  })
}

const KINDS = AWAY.flatMap((code) => (['request', 'answer'] as const).map((lost) => [code, lost] as const))

test.for(KINDS)(
  'whatever call ends in %s, its %s lost, nothing is failed, thawed or deleted',
  async ([code, lost]) => {
    const error = new KubernetesError(code, 'etcdserver: leader changed')
    const {calls} = await takenWith(0, error, 'Freeze')
    expect(calls.length).toBeGreaterThan(8)
    const outcomes = await Promise.all(calls.map((_, index) => takenWith(index + 1, error, 'Freeze', lost)))
    for (const [index, outcome] of outcomes.entries()) {
      const seen = `call ${index + 1}: ${outcome.calls[index]}`
      expect(outcome.status, seen).toMatchObject({phase: 'Ready', frozen: true})
      expect(outcome.dumps, seen).toBe(1)
      expect(outcome.wokenAfterDump, seen).toBe(false)
      expect(outcome.archives, seen).toEqual([])
    }
  },
)

test('a true refusal of a status write ends the checkpoint, and its pod goes on', async () => {
  const refusal = new KubernetesError('API_REJECTED', 'forbidden', {answer: {status: 403}})
  const {calls} = await takenWith(0, refusal, 'Freeze')
  const write = calls.findIndex((call) => call === 'patch after 1 dumps')
  const outcome = await takenWith(write + 1, refusal, 'Freeze')
  expect(outcome.status).toMatchObject({phase: 'Failed', frozen: false})
  expect(outcome.wokenAfterDump).toBe(true)
  expect(outcome.archives).toEqual([])
})

test('a pod that a dump would hold for minutes is refused before it is frozen', async () => {
  await withTempFolder(async (folder) => {
    const node = new FakeNode(folder)
    node.dumpSize = {...node.dumpSize, fileBytes: 3e9, holeBytes: 3e9, sparsest: '/var/sparse'}
    node.ask(NAME.name, {podPolicy: 'Freeze'})
    await reconcileCheckpoint(NAME, node.tools(new Life(), new AbortController().signal))
    const object = await node.kube.get(checkpointRef(NAME))
    expect(object?.['status']).toMatchObject({phase: 'Failed', reason: 'TOO_LARGE', frozen: false})
    expect(node.processes.dumped).toBe(false)
    expect(node.runs).toBe(true)
  })
})
