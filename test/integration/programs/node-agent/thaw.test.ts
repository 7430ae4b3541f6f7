import {mkdir, readdir, writeFile} from 'node:fs/promises'
import {createServer} from 'node:net'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import type {Cgroups, ContainerCgroup} from '../../../../src/programs/node-agent/cgroups.ts'
import {dumpFolder} from '../../../../src/programs/node-agent/dump-folder.ts'
import {containerdShims, type Shims} from '../../../../src/programs/node-agent/shims.ts'
import {isStopped, resumePod} from '../../../../src/programs/node-agent/thaw.ts'
import {noPageServers as pageServers} from '../../../support/page-servers.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const UID = '59002284-99ba-40ea-be82-c5dfb31d88b6'
const RUNNING = 2
const PAUSED = 4

/** What a shim of containerd 2.3 answers, as it was recorded: status 0 and a StateResponse, or words of a refusal. */
async function withShim(
  state: {status: number; calls: string[]},
  use: (shims: Shims) => Promise<void>,
): Promise<void> {
  await withTempFolder(async (folder) => {
    const path = join(folder, 'shim.sock')
    const server = createServer((socket) => {
      socket.on('data', (request) => {
        const [method = 'nothing'] = /State|Resume/.exec(request.toString('latin1')) ?? []
        state.calls.push(method)
        const refused = method === 'Resume' && state.status !== PAUSED
        const words = Buffer.from('cannot resume a running process')
        const body = refused
          ? Buffer.from([0x0a, words.length + 4, 0x08, 2, 0x12, words.length, ...words])
          : Buffer.from([0x12, 4, 0x18, 70, 0x20, method === 'State' ? state.status : 0])
        if (method === 'Resume' && !refused) state.status = RUNNING
        const header = Buffer.alloc(10)
        header.writeUInt32BE(body.length, 0)
        header.writeUInt32BE(1, 4)
        header.writeUInt8(2, 8)
        // In two pieces, as a socket may bring it.
        socket.write(header.subarray(0, 7))
        setImmediate(() => socket.write(Buffer.concat([header.subarray(7), body])))
      })
    })
    await new Promise<void>((resolve) => server.listen(path, resolve))
    try {
      await mkdir(join(folder, 'one'))
      const bootstrap = {version: 3, address: `unix://${path}`, protocol: 'ttrpc'}
      await writeFile(join(folder, 'one/bootstrap.json'), JSON.stringify(bootstrap))
      await use(containerdShims(folder))
    } finally {
      server.close()
    }
  })
}

test('a shim tells whether it takes its container for paused, and ends that', async () => {
  const state = {status: PAUSED, calls: []}
  await withShim(state, async (shims) => {
    expect(await shims.isPaused('one')).toBe(true)
    await shims.resume('one')
    expect(await shims.isPaused('one')).toBe(false)
    await expect(shims.resume('one')).rejects.toThrow('Resume: cannot resume a running process')
    expect(await shims.isPaused('another')).toBe(false)
    await expect(shims.isPaused('../one')).rejects.toThrow('not the id of a container')
  })
})

/** A pod with one container, which CRIU holds for so many looks. */
function tracedFor(looks: number) {
  const done: string[] = []
  const cgroup: ContainerCgroup = {version: 1, pod: '/pod', container: '/pod/one', pid: 70}
  let left = looks
  const cgroups: Pick<Cgroups, 'containers' | 'isFrozen' | 'isTraced' | 'holdContainer' | 'thaw'> = {
    containers: () => Promise.resolve([{id: 'one', cgroup}]),
    isFrozen: () => Promise.resolve(false),
    isTraced: () => Promise.resolve(left-- > 0),
    holdContainer: () => Promise.resolve(void done.push('hold')),
    thaw: () => Promise.resolve(void done.push(`thaw with ${left} looks left`)),
  }
  return {done, cgroups: cgroups as Cgroups}
}

test('a pod whose dump was broken off goes on when CRIU is done, and its shim knows that it runs', async () => {
  const state: {status: number; calls: string[]} = {status: PAUSED, calls: []}
  await withShim(state, async (shims) => {
    const {done, cgroups} = tracedFor(2)
    const tools = {cgroups, pageServers, shims, log: () => undefined, signal: new AbortController().signal}
    expect(await isStopped(UID, tools)).toBe(true)
    await resumePod(UID, tools)
    // runc resumes what it finds frozen; CRIU would have set the freezer again after an earlier thaw.
    expect(done).toEqual(['hold', 'thaw with -1 looks left'])
    expect(state.status).toBe(RUNNING)
    expect(await isStopped(UID, tools)).toBe(false)
  })
})

test('a pod that nobody stopped is only thawed', async () => {
  const state: {status: number; calls: string[]} = {status: RUNNING, calls: []}
  await withShim(state, async (shims) => {
    const {done, cgroups} = tracedFor(0)
    await resumePod(UID, {
      ...{cgroups, pageServers, shims, log: () => undefined},
      signal: new AbortController().signal,
    })
    expect(done).toEqual(['thaw with -1 looks left'])
    expect(state.calls).toEqual(['State'])
  })
})

test('what a broken dump left is removed when no dump is at work, and nothing else', async () => {
  await withTempFolder(async (folder) => {
    const dumps = dumpFolder(join(folder, 'dumps'), () => undefined)
    await dumps.clean()
    for (const name of ['ctrd-checkpoint4806', 'containerd-mount12'])
      await mkdir(join(folder, 'dumps', name), {recursive: true})
    const left = () => readdir(join(folder, 'dumps'))
    await dumps.during(async () => {
      await dumps.clean()
      expect(await left()).toHaveLength(2)
    })
    expect(await left()).toEqual(['containerd-mount12'])
    const broken = dumps.during(() => Promise.reject(new Error('broken off')))
    await expect(broken).rejects.toThrow('broken off')
    await mkdir(join(folder, 'dumps/ctrd-checkpoint1'))
    await dumps.clean()
    expect(await left()).toEqual(['containerd-mount12'])
  })
})
