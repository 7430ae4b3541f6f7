import {join} from 'node:path'
import {expect, test} from 'vitest'
import {
  delimitedField as field,
  numberField,
  type Message,
} from '../../../../src/checkpoint/archive/protobuf.ts'
import {criCheckpoint} from '../../../../src/programs/node-agent/container-checkpoint.ts'
import {serveRuntime, type RuntimeAnswer} from '../../../support/fake-runtime.ts'
import {tempFolder} from '../../../support/temp-folder.ts'

const TARGET = {namespace: 'work', pod: 'web', podUid: 'uid-1', container: 'main', containerId: '0a1b'}
const LABELS = {
  'io.kubernetes.pod.namespace': 'work',
  'io.kubernetes.pod.name': 'web',
  'io.kubernetes.pod.uid': 'uid-1',
  'io.kubernetes.container.name': 'main',
}
const PATH = '/var/lib/clouder/archives/clouder-1-main.tar.0a'
const LIST = '/runtime.v1.RuntimeService/ListContainers'
const {signal} = new AbortController()

/** As containerd lists its containers. */
const listed = (labels: Readonly<Record<string, string>>, {id = '0a1b', state = 1} = {}): RuntimeAnswer => ({
  body: field(
    1,
    Buffer.concat([
      field(1, id),
      numberField(6, state),
      ...Object.entries(labels).map(([key, value]) =>
        field(8, Buffer.concat([field(1, key), field(2, value)])),
      ),
    ]),
  ),
})

type Answer = (request: Message, path: string) => RuntimeAnswer | Promise<RuntimeAnswer>

/** What comes of a checkpoint by a runtime that answers so: nothing, or the error. */
async function checkpointed(
  answer: Answer,
  {stop = signal, timeoutMs = 60_000}: {readonly stop?: AbortSignal; readonly timeoutMs?: number} = {},
): Promise<{readonly error: unknown; readonly asked: readonly string[]; readonly cancelled: () => number}> {
  await using folder = await tempFolder()
  const socket = join(folder.path, 'runtime.sock')
  const asked: string[] = []
  await using runtime = await serveRuntime(socket, (request, path) => {
    asked.push(path.replace(/^.*\//, ''))
    return answer(request, path)
  })
  const error: unknown = await criCheckpoint(socket, {timeoutMs})(TARGET, PATH, stop).catch(
    (problem: unknown) => problem,
  )
  if (stop.aborted || timeoutMs < 60_000) await expect.poll(runtime.cancelled, {interval: 10}).toBe(1)
  return {error, asked, cancelled: runtime.cancelled}
}

test('the container that was meant is checkpointed to the path that was asked for', async () => {
  const seen: unknown[] = []
  const {error} = await checkpointed((request, path) => {
    if (path === LIST) {
      seen.push(request.message(1)?.text(1))
      return listed(LABELS)
    }
    seen.push([path, request.text(1), request.text(2)])
    return {body: Buffer.alloc(0)}
  })
  expect(error).toBeUndefined()
  expect(seen).toEqual(['0a1b', ['/runtime.v1.RuntimeService/CheckpointContainer', '0a1b', PATH]])
})

test.for<[string, RuntimeAnswer, string]>([
  ['is not there any more', {body: Buffer.alloc(0)}, 'no longer exists on this node'],
  [
    'is of another pod of that name',
    listed({...LABELS, 'io.kubernetes.pod.uid': 'uid-2'}),
    'no longer exists on this node',
  ],
  [
    'is another one of its pod',
    listed({...LABELS, 'io.kubernetes.container.name': 'side'}),
    'no longer exists on this node',
  ],
  [
    'is of another namespace',
    listed({...LABELS, 'io.kubernetes.pod.namespace': 'x'}),
    'no longer exists on this node',
  ],
  ['has an id that only begins like it', listed(LABELS, {id: '0a1b2c'}), 'no longer exists on this node'],
  ['has ended', listed(LABELS, {state: 2}), 'is no longer running'],
])('nothing is dumped when the container %s', async ([, answer, words]) => {
  const {error, asked} = await checkpointed(() => answer)
  expect(error).toMatchObject({code: 'CHECKPOINT_FAILED', message: expect.stringContaining(words) as string})
  expect(asked).toEqual(['ListContainers'])
})

test.for<[string, RuntimeAnswer, string, string]>([
  [
    'CRIU fails',
    {status: 2, message: 'criu: exit 1, see path= /run/x.log'},
    'CHECKPOINT_FAILED',
    'path= /run/x.log',
  ],
  [
    'its shim is away in the middle',
    {status: 14, message: 'ttrpc: closed'},
    'CHECKPOINT_FAILED',
    'ttrpc: closed',
  ],
])('what a runtime says is an error of the checkpoint: %s', async ([, answer, code, words]) => {
  const {error} = await checkpointed((_, path) => (path === LIST ? listed(LABELS) : answer))
  expect(error).toMatchObject({code, message: expect.stringContaining(words) as string})
})

test('a runtime that starts is waited for: nothing was begun', async () => {
  const {error} = await checkpointed(() => ({status: 14, message: 'server is not initialized yet'}))
  expect(error).toMatchObject({
    code: 'API_UNREACHABLE',
    message: 'the container runtime does not respond: server is not initialized yet',
  })
})

test('a runtime that is not there is waited for', async () => {
  await expect(criCheckpoint('/nowhere/runtime.sock')(TARGET, PATH, signal)).rejects.toMatchObject({
    code: 'API_UNREACHABLE',
  })
})

test.for<[string, string, string]>([
  ['ListContainers', 'API_UNREACHABLE', 'before the dump it is waited for'],
  ['CheckpointContainer', 'CHECKPOINT_FAILED', 'within the dump it has failed'],
])('a runtime that dies at %s is told as %s: %s', async ([method, code]) => {
  await using folder = await tempFolder()
  const socket = join(folder.path, 'runtime.sock')
  await using runtime = await serveRuntime(socket, (_, path) => {
    if (!path.endsWith(method)) return listed(LABELS)
    runtime.breakOff()
    return new Promise<RuntimeAnswer>(() => undefined)
  })
  await expect(criCheckpoint(socket)(TARGET, PATH, signal)).rejects.toMatchObject({code})
})

test('a dump that is not wanted any more is cancelled', async () => {
  const stop = new AbortController()
  const {error} = await checkpointed(
    (_, path) => {
      if (path === LIST) return listed(LABELS)
      stop.abort(new Error('the agent ends'))
      return new Promise<RuntimeAnswer>(() => undefined)
    },
    {stop: stop.signal},
  )
  expect(error).toBe(stop.signal.reason)
})

test('a dump that does not end is cancelled too, and has failed', async () => {
  const {error} = await checkpointed(
    (_, path) => (path === LIST ? listed(LABELS) : new Promise<RuntimeAnswer>(() => undefined)),
    {timeoutMs: 200},
  )
  expect(error).toMatchObject({
    code: 'CHECKPOINT_FAILED',
    message: expect.stringContaining('timed out after 0.2 s') as string,
  })
})
