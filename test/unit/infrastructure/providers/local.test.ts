import {readdir, rm, stat} from 'node:fs/promises'
import {dirname} from 'node:path'
import {expect, test} from 'vitest'
import {
  nodeImageRecipe,
  NODE_IMAGE_LABEL,
} from '../../../../src/infrastructure/containers/node-image-recipe.ts'
import {InfrastructureError} from '../../../../src/infrastructure/errors.ts'
import {localProvider} from '../../../../src/infrastructure/providers/local.ts'
import type {LocalMachine} from '../../../../src/infrastructure/providers/local-machine.ts'
import type {Provider} from '../../../../src/infrastructure/providers/provider.ts'
import type {ClusterSpec} from '../../../../src/spec/cluster-spec.ts'
import {fakeEngine, type FakeEngine} from '../../../support/fake-engine.ts'
import {contextIn, specOf, type TestContext} from '../../../support/local-cluster.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const renderer = {render: (name: string) => name}
const machine: LocalMachine = {
  routes: ['172.30.0.0/24'],
  nameservers: ['192.0.2.53'],
  capabilities: 'all',
  cgroupVersion: 1,
  kernelModules: false,
}
const spec = specOf('demo', {workers: [{count: 2}]})

interface Bench {
  readonly engine: FakeEngine
  readonly provider: Provider
  readonly context: TestContext
}

const withBench = (use: (bench: Bench) => Promise<void>) => () =>
  withTempFolder(async (dir) => {
    const engine = fakeEngine()
    const {tag, hash} = nodeImageRecipe('debian-13', renderer)
    engine.addImage(tag, {[NODE_IMAGE_LABEL]: hash})
    const provider = localProvider({
      engineFor: (kind) =>
        kind === 'podman'
          ? Promise.reject(new InfrastructureError('ENGINE_MISSING', 'no podman'))
          : Promise.resolve(engine),
      renderer,
      cacheDir: dir,
      environment: {},
      readMachine: () => Promise.resolve(machine),
      sshAnswers: () => Promise.resolve(true),
      bootTimeoutMs: 500,
    })
    await use({engine, provider, context: contextIn(dir, 'demo')})
  })

const planned = async ({provider, context}: Bench, wanted: ClusterSpec = spec) =>
  (await provider.plan(wanted, context)).map(({action, what, reason}) => `${action} ${what}: ${reason}`)

test(
  'a first provision makes the network and every machine, and the plan is empty after',
  withBench(async (bench) => {
    const {provider, context, engine} = bench
    expect(await planned(bench)).toEqual([
      'create network clouder-demo: does not exist',
      'create machine cp-1: does not exist',
      'create machine worker-1: does not exist',
      'create machine worker-2: does not exist',
    ])
    const {machines, endpoint} = await provider.provision(spec, context)
    expect(machines.map(({name, role, pool, address}) => [name, role, pool, address])).toEqual([
      ['cp-1', 'control-plane', undefined, '172.30.1.2'],
      ['worker-1', 'worker', 'worker', '172.30.1.3'],
      ['worker-2', 'worker', 'worker', '172.30.1.4'],
    ])
    expect(new Set(machines.flatMap(({ssh}) => ssh.hostKeys)).size, 'host keys are unique').toBe(3)
    expect(machines[0]?.ssh).toMatchObject({user: 'root', port: 22, keyPath: context.paths.sshKey})
    expect(endpoint.internal).toBe('172.30.1.2:6443')
    expect(endpoint.external).toMatch(/^127\.0\.0\.1:\d+$/)
    expect(endpoint.certSans).toEqual(['127.0.0.1', 'localhost'])
    expect((await stat(context.paths.sshKey)).mode & 0o777).toBe(0o600)
    expect(engine.request('clouder-demo-cp-1')).toMatchObject({
      hostname: 'cp-1',
      labels: {
        'clouder.dev/cluster': 'demo',
        'clouder.dev/node': 'cp-1',
        'clouder.dev/subnet': '172.30.1.0/24',
      },
      environment: {SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE: '1', CLOUDER_NAMESERVERS: '192.0.2.53'},
      volumes: {'clouder-demo-cp-1-etcd': '/var/lib/etcd'},
      capabilities: 'all',
    })
    expect(await planned(bench)).toEqual([])
  }),
)

test(
  'a second provision changes nothing and gives the same machines',
  withBench(async ({provider, context, engine}) => {
    const first = await provider.provision(spec, context)
    const before = engine.changes.length
    expect(await provider.provision(spec, context)).toEqual(first)
    expect(await provider.inspect(spec, context)).toEqual(first)
    expect(engine.changes.slice(before)).toEqual([])
    expect(context.recorded.of('task-started')).toHaveLength(1)
  }),
)

test(
  'leftovers are planned by name and reason, and provision heals each of them',
  withBench(async (bench) => {
    const {provider, context, engine} = bench
    const first = await provider.provision(spec, context)
    engine.setStatus('clouder-demo-cp-1', 'exited')
    engine.setStatus('clouder-demo-worker-1', 'dead')
    await engine.removeContainer('clouder-demo-worker-2')
    expect(await planned(bench)).toEqual([
      'start machine cp-1: is stopped (exit code 0)',
      'replace machine worker-1: its container is dead',
      'create machine worker-2: its container no longer exists, only its volumes do',
    ])
    const before = engine.changes.length
    const healed = await provider.provision(spec, context)
    expect(healed.machines[0], 'a stopped machine is the same machine').toEqual(first.machines[0])
    expect(healed.machines.map(({address}) => address)).toEqual(first.machines.map(({address}) => address))
    expect(engine.changes.slice(before)).toContain('removeVolume clouder-demo-worker-2-kubelet')
    expect(engine.changes.slice(before)).not.toContain('removeVolume clouder-demo-cp-1-etcd')
    expect(await planned(bench)).toEqual([])
  }),
)

test(
  'a network that was lost is made again with the subnet that its stopped machines have addresses of',
  withBench(async (bench) => {
    const {provider, context, engine} = bench
    const first = await provider.provision(spec, context)
    for (const name of ['cp-1', 'worker-1', 'worker-2']) engine.setStatus(`clouder-demo-${name}`, 'exited')
    await engine.removeNetwork('clouder-demo')
    await engine.createNetwork({
      name: 'other',
      labels: {},
      subnet: '172.30.2.0/24',
      dynamicRange: '172.30.2.128/25',
    })
    expect(await provider.provision(spec, context)).toEqual(first)
  }),
)

test(
  'a key that was made anew is let in again',
  withBench(async ({provider, context, engine}) => {
    await provider.provision(spec, context)
    await rm(context.paths.sshKey)
    const before = engine.changes.length
    await provider.provision(spec, context)
    expect(engine.changes.slice(before).sort()).toEqual(
      ['cp-1', 'worker-1', 'worker-2'].map(
        (name) => `putFile clouder-demo-${name} /root/.ssh/authorized_keys`,
      ),
    )
  }),
)

test(
  'a provision killed at any change is finished by the next one',
  withBench(async ({provider, context, engine}) => {
    const wanted = specOf('demo', {workers: [{count: 1}]})
    await provider.provision(wanted, context)
    const changes = engine.changes.length
    await provider.destroy('demo', context)
    for (let at = 0; at < changes; at += 1) {
      for (const when of ['before', 'after'] as const) {
        engine.failAt(at, when)
        await expect(provider.provision(wanted, context)).rejects.toThrow(/killed/)
        const {machines} = await provider.provision(wanted, context)
        expect(machines.map(({name}) => name)).toEqual(['cp-1', 'worker-1'])
        expect(await provider.plan(wanted, context), `killed ${when} change ${at}`).toEqual([])
        await provider.destroy('demo', context)
      }
    }
  }),
)

test(
  'machines that the spec no longer names stay, are told about, and keep their addresses to themselves',
  withBench(async (bench) => {
    const {provider, context, engine} = bench
    await provider.provision(spec, context)
    const smaller = specOf('demo', {workers: [{name: 'big', count: 1}]})
    const {machines} = await provider.provision(smaller, context)
    expect(machines.map(({name, address}) => `${name} ${address}`)).toEqual([
      'cp-1 172.30.1.2',
      'big-1 172.30.1.5',
    ])
    expect(await engine.findContainer('clouder-demo-worker-1')).toMatchObject({status: 'running'})
    expect(context.recorded.of('note').map(({text}) => text)).toEqual([
      'machine worker-1 is no longer in the spec and is not changed',
      'machine worker-2 is no longer in the spec and is not changed',
    ])
  }),
)

test(
  'another image in the spec leaves the machines as they are and says so',
  withBench(async ({provider, context, engine}) => {
    await provider.provision(spec, context)
    const before = engine.changes.length
    await provider.provision(
      specOf('demo', {workers: [{count: 2}], provider: {local: {image: 'debian-12'}}}),
      context,
    )
    expect(engine.changes.slice(before)).toEqual([])
    expect(context.recorded.of('note')).toHaveLength(3)
  }),
)

test(
  'a network or volume of our name without our label stops provision before any change, and destroy leaves it',
  withBench(async ({provider, context, engine}) => {
    await engine.createVolume('clouder-demo-cp-1-etcd', {})
    const before = engine.changes.length
    await expect(provider.provision(spec, context)).rejects.toMatchObject({
      code: 'ENGINE_FAILED',
      message: expect.stringContaining('volume clouder-demo-cp-1-etcd') as string,
    })
    expect(await provider.destroy('demo', context)).toEqual([])
    expect(engine.changes.slice(before)).toEqual([])
  }),
)

test(
  'destroy removes everything with the label, tells what, and has nothing to do the second time',
  withBench(async ({provider, context, engine}) => {
    await provider.provision(spec, context)
    await provider.provision(specOf('other', {workers: []}), {...context})
    const removed = await provider.destroy('demo', context)
    expect(removed.filter((line) => line.startsWith('container')).sort()).toEqual([
      'container clouder-demo-cp-1',
      'container clouder-demo-worker-1',
      'container clouder-demo-worker-2',
    ])
    expect(removed.filter((line) => line.startsWith('volume'))).toHaveLength(9)
    expect(removed).toContain('network clouder-demo')
    expect(await provider.destroy('demo', context)).toEqual([])
    expect(await provider.inspect(spec, context)).toBeUndefined()
    expect((await engine.listContainers({})).map(({name}) => name)).toEqual(['clouder-other-cp-1'])
    expect(await readdir(dirname(context.paths.sshKey))).toEqual([])
  }),
)

test(
  'a machine that does not boot is an error with the last lines of its container',
  withBench(async ({provider, context, engine}) => {
    await provider.provision(spec, context)
    engine.setStatus('clouder-demo-worker-1', 'restarting')
    await expect(provider.provision(spec, context)).rejects.toMatchObject({
      code: 'ENGINE_FAILED',
      message:
        'machine worker-1: waited 1 s for machine worker-1 to boot, last state: its container is restarting; fake log',
    })
  }),
)

test('without any engine destroy says which are missing', async () => {
  await withTempFolder(async (dir) => {
    const missing = new InfrastructureError('ENGINE_MISSING', 'no container engine responds')
    const provider = localProvider({
      engineFor: () => Promise.reject(missing),
      renderer,
      cacheDir: dir,
      environment: {},
    })
    await expect(provider.destroy('demo', contextIn(dir, 'demo'))).rejects.toBe(missing)
  })
})

test(
  'every machine that fails is told, not the first alone',
  withBench(async ({provider, context, engine}) => {
    await provider.provision(spec, context)
    for (const name of ['cp-1', 'worker-2']) engine.setStatus(`clouder-demo-${name}`, 'restarting')
    await expect(provider.provision(spec, context)).rejects.toMatchObject({
      code: 'HOSTS_FAILED',
      exitCode: 5,
      failures: [{host: 'cp-1'}, {host: 'worker-2'}],
    })
  }),
)

test(
  'a subnet that another run takes at the same moment is given up for the next free one',
  withBench(async ({provider, context, engine}) => {
    engine.takeSubnetOnce('172.30.1.0/24')
    const {machines} = await provider.provision(spec, context)
    expect(machines[0]?.address).toBe('172.30.2.2')
  }),
)

test(
  'a subnet that an engine holds for a network which it does not list yet is given up too',
  withBench(async ({provider, context, engine}) => {
    engine.takeSubnetOnce('172.30.1.0/24', false)
    engine.takeSubnetOnce('172.30.2.0/24', false)
    const {machines} = await provider.provision(spec, context)
    expect(machines[0]?.address).toBe('172.30.3.2')
  }),
)
