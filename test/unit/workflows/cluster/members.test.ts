import {expect, test} from 'vitest'
import {fakeMachine} from '../../../support/fake-host.ts'
import {placesOf, runFlags, withDemo, type Demo} from '../../../support/simulated-demo.ts'
import {addressOf} from '../../../support/simulated-run.ts'
import {describeCluster} from '../../../../src/workflows/session/clusters.ts'
import {diagnoseCluster} from '../../../../src/workflows/cluster/doctor.ts'
import {joinCluster} from '../../../../src/workflows/cluster/join.ts'
import {resetCluster} from '../../../../src/workflows/cluster/reset.ts'
import {terminateCluster} from '../../../../src/workflows/cluster/terminate.ts'
import type {JoinHost} from '../../../../src/workflows/session/types.ts'

const NEW_ADDRESS = addressOf(99)

const joinHost = (overrides: Partial<JoinHost> = {}): JoinHost => ({
  address: NEW_ADDRESS,
  user: undefined,
  port: undefined,
  name: undefined,
  keyPath: undefined,
  pool: 'worker',
  ...overrides,
})

/** Another bare machine, known to nobody yet. */
const addMachine = ({fleet}: Demo, name: string): void =>
  fleet.add(fakeMachine(name, {address: NEW_ADDRESS, privateAddress: NEW_ADDRESS}))

const join = ({run}: Demo, host: JoinHost, dryRun = false) =>
  joinCluster('demo', [host], {...runFlags, dryRun}, run().tools)

const reset = ({run}: Demo, nodes: readonly string[], dryRun = false) =>
  resetCluster('demo', {nodes, keepsCheckpoints: false, flags: {...runFlags, dryRun}}, run().tools)

test('a machine joins under the next free name; the others are left alone and the plan of all is empty after', async () => {
  await withDemo({workers: 1}, async (demo) => {
    await demo.init()
    addMachine(demo, 'worker-2')
    const changes = demo.fleet.changes.length
    const joined = await join(demo, joinHost())
    expect(joined.nodes.map(({name, status}) => `${name} ${status}`)).toEqual([
      'cp-1 Ready',
      'worker-1 Ready',
      'worker-2 Ready',
    ])
    expect(new Set(demo.changesSince(changes).map((change) => change.split(' ')[0]))).toEqual(
      new Set(['worker-2']),
    )
    expect((await demo.store.load('demo'))?.joined.map(({name}) => name)).toEqual(['worker-2'])
    expect((await demo.plan()).steps).toEqual([])
    expect((await join(demo, joinHost())).steps).toEqual([])
    expect((await demo.store.load('demo'))?.joined).toHaveLength(1)
  })
})

test('a dry run of a join changes nothing and remembers nothing', async () => {
  await withDemo({workers: 1}, async (demo) => {
    await demo.init()
    addMachine(demo, 'worker-2')
    const changes = demo.fleet.changes.length
    expect(placesOf(await join(demo, joinHost(), true))).toContain('join worker-2')
    expect(demo.fleet.changes).toHaveLength(changes)
    expect((await demo.store.load('demo'))?.joined).toEqual([])
  })
})

test('a join to nothing, or under a name that is taken, is refused before any change', async () => {
  await withDemo({workers: 1}, async (demo) => {
    await expect(join(demo, joinHost())).rejects.toMatchObject({code: 'CLUSTER_UNKNOWN'})
    await demo.init({}, 'create')
    await expect(join(demo, joinHost())).rejects.toMatchObject({code: 'CLUSTER_UNKNOWN'})
    await demo.init()
    addMachine(demo, 'worker-2')
    const changes = demo.fleet.changes.length
    await expect(join(demo, joinHost({name: 'worker-1'}))).rejects.toMatchObject({code: 'FLAG_INVALID'})
    expect(demo.fleet.changes).toHaveLength(changes)
  })
})

test('a worker that is reset leaves the cluster clean; an init brings it back and touches no other', async () => {
  await withDemo({workers: 2}, async (demo) => {
    await demo.init()
    expect(placesOf(await reset(demo, ['worker-1'], true))).toEqual(['reset cluster', 'reset worker-1'])
    expect(demo.fleet.named('worker-1').kubelet.active).toBe(true)
    const changes = demo.fleet.changes.length
    expect((await reset(demo, ['worker-1'])).nodes).toEqual(['worker-1'])
    expect(demo.changesSince(changes)).toEqual(['worker-1 kubeadm reset'])
    const nodes = await demo.fleet.cluster.kube.list({apiVersion: 'v1', kind: 'Node'})
    expect(nodes.map((node) => node.metadata.name)).toEqual(['cp-1', 'worker-2'])
    expect((await reset(demo, ['worker-1'])).steps).toEqual([])

    const after = demo.fleet.changes.length
    expect(new Set(placesOf(await demo.init()))).toEqual(new Set(['join cluster', 'join worker-1']))
    expect(demo.changesSince(after)).toEqual(['worker-1 kubeadm join'])
    expect((await demo.plan()).steps).toEqual([])
  })
})

test('a control plane alone, or a machine of nobody, is not reset', async () => {
  await withDemo({workers: 1}, async (demo) => {
    await demo.init()
    const changes = demo.fleet.changes.length
    await expect(reset(demo, ['cp-1'])).rejects.toMatchObject({code: 'FLAG_INVALID'})
    await expect(reset(demo, ['worker-7'])).rejects.toMatchObject({code: 'FLAG_INVALID'})
    expect(demo.fleet.changes).toHaveLength(changes)
  })
})

test('a whole cluster is reset, workers before control planes, and comes up again with what is on the machines', async () => {
  await withDemo({workers: 2}, async (demo) => {
    await demo.init()
    const changes = demo.fleet.changes.length
    await reset(demo, [])
    expect(demo.changesSince(changes).toSorted()).toEqual([
      'cp-1 kubeadm reset',
      'worker-1 kubeadm reset',
      'worker-2 kubeadm reset',
    ])
    expect(demo.fleet.cluster.answers).toBe(false)
    const record = await demo.store.load('demo')
    expect(record).not.toHaveProperty('initialisedAt')
    expect(record?.machines).toHaveLength(3)
    expect(placesOf(await demo.plan()).filter((place) => /^(artifacts|images|kernel)/.test(place))).toEqual(
      [],
    )
    expect((await demo.init()).nodes.map(({status}) => status)).toEqual(['Ready', 'Ready', 'Ready'])
  })
})

test('terminate removes machines that were made, and everything that was remembered', async () => {
  await withDemo({provider: 'local', workers: 1}, async (demo) => {
    await demo.init()
    await demo.store.setDefaultCluster('demo')
    const planned = await terminateCluster('demo', {dryRun: true}, demo.run().tools)
    expect(demo.fleet.machines.size).toBe(2)
    const {removed} = await terminateCluster('demo', {dryRun: false}, demo.run().tools)
    expect(removed).toEqual(planned.removed)
    expect(removed).toEqual(['machine cp-1', 'machine worker-1', demo.store.paths('demo').dir])
    expect(demo.fleet.machines.size).toBe(0)
    expect(await demo.store.load('demo')).toBeUndefined()
    expect(await demo.store.defaultCluster()).toBeUndefined()
  })
})

test('terminate cleans machines that were brought: they are as bare as before', async () => {
  await withDemo({workers: 1}, async (demo) => {
    const bare = await demo.plan()
    await demo.init()
    await terminateCluster('demo', {dryRun: false}, demo.run().tools)
    expect(await demo.store.load('demo')).toBeUndefined()
    for (const machine of demo.fleet.machines.values()) {
      expect([
        ...machine.files.keys(),
        ...machine.links.keys(),
        ...machine.store,
        ...machine.images.keys(),
      ]).toEqual([])
    }
    expect(placesOf(await demo.plan())).toEqual(placesOf(bare))
  })
})

test('a machine that joined a cluster of made machines is cleaned when they are destroyed', async () => {
  await withDemo({provider: 'local', workers: 0}, async (demo) => {
    await demo.init()
    addMachine(demo, 'extra')
    await join(demo, joinHost({name: 'extra'}))
    const changes = demo.fleet.changes.length
    await terminateCluster('demo', {dryRun: false}, demo.run().tools)
    expect(demo.changesSince(changes)).toEqual(['extra kubeadm reset', 'extra kubeadm/uninstall.sh'])
  })
})

test('a dead machine keeps a reset and a terminate from nothing but itself, where that is said', async () => {
  await withDemo({workers: 2}, async (demo) => {
    await demo.init()
    demo.fleet.reach('worker-1', false)
    const changes = demo.fleet.changes.length
    for (const strict of [
      () => reset(demo, ['worker-1']),
      () => terminateCluster('demo', {dryRun: false}, demo.run().tools),
    ]) {
      await expect(strict()).rejects.toMatchObject({
        code: 'HOSTS_FAILED',
        suggestions: [expect.stringContaining('without worker-1') as string],
      })
    }
    expect(demo.fleet.changes).toHaveLength(changes)
    const options = {nodes: ['worker-1'], keepsCheckpoints: false, skipUnreachable: true, flags: runFlags}
    const left = await resetCluster('demo', options, demo.run().tools)
    expect(left).toMatchObject({
      nodes: [],
      skipped: [{host: 'worker-1', reason: expect.any(String) as string}],
    })
    const nodes = await demo.fleet.cluster.kube.list({apiVersion: 'v1', kind: 'Node'})
    expect(nodes.map((node) => node.metadata.name)).toEqual(['cp-1', 'worker-2'])
    const gone = await terminateCluster('demo', {dryRun: false, skipUnreachable: true}, demo.run().tools)
    expect(gone.skipped.map(({host}) => host)).toEqual(['worker-1'])
    expect(gone.removed).toContain('worker-2: reset the node')
    expect(await demo.store.load('demo')).toBeUndefined()
    expect(demo.fleet.named('worker-1').kubelet.active).toBe(true)
  })
})

test('a scrapped machine that joined does not keep made machines alive', async () => {
  await withDemo({provider: 'local', workers: 0}, async (demo) => {
    await demo.init()
    addMachine(demo, 'extra')
    await join(demo, joinHost({name: 'extra'}))
    demo.fleet.reach('extra', false)
    const options = {dryRun: false, skipUnreachable: true}
    const {removed, skipped} = await terminateCluster('demo', options, demo.run().tools)
    expect(removed).toContain('machine cp-1')
    expect(skipped).toMatchObject([{host: 'extra', address: NEW_ADDRESS}])
  })
})

test('info shows where the cluster and the record differ', async () => {
  await withDemo({workers: 1}, async (demo) => {
    await demo.init()
    expect(await describeCluster('demo', demo.run().tools)).toMatchObject({
      live: {api: 'ok', kubernetesVersion: '1.35.4'},
      differences: [],
    })
    await demo.fleet.cluster.kube.delete({apiVersion: 'v1', kind: 'Node', name: 'worker-1'})
    const {differences} = await describeCluster('demo', demo.run().tools)
    expect(differences).toEqual(['worker-1 is not a node of the cluster'])
  })
})

test('doctor finds nothing on a healthy cluster, and names a unit that is down and a machine that is silent', async () => {
  await withDemo({workers: 2}, async (demo) => {
    await demo.init()
    const examine = () => diagnoseCluster('demo', {node: undefined, ignorePreflight: []}, demo.run().tools)
    expect(await examine()).toMatchObject({healthy: true, findings: []})
    const worker = demo.fleet.named('worker-1')
    worker.kubelet = {...worker.kubelet, active: false}
    demo.fleet.reach('worker-2', false)
    const {healthy, findings} = await examine()
    expect(healthy).toBe(false)
    expect(findings.map(({host}) => host)).toEqual(expect.arrayContaining(['worker-1', 'worker-2']))
  })
})
