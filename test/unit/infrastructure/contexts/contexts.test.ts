import {readdir, readFile, stat, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {type ContextStore, diskContexts} from '../../../../src/infrastructure/contexts/contexts.ts'
import {diskStore} from '../../../../src/store/disk.ts'
import {memoryContexts} from '../../../support/memory-contexts.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const PROD = {provider: 'aws', account: '123456789012', region: 'eu-central-1'} as const
const DEV = {provider: 'azure', location: 'westeurope'} as const

const homeOf = (home: string, pid = process.pid) => ({home, now: Date.now, pid, hostname: 'here'})

const stores: readonly (readonly [
  string,
  (use: (contexts: ContextStore) => Promise<void>) => Promise<void>,
])[] = [
  ['on the disk', (use) => withTempFolder((home) => use(diskContexts(homeOf(home))))],
  ['in memory', (use) => use(memoryContexts())],
]

for (const [where, withContexts] of stores) {
  test(`${where}: contexts are kept, and the one that was made current is found without its name`, () =>
    withContexts(async (contexts) => {
      expect(await contexts.list()).toEqual([])
      expect(await contexts.find()).toBeUndefined()
      await contexts.set('prod', PROD, {makeCurrent: true})
      await contexts.set('dev', DEV, {makeCurrent: false})
      expect(await contexts.list()).toEqual([
        {name: 'dev', isCurrent: false, context: DEV},
        {name: 'prod', isCurrent: true, context: PROD},
      ])
      expect(await contexts.find()).toMatchObject({name: 'prod'})
      expect(await contexts.find('dev')).toMatchObject({context: DEV, isCurrent: false})
    }))

  test(`${where}: a context that is removed is current no more; one that is not there is refused`, () =>
    withContexts(async (contexts) => {
      await contexts.set('prod', PROD, {makeCurrent: true})
      await contexts.remove('prod')
      expect(await contexts.find()).toBeUndefined()
      await expect(contexts.remove('prod')).rejects.toMatchObject({code: 'CONTEXT_UNKNOWN'})
      await expect(contexts.find('prod')).rejects.toMatchObject({code: 'CONTEXT_UNKNOWN'})
    }))

  test(`${where}: a name that is no DNS label is refused`, () =>
    withContexts(async (contexts) => {
      await expect(contexts.set('../prod', PROD, {makeCurrent: true})).rejects.toMatchObject({
        code: 'FLAG_INVALID',
      })
      expect(await contexts.list()).toEqual([])
    }))
}

test('contexts and the default cluster lie in one file of mode 0600, and neither takes the other away', () =>
  withTempFolder(async (home) => {
    const contexts = diskContexts(homeOf(home))
    const store = diskStore({home, now: () => 0, pid: 1, hostname: 'here'})
    await contexts.set('prod', PROD, {makeCurrent: true})
    await store.setDefaultCluster('demo')
    await contexts.set('dev', DEV, {makeCurrent: false})
    expect(await store.defaultCluster()).toBe('demo')
    await store.setDefaultCluster(undefined)
    expect((await contexts.list()).map(({name}) => name)).toEqual(['dev', 'prod'])
    const path = join(home, 'clouder.yaml')
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect(await readFile(path, 'utf8')).toContain('currentContext: prod')
  }))

test.each([
  [
    'has a field that a context does not have',
    'contexts: {a: {provider: aws, secretKey: x}}',
    'RECORD_INVALID',
  ],
  ['has no such provider', 'contexts: {a: {provider: moon}}', 'RECORD_INVALID'],
  ['is set to a context that is not there', 'currentContext: a', 'RECORD_INVALID'],
  ['is of a newer clouder', 'version: 2\nsomething: new', 'RECORD_NEWER'],
])('a file that %s is refused and kept', (_, text, code) =>
  withTempFolder(async (home) => {
    const path = join(home, 'clouder.yaml')
    await writeFile(path, text)
    const contexts = diskContexts(homeOf(home))
    await expect(contexts.list()).rejects.toMatchObject({code})
    await expect(contexts.set('b', PROD, {makeCurrent: true})).rejects.toMatchObject({code})
    expect(await readFile(path, 'utf8')).toBe(text)
  }),
)

test('writers at the same time lose nothing of each other, nor of whoever names the default cluster', () =>
  withTempFolder(async (home) => {
    const identify = (pid: number) => Promise.resolve(`process ${pid}`)
    const writers = [1, 2, 3].map((pid) => {
      const where = {...homeOf(home, pid), identify}
      return {contexts: diskContexts(where), store: diskStore(where), pid}
    })
    await Promise.all(
      writers.map(async ({contexts, store, pid}) => {
        await contexts.set(`first-${pid}`, PROD, {makeCurrent: false})
        await store.setDefaultCluster(`demo-${pid}`)
        await contexts.set(`second-${pid}`, DEV, {makeCurrent: pid === 2})
      }),
    )
    const reader = diskContexts(homeOf(home))
    const names = writers.flatMap(({pid}) => [`first-${pid}`, `second-${pid}`])
    expect((await reader.list()).map(({name}) => name)).toEqual(names.sort())
    expect(await reader.find()).toMatchObject({name: 'second-2'})
    expect(await diskStore(homeOf(home)).defaultCluster()).toMatch(/^demo-[123]$/)
    // Nothing of the lock stays.
    expect(await readdir(home)).toEqual(['clouder.yaml'])
  }))
