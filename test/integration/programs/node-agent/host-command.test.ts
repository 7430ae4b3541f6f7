import {readFile, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {
  delimitedField as field,
  numberField,
  type Message,
} from '../../../../src/checkpoint/archive/protobuf.ts'
import {containerdCommands, type HostCommands} from '../../../../src/programs/node-agent/host-command.ts'
import {hostRunc} from '../../../../src/programs/node-agent/runc.ts'
import {serveRuntime, type RuntimeAnswer} from '../../../support/fake-runtime.ts'
import {tempFolder} from '../../../support/temp-folder.ts'

const {signal} = new AbortController()
const OK: RuntimeAnswer = {body: Buffer.alloc(0)}
/** CHOWN and SYS_ADMIN. */
const STATUS = `Name:\tsystemd\nCapBnd:\t${(1n | (1n << 21n)).toString(16).padStart(16, '0')}\n`

type Answers = Readonly<Record<string, (request: Message) => RuntimeAnswer | Promise<RuntimeAnswer>>>

/** A containerd that answers so, and well where it is not said; the methods that were called. */
async function withContainerd(
  answers: Answers,
  use: (commands: HostCommands, called: readonly string[], folder: string) => Promise<void>,
): Promise<void> {
  await using folder = await tempFolder()
  const [socket, statusFile] = [join(folder.path, 'runtime.sock'), join(folder.path, 'status')]
  await writeFile(statusFile, STATUS)
  const called: string[] = []
  await using _runtime = await serveRuntime(socket, (request, path) => {
    const method = path.split('.').at(-1) ?? ''
    called.push(method)
    return answers[method]?.(request) ?? OK
  })
  await use(
    containerdCommands(socket, {
      statusFile,
      program: '/opt/clouder/clouder-files',
      root: join(folder.path, 'root'),
    }),
    called,
    folder.path,
  )
}

test('a command runs in the namespaces of the node with the capabilities that it has, and nothing of it is left', async () => {
  let container: Message | undefined
  let task: Message | undefined
  await withContainerd(
    {
      'Containers/Create': (request) => {
        container = request.message(1)
        return OK
      },
      'Tasks/Create': (request) => {
        task = request
        return OK
      },
      'Tasks/Wait': () => ({body: numberField(1, 3)}),
    },
    async (commands, called) => {
      expect(await commands.run(['runc', '--version'], {outputFile: '/var/said'}, signal)).toBe(3)
      expect(called).toEqual([
        ...['Containers/Create', 'Tasks/Create', 'Tasks/Start', 'Tasks/Wait', 'Tasks/Delete'],
        'Containers/Delete',
      ])
    },
  )
  expect(task?.text(1)).toBe(container?.text(1))
  expect([task?.text(5), task?.text(6)]).toEqual(['file:///var/said', 'file:///var/said'])
  const spec = JSON.parse(container?.message(5)?.text(2) ?? '') as Record<string, object>
  const held = ['CAP_CHOWN', 'CAP_SYS_ADMIN']
  expect(spec).toMatchObject({
    process: {
      args: ['/clouder-files', 'enter-node', '--', 'runc', '--version'],
      user: {uid: 0, gid: 0},
      capabilities: {bounding: held, effective: held, permitted: held},
    },
    // Without a mount namespace of its own runc would change the mounts of the node.
    linux: {namespaces: [{type: 'mount'}]},
  })
  expect(spec['root']).not.toMatchObject({path: '/'})
})

test('a command that nobody waits for any more runs on, and is removed when it ends', async () => {
  const {promise: end, resolve} = Promise.withResolvers<RuntimeAnswer>()
  const stop = new AbortController()
  const answers: Answers = {
    'Tasks/Wait': () => {
      stop.abort(new Error('the agent ends'))
      return end
    },
  }
  await withContainerd(answers, async (commands, called) => {
    await expect(commands.run(['sleep', '9'], {}, stop.signal)).rejects.toThrow('the agent ends')
    expect(called).not.toContain('Tasks/Kill')
    expect(called).not.toContain('Tasks/Delete')
    resolve(OK)
    await expect.poll(() => called.at(-1), {interval: 10}).toBe('Containers/Delete')
  })
})

test('a command that cannot be started is removed', () =>
  withContainerd({'Tasks/Start': () => ({status: 2, message: 'no such file'})}, async (commands, called) => {
    const error = await commands.run(['absent'], {}, signal).catch((problem: unknown) => problem)
    expect(error).toMatchObject({
      code: 'CHECKPOINT_FAILED',
      message: expect.stringContaining('no such file') as string,
    })
    expect(called.slice(-2)).toEqual(['Tasks/Delete', 'Containers/Delete'])
  }))

test('commands of an agent that is gone are removed, and those that still run are not', async () => {
  const removed: unknown[] = []
  const list = ['command-ended', 'command-runs', 'of-others'].map((id) => field(1, field(1, id)))
  const answers: Answers = {
    'Containers/List': () => ({body: Buffer.concat(list)}),
    'Tasks/Delete': (request) =>
      request.text(1) === 'command-runs' ? {status: 9, message: 'task must be stopped'} : OK,
    'Containers/Delete': (request) => {
      removed.push(request.text(1))
      return OK
    },
  }
  await withContainerd(answers, async (commands) => {
    await commands.clean(signal)
    expect(removed).toEqual(['command-ended'])
  })
})

test('runc is called on the containers of pods, and what it says of a failure is told', async () => {
  let words: readonly string[] = []
  await using logs = await tempFolder()
  const answers: Answers = {
    'Containers/Create': async (request) => {
      const spec = JSON.parse(request.message(1)?.message(5)?.text(2) ?? '') as {process: {args: string[]}}
      words = spec.process.args
      const line = {level: 'error', msg: 'criu is missing features: [MemTrack]', time: '2026-11-30T17:00:00Z'}
      await writeFile(join(logs.path, 'runc.log'), `${JSON.stringify(line)}\nno json\n`)
      return OK
    },
    'Tasks/Wait': () => ({body: numberField(1, 1)}),
  }
  await withContainerd(answers, async (commands) => {
    const folders = {images: '/dumps/pre-2', work: logs.path, parent: '../pre-1'}
    const dump = await hostRunc(commands).prepare('pre-dump', '0a1b', folders, signal)
    const error = await dump.run(signal).catch((problem: unknown) => problem)
    expect(error).toMatchObject({
      code: 'CHECKPOINT_FAILED',
      message: `runc failed to copy the memory of the running container: criu is missing features: [MemTrack] (log: ${logs.path}/dump.log)`,
    })
  })
  expect(await readFile(join(logs.path, 'runc.log'), 'utf8')).toContain('MemTrack')
  expect(words.join(' ')).toBe(
    `/clouder-files enter-node -- runc --root /run/containerd/runc/k8s.io --log ${logs.path}/runc.log --log-format json checkpoint --image-path /dumps/pre-2 --work-path ${logs.path} --pre-dump --parent-path ../pre-1 0a1b`,
  )
})
