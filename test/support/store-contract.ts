import {expect, test} from 'vitest'
import {ConfigError, StateError} from '../../src/base/errors.ts'
import {clusterRecordSchema, type ClusterRecord, type ClusterStore} from '../../src/store/types.ts'

/** A record with the least in it. */
export function recordOf(name: string, more: Partial<ClusterRecord> = {}): ClusterRecord {
  const time = '2026-11-21T09:00:00.000Z'
  return clusterRecordSchema.parse({
    version: 1,
    name,
    createdAt: time,
    updatedAt: time,
    provider: 'byon',
    document: {kind: 'Cluster'},
    ...more,
  })
}

const BAD_NAMES = [
  '',
  '..',
  '../demo',
  'a/b',
  'Demo',
  '-demo',
  'demo-',
  'a.b',
  'x'.repeat(64),
  'demo\n',
  'demo\0',
]

/** What every ClusterStore does. `withStore` makes a fresh one and cleans up after it. */
export function storeContract(
  title: string,
  withStore: (use: (store: ClusterStore) => Promise<void>) => Promise<void>,
): void {
  const contract = (sentence: string, body: (store: ClusterStore) => Promise<void>): void => {
    test(`${title}: ${sentence}`, async () => await withStore(body))
  }

  contract('a cluster that was never recorded loads as undefined', async (store) => {
    expect(await store.load('demo')).toBeUndefined()
    expect(await store.list()).toEqual([])
  })

  contract('what was recorded is loaded, and listed by name', async (store) => {
    await store.update('zeta', () => recordOf('zeta'))
    const written = await store.update('demo', () => recordOf('demo', {kubernetesVersion: '1.35.4'}))
    expect(await store.load('demo')).toEqual(written)
    expect(written.kubernetesVersion).toBe('1.35.4')
    expect(await store.list()).toEqual(['demo', 'zeta'])
  })

  contract('an update gets the record as it is and stamps its time', async (store) => {
    const seen: (ClusterRecord | undefined)[] = []
    await store.update('demo', (record) => {
      seen.push(record)
      return recordOf('demo', {updatedAt: 'long ago'})
    })
    const second = await store.update('demo', (record) => {
      seen.push(record)
      return recordOf('demo')
    })
    expect(seen[0]).toBeUndefined()
    expect(seen[1]?.name).toBe('demo')
    expect(Date.parse(second.updatedAt)).not.toBeNaN()
  })

  contract('updates at the same time are all kept', async (store) => {
    const append = async (value: string): Promise<unknown> =>
      await store.update('demo', (record) => {
        const before = typeof record?.document === 'string' ? record.document : ''
        return recordOf('demo', {document: before + value})
      })
    await Promise.all(['a', 'b', 'c', 'd', 'e'].map(append))
    expect((await store.load('demo'))?.document).toBe('abcde')
  })

  contract('a change that does not fit the schema is refused and changes nothing', async (store) => {
    const before = await store.update('demo', () => recordOf('demo'))
    await expect(store.update('demo', () => recordOf('other'))).rejects.toMatchObject({
      code: 'RECORD_INVALID',
    })
    expect(await store.load('demo')).toEqual(before)
    await store.update('demo', () => recordOf('demo', {kubernetesVersion: '1.34.4'}))
    expect((await store.load('demo'))?.kubernetesVersion).toBe('1.34.4')
  })

  contract('a removed cluster is gone, and removing it again is fine', async (store) => {
    await store.update('demo', () => recordOf('demo'))
    await store.remove('demo')
    await store.remove('demo')
    expect(await store.load('demo')).toBeUndefined()
    expect(await store.list()).toEqual([])
  })

  contract('one holder per cluster; the next gets the lock when it was given back', async (store) => {
    {
      await using _lock = await store.lock('demo', 'kubeadm init')
      await using _other = await store.lock('other', 'kubeadm init')
      const refusal = await store.lock('demo', 'kubeadm reset').catch((error: unknown) => error)
      expect(refusal).toBeInstanceOf(StateError)
      expect(refusal).toMatchObject({code: 'LOCKED'})
      expect(String(refusal)).toContain('demo is in use by `clouder kubeadm init`')
    }
    await using _again = await store.lock('demo', 'kubeadm reset')
  })

  contract('a lock alone is no cluster', async (store) => {
    await using _lock = await store.lock('demo', 'kubeadm init')
    expect(await store.list()).toEqual([])
  })

  contract('a name that is not a DNS label is refused by everything', async (store) => {
    for (const name of BAD_NAMES) {
      await expect(store.load(name)).rejects.toBeInstanceOf(ConfigError)
      await expect(store.update(name, () => recordOf(name))).rejects.toBeInstanceOf(ConfigError)
      await expect(store.remove(name)).rejects.toBeInstanceOf(ConfigError)
      await expect(store.lock(name, 'kubeadm init')).rejects.toBeInstanceOf(ConfigError)
      await expect(store.setDefaultCluster(name)).rejects.toBeInstanceOf(ConfigError)
      expect(() => store.paths(name)).toThrow(ConfigError)
    }
  })

  contract('the default cluster is remembered until it is taken back', async (store) => {
    expect(await store.defaultCluster()).toBeUndefined()
    await store.setDefaultCluster('demo')
    expect(await store.defaultCluster()).toBe('demo')
    await store.setDefaultCluster(undefined)
    expect(await store.defaultCluster()).toBeUndefined()
  })
}
