import {chmod, mkdir, readdir, readFile, stat, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {StateError} from '../../../src/base/errors.ts'
import {diskStore} from '../../../src/store/disk.ts'
import type {ClusterStore} from '../../../src/store/types.ts'
import {fixedClock} from '../../support/fixed-clock.ts'
import {memoryStore} from '../../support/memory-store.ts'
import {recordOf, storeContract} from '../../support/store-contract.ts'
import {withTempFolder} from '../../support/temp-folder.ts'

const storeIn = (home: string): ClusterStore =>
  diskStore({home, now: Date.now, pid: process.pid, hostname: 'laptop'})

storeContract('memory', async (use) => await use(memoryStore()))
storeContract('disk', async (use) => await withTempFolder(async (home) => await use(storeIn(home))))

async function modeOf(path: string): Promise<string> {
  return ((await stat(path)).mode & 0o777).toString(8)
}

test('folders are for the owner alone, and so are files', async () => {
  await withTempFolder(async (parent) => {
    const store = storeIn(join(parent, 'home'))
    await store.update('demo', () => recordOf('demo'))
    await store.setDefaultCluster('demo')
    const {dir, record} = store.paths('demo')
    expect(await modeOf(dir)).toBe('700')
    expect(await modeOf(record)).toBe('600')
    expect(await modeOf(join(parent, 'home', 'clouder.yaml'))).toBe('600')
    await using _lock = await store.lock('demo', 'kubeadm init')
    expect(await modeOf(join(dir, 'lock.json'))).toBe('600')
    expect(await readdir(dir)).toEqual(['lock.json', 'record.json'])
  })
})

test('the record carries the time of the change', async () => {
  await withTempFolder(async (home) => {
    const clock = fixedClock('2026-11-21T10:00:00.000Z')
    const store = diskStore({home, now: clock.now, pid: process.pid, hostname: 'laptop'})
    const record = await store.update('demo', () => recordOf('demo'))
    expect(record.updatedAt).toBe('2026-11-21T10:00:00.000Z')
  })
})

const BROKEN: readonly (readonly [string, string, string, RegExp])[] = [
  ['text that is not JSON', '{"version": 1,', 'RECORD_INVALID', /not JSON/],
  ['an empty file', '', 'RECORD_INVALID', /not JSON/],
  ['a missing field', '{"version": 1, "name": "demo"}', 'RECORD_INVALID', /createdAt: .*; .*provider: /],
  ['an unknown field', JSON.stringify({...recordOf('demo'), colour: 1}), 'RECORD_INVALID', /colour/],
  ['the name of another cluster', JSON.stringify(recordOf('other')), 'RECORD_INVALID', /name: is "other"/],
  ['a version of zero', JSON.stringify({...recordOf('demo'), version: 0}), 'RECORD_INVALID', /version: /],
  [
    'a newer version',
    JSON.stringify({version: 2, shape: 'unknown'}),
    'RECORD_NEWER',
    /has version 2.*up to 1/,
  ],
]

for (const [what, text, code, words] of BROKEN) {
  test(`a record with ${what} is refused and never overwritten`, async () => {
    await withTempFolder(async (home) => {
      const store = storeIn(home)
      const {dir, record} = store.paths('demo')
      await mkdir(dir, {recursive: true})
      await writeFile(record, text)
      const attempts = [
        async () => await store.load('demo'),
        async () => await store.update('demo', () => recordOf('demo')),
      ]
      for (const attempt of attempts) {
        const error: unknown = await attempt().catch((thrown: unknown) => thrown)
        expect(error).toMatchObject({code, exitCode: 9})
        expect(String(error)).toMatch(words)
        expect(String(error)).toContain(record)
        expect(error instanceof StateError && error.suggestions.length).toBeGreaterThan(0)
      }
      expect(await readFile(record, 'utf8')).toBe(text)
      expect(await readdir(dir)).toEqual(['record.json'])
      expect(await store.list()).toEqual(['demo'])
    })
  })
}

test('a corrupt record says how to go on', async () => {
  await withTempFolder(async (home) => {
    const store = storeIn(home)
    const {dir, record} = store.paths('demo')
    await mkdir(dir, {recursive: true})
    await writeFile(record, 'x')
    await expect(store.load('demo')).rejects.toMatchObject({
      suggestions: [
        `move it aside: mv ${record} ${record}.broken`,
        expect.stringContaining('clouder kubeadm init demo --config'),
      ],
    })
  })
})

test('a home that cannot be written is told with its path', async () => {
  await withTempFolder(async (dir) => {
    const home = join(dir, 'home')
    await writeFile(home, 'a file where the folder should be')
    const store = storeIn(home)
    for (const attempt of [
      async () => await store.update('demo', () => recordOf('demo')),
      async () => await store.lock('demo', 'kubeadm init'),
      async () => await store.setDefaultCluster('demo'),
    ]) {
      const error: unknown = await attempt().catch((thrown: unknown) => thrown)
      expect(error).toMatchObject({code: 'STATE_UNWRITABLE'})
      expect(String(error)).toContain(home)
    }
  })
})

test('removing takes everything of the cluster but the lock of who removes it', async () => {
  await withTempFolder(async (home) => {
    const store = storeIn(home)
    {
      await using _lock = await store.lock('demo', 'kubeadm terminate')
      await store.update('demo', () => recordOf('demo'))
      const {dir, kubeconfig, logs} = store.paths('demo')
      await mkdir(join(logs, 'deep'), {recursive: true})
      await writeFile(kubeconfig, 'x')
      await chmod(logs, 0o500)
      await store.remove('demo')
      expect(await readdir(dir)).toEqual(['lock.json'])
    }
    expect(await readdir(join(home, 'kubeadm'))).toEqual([])
  })
})

test('only folders with a record are clusters', async () => {
  await withTempFolder(async (home) => {
    const store = storeIn(home)
    await store.update('demo', () => recordOf('demo'))
    await mkdir(join(home, 'kubeadm', 'half-made', 'logs'), {recursive: true})
    await mkdir(join(home, 'kubeadm', 'Not_A_Name'), {recursive: true})
    await writeFile(join(home, 'kubeadm', 'Not_A_Name', 'record.json'), '{}')
    await writeFile(join(home, 'kubeadm', 'note.txt'), '')
    expect(await store.list()).toEqual(['demo'])
  })
})

for (const [what, text] of [
  ['is not YAML', 'defaultCluster: [demo'],
  ['names no DNS label', 'defaultCluster: ../demo\n'],
  ['has an unknown key', 'colour: blue\n'],
] as const) {
  test(`a clouder.yaml that ${what} is refused and kept`, async () => {
    await withTempFolder(async (home) => {
      const store = storeIn(home)
      const path = join(home, 'clouder.yaml')
      await writeFile(path, text)
      await expect(store.defaultCluster()).rejects.toMatchObject({code: 'RECORD_INVALID'})
      await expect(store.setDefaultCluster('demo')).rejects.toMatchObject({code: 'RECORD_INVALID'})
      expect(await readFile(path, 'utf8')).toBe(text)
    })
  })
}
