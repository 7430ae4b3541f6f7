import {copyFile, mkdir, readdir, readFile, rm, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test, vi} from 'vitest'
import {diskStore} from '../../../src/store/disk.ts'
import {identifyProcess} from '../../../src/base/process-identity.ts'
import type {ClusterStore} from '../../../src/store/types.ts'
import {fixedClock, type FixedClock} from '../../support/fixed-clock.ts'
import {withTempFolder} from '../../support/temp-folder.ts'

const MINUTE_MS = 60_000

interface Owner {
  readonly home: string
  readonly clock: FixedClock
  readonly pid?: number
  readonly hostname?: string
  readonly living?: ReadonlyMap<number, string>
  readonly lockLifeMs?: number
}

function storeOf({home, clock, pid = 1, hostname = 'laptop', living, lockLifeMs}: Owner): ClusterStore {
  return diskStore({
    home,
    now: clock.now,
    pid,
    hostname,
    identify: (other) => Promise.resolve((living ?? new Map([[1, 'a']])).get(other)),
    ...(lockLifeMs === undefined ? {} : {lockLifeMs}),
  })
}

test('the refusal tells who holds the lock, since when, and what to do', async () => {
  await withTempFolder(async (home) => {
    const clock = fixedClock()
    await using _lock = await storeOf({home, clock}).lock('demo', 'kubeadm init')
    const here = storeOf({home, clock}).lock('demo', 'kubeadm reset')
    await expect(here).rejects.toMatchObject({
      code: 'LOCKED',
      exitCode: 9,
      message:
        'cluster demo is in use by `clouder kubeadm init`, process 1 on laptop, since 2026-11-21T09:00:00.000Z',
      suggestions: [expect.stringContaining('kill -INT 1')],
    })
    const elsewhere = storeOf({home, clock, hostname: 'server'}).lock('demo', 'kubeadm reset')
    await expect(elsewhere).rejects.toMatchObject({
      suggestions: [expect.stringContaining('2026-11-21T09:05:00.000Z')],
    })
  })
})

test('a lock whose process is gone is taken over on the same host only', async () => {
  await withTempFolder(async (home) => {
    const clock = fixedClock()
    await storeOf({home, clock}).lock('demo', 'kubeadm init')
    const living = new Map([[2, 'b']])
    await expect(
      storeOf({home, clock, pid: 2, living, hostname: 'server'}).lock('demo', 'kubeadm init'),
    ).rejects.toMatchObject({code: 'LOCKED'})
    await using _lock = await storeOf({home, clock, pid: 2, living}).lock('demo', 'kubeadm init')
  })
})

test('a pid that another process got meanwhile does not keep the lock', async () => {
  await withTempFolder(async (home) => {
    const clock = fixedClock()
    await storeOf({home, clock, living: new Map([[1, 'first']])}).lock('demo', 'kubeadm init')
    const living = new Map([
      [1, 'second'],
      [2, 'b'],
    ])
    await using _lock = await storeOf({home, clock, pid: 2, living}).lock('demo', 'kubeadm init')
  })
})

test('an expired lock is taken over, and its first owner does not remove the new one', async () => {
  await withTempFolder(async (home) => {
    const clock = fixedClock()
    const first = await storeOf({home, clock, hostname: 'server'}).lock('demo', 'kubeadm init')
    clock.advance(5 * MINUTE_MS + 1)
    const store = storeOf({home, clock})
    await using _second = await store.lock('demo', 'kubeadm init')
    await first[Symbol.asyncDispose]()
    await expect(store.lock('demo', 'kubeadm init')).rejects.toMatchObject({code: 'LOCKED'})
    expect(await readdir(store.paths('demo').dir)).toEqual(['lock.json'])
  })
})

test('a lock is renewed while its owner lives', async () => {
  await withTempFolder(async (home) => {
    const clock = fixedClock()
    const store = storeOf({home, clock, lockLifeMs: 30})
    await using _lock = await store.lock('demo', 'kubeadm init')
    const path = join(store.paths('demo').dir, 'lock.json')
    const before = await readFile(path, 'utf8')
    clock.advance(MINUTE_MS)
    await vi.waitFor(async () => expect(await readFile(path, 'utf8')).toContain('2026-11-21T09:01:00.030Z'))
    expect(await readFile(path, 'utf8')).toHaveLength(before.length)
  })
})

test('a lock is given back even when a run was killed while it gave the lock back or took it over', async () => {
  await withTempFolder(async (home) => {
    const clock = fixedClock()
    const store = storeOf({home, clock})
    const {dir} = store.paths('demo')
    const lockPath = join(dir, 'lock.json')
    const dead = storeOf({home, clock, pid: 7, living: new Map([[7, 'x']])})
    await dead.lock('demo', 'kubeadm init')
    const {token} = JSON.parse(await readFile(lockPath, 'utf8')) as {token: string}
    // As if process 8 had got the right to follow, and died before it used it.
    await copyFile(lockPath, join(home, 'first.json'))
    await rm(lockPath)
    await storeOf({home, clock, pid: 8, living: new Map([[8, 'y']])}).lock('demo', 'kubeadm init')
    await copyFile(lockPath, join(dir, `lock.${token}.json`))
    await copyFile(join(home, 'first.json'), lockPath)
    await writeFile(join(dir, `lock.${crypto.randomUUID()}.tmp`), '{')
    await using _lock = await store.lock('demo', 'kubeadm init')
    expect(await readdir(dir)).toEqual(['lock.json'])
  })
})

test('a lock file that clouder did not write is told, not removed', async () => {
  await withTempFolder(async (home) => {
    const store = storeOf({home, clock: fixedClock()})
    const {dir} = store.paths('demo')
    await mkdir(dir, {recursive: true})
    await writeFile(join(dir, 'lock.json'), 'mine')
    await expect(store.lock('demo', 'kubeadm init')).rejects.toMatchObject({
      code: 'LOCKED',
      suggestions: [expect.stringContaining(`rm ${join(dir, 'lock.json')}`)],
    })
    expect(await readFile(join(dir, 'lock.json'), 'utf8')).toBe('mine')
  })
})

test('giving a lock back after its folder was deleted by hand is fine', async () => {
  await withTempFolder(async (home) => {
    const store = storeOf({home, clock: fixedClock()})
    const lock = await store.lock('demo', 'kubeadm init')
    await rm(store.paths('demo').dir, {recursive: true})
    await lock[Symbol.asyncDispose]()
    expect(await readdir(join(home, 'kubeadm'))).toEqual([])
  })
})

test('a process is known by more than its pid, and a pid that nobody has is nobody', async () => {
  const own = await identifyProcess(process.pid)
  expect(own).toBeDefined()
  expect(await identifyProcess(process.pid)).toBe(own)
  expect(await identifyProcess(process.ppid)).not.toBe(own)
  expect(await identifyProcess(2 ** 30)).toBeUndefined()
})
