import {readFile} from 'node:fs/promises'
import {expect, test} from 'vitest'
import {AbortError, ConfigError, HostsFailedError} from '../../../../src/base/errors.ts'
import {loadSpec, specFromDocument} from '../../../../src/spec/load.ts'
import {initCluster} from '../../../../src/workflows/cluster/init.ts'
import {placesOf, runFlags, withDemo} from '../../../support/simulated-demo.ts'

test.for([
  {provider: 'byon', workers: 2},
  {provider: 'local', workers: 2},
  {provider: 'byon', workers: 0},
  {provider: 'byon', workers: 1, controlPlanes: 3},
  {provider: 'byon', workers: 1, more: 'checkpoint: {enabled: false}'},
] as const)('after an init of %o the plan is empty and a second init changes nothing', async (options) => {
  await withDemo(options, async ({fleet, init, plan}) => {
    const first = await init()
    expect(first.nodes.map(({status}) => status)).toEqual(first.nodes.map(() => 'Ready'))
    expect(first.nodes).toHaveLength(
      options.workers + ('controlPlanes' in options ? options.controlPlanes : 1),
    )
    const secrets = fleet.cluster.kube.peek('v1', 'Secret').map(({metadata}) => metadata.name)
    expect(secrets.filter((name) => /^(bootstrap-token-|kubeadm-certs$)/.test(name))).toEqual([])
    const [changes, kubeChanges] = [fleet.changes.length, fleet.cluster.kube.changes.length]
    expect((await plan()).steps).toEqual([])
    expect((await init()).steps).toEqual([])
    expect(fleet.changes).toHaveLength(changes)
    expect(fleet.cluster.kube.changes).toHaveLength(kubeChanges)
  })
})

test('a plan for bare machines names the steps that the init then takes, and no other', async () => {
  await withDemo({workers: 2}, async ({init, plan}) => {
    const planned = await plan()
    const done = await init()
    // Whether anything is left to wait for shows only when the machines have joined.
    const expected = planned.steps.filter(({phase}) => phase !== 'ready')
    expect(
      done.steps.filter(({phase}) => phase !== 'ready').map(({phase, host, step}) => ({phase, host, step})),
    ).toEqual(expected.map(({phase, host, step}) => ({phase, host, step})))
    expect(new Set(placesOf(planned))).toEqual(
      new Set([
        ...['artifacts', 'kernel', 'containerd', 'criu', 'images', 'kubernetes'].flatMap((phase) =>
          ['cp-1', 'worker-1', 'worker-2'].map((host) => `${phase} ${host}`),
        ),
        ...['kubeadm-init cp-1', 'kubeconfig cluster', 'bootstrap-addons cluster'],
        ...['join cluster', 'join worker-1', 'join worker-2', 'ready cluster'],
      ]),
    )
  })
})

test('a dry run changes no machine, makes none, and remembers nothing', async () => {
  await withDemo({provider: 'local', workers: 1}, async ({fleet, store, plan, init}) => {
    const planned = await plan()
    expect(planned).toMatchObject({dryRun: true, steps: [], kubeconfig: undefined})
    expect(planned.machineChanges.map(({what}) => what)).toEqual(['machine cp-1', 'machine worker-1'])
    expect(fleet.machines.size).toBe(0)
    expect(await store.load('demo')).toBeUndefined()
    await init({}, 'create')
    expect((await plan()).steps.length).toBeGreaterThan(20)
    expect(fleet.changes).toEqual([])
    expect(fleet.cluster.answers).toBe(false)
  })
})

test('create makes machines only, setup brings up a cluster on them', async () => {
  await withDemo({provider: 'local', workers: 1}, async ({fleet, store, init}) => {
    await expect(init({}, 'setup')).rejects.toMatchObject({code: 'CLUSTER_UNKNOWN'})
    expect((await init({}, 'create')).steps).toEqual([])
    expect([...fleet.machines.values()].map(({name}) => name)).toEqual(['cp-1', 'worker-1'])
    expect(await store.load('demo')).not.toHaveProperty('initialisedAt')
    expect((await init({}, 'setup')).nodes).toHaveLength(2)
  })
})

test('machines are made only when the question is answered with yes', async () => {
  await withDemo({provider: 'local', workers: 1}, async ({fleet, init}) => {
    const confirm = () => Promise.reject(new AbortError('DECLINED', 'no machine was changed'))
    await expect(init({confirm})).rejects.toMatchObject({code: 'DECLINED', exitCode: 1})
    expect(fleet.machines.size).toBe(0)
  })
})

test('the record says what was asked for, what is there and when it came up', async () => {
  await withDemo({workers: 1}, async ({spec, store, home, init}) => {
    const result = await init()
    const record = await store.load('demo')
    expect(record).toMatchObject({
      name: 'demo',
      provider: 'byon',
      kubernetesVersion: spec.kubernetes.version,
      endpoint: {internal: '10.64.0.1:6443', external: '10.64.0.1:6443'},
      joined: [],
    })
    expect(record?.machines.map(({name, role}) => `${name} ${role}`)).toEqual([
      'cp-1 control-plane',
      'worker-1 worker',
    ])
    expect(specFromDocument(record?.document)).toEqual(spec)
    await init()
    expect((await store.load('demo'))?.initialisedAt).toBe(record?.initialisedAt)
    expect(result.kubeconfig).toBe(store.paths('demo').kubeconfig)
    expect(result.kubeconfig?.startsWith(home)).toBe(true)
    const kubeconfig = await readFile(result.kubeconfig ?? '', 'utf8')
    expect(kubeconfig).toContain('server: https://10.64.0.1:6443')
  })
})

test('a phase that is left out is left out, the others are done; an unknown one is refused before any change', async () => {
  await withDemo({workers: 1}, async ({fleet, init, plan}) => {
    await expect(init({skipPhases: ['warp']})).rejects.toThrow(ConfigError)
    expect(fleet.changes).toEqual([])
    await init({skipPhases: ['criu', 'bootstrap-addons', 'ready']})
    expect(new Set(placesOf(await plan()))).toEqual(
      new Set(['criu cp-1', 'criu worker-1', 'bootstrap-addons cluster', 'ready cluster']),
    )
  })
})

test('a host that fails is named, the others finish the phase, later phases do not begin', async () => {
  await withDemo({workers: 2}, async ({fleet, init, changesSince}) => {
    fleet.failNext('worker-1', 'containerd/apply.sh', 'no space left on device')
    const failed = await init().catch((error: unknown) => error)
    expect(failed).toBeInstanceOf(HostsFailedError)
    expect(failed).toMatchObject({exitCode: 7, failures: [{host: 'worker-1', phase: 'containerd'}]})
    const before = changesSince(0)
    expect(before).toContain('cp-1 containerd/apply.sh')
    expect(before).toContain('worker-2 containerd/apply.sh')
    expect(before.filter((change) => change.endsWith('criu/apply.sh'))).toEqual([])

    await init()
    const after = changesSince(before.length)
    expect(after).toContain('worker-1 containerd/apply.sh')
    expect(after.filter((change) => before.includes(change))).toEqual([])
  })
})

test('a machine that does not answer is named, and no machine is changed', async () => {
  await withDemo({workers: 2}, async ({fleet, store, init}) => {
    fleet.reach('worker-2', false)
    await expect(init()).rejects.toMatchObject({
      exitCode: 6,
      failures: [{host: 'worker-2', error: {code: 'HOST_UNREACHABLE'}}],
    })
    expect(fleet.changes).toEqual([])
    expect(await store.load('demo')).toBeUndefined()
    fleet.reach('worker-2', true)
    expect((await init()).nodes).toHaveLength(3)
  })
})

test('another provider or another Kubernetes version is another cluster: refused before any change', async () => {
  await withDemo({workers: 1}, async ({fleet, init, run}) => {
    await init()
    const changes = fleet.changes.length
    const flags = {...runFlags, confirm: () => Promise.resolve()}
    const local = loadSpec({name: 'demo', overrides: {provider: 'local'}})
    await expect(initCluster(local, 'init', flags, run().tools)).rejects.toMatchObject({
      code: 'CLUSTER_MISMATCH',
      message: 'cluster demo was created with provider byon, not local',
    })
    const older = {...(await specOfRecord(run)), kubernetes: {version: '1.34.4'}}
    await expect(initCluster(older, 'init', flags, run().tools)).rejects.toMatchObject({
      code: 'CLUSTER_MISMATCH',
      message: 'cluster demo runs Kubernetes 1.35.4, the spec sets 1.34.4',
    })
    expect(fleet.changes).toHaveLength(changes)
  })
})

async function specOfRecord(run: Parameters<Parameters<typeof withDemo>[1]>[0]['run']) {
  return specFromDocument((await run().store.load('demo'))?.document)
}

test('two runs at the same time are refused, a plan beside a run is not', async () => {
  await withDemo({workers: 0}, async ({store, init, plan}) => {
    await using _held = await store.lock('demo', 'another run')
    await expect(init()).rejects.toMatchObject({code: 'LOCKED', exitCode: 9})
    expect((await plan()).steps.length).toBeGreaterThan(0)
  })
})

test('a run that is aborted ends as interrupted, and the next one goes on where it stopped', async () => {
  await withDemo({workers: 1}, async ({spec, fleet, run, init, changesSince}) => {
    const stop = new AbortController()
    const {tools} = run(stop.signal)
    const report = (event: Parameters<typeof tools.report>[0]): void => {
      if (event.type === 'step-done' && event.phase === 'images') stop.abort()
    }
    const flags = {...runFlags, confirm: () => Promise.resolve()}
    await expect(initCluster(spec, 'init', flags, {...tools, report})).rejects.toMatchObject({
      code: 'INTERRUPTED',
      exitCode: 130,
    })
    const before = changesSince(0)
    expect((await init()).nodes).toHaveLength(2)
    expect(changesSince(before.length).filter((change) => before.includes(change))).toEqual([])
    expect(fleet.cluster.answers).toBe(true)
  })
})

test('what is broken by hand is what the plan names, and an init heals just that', async () => {
  await withDemo({workers: 2}, async ({fleet, init, plan, changesSince}) => {
    await init()
    const worker = fleet.named('worker-1')
    worker.containerd = {...worker.containerd, active: false}
    fleet.named('worker-2').put('/etc/sysctl.d/90-clouder.conf', 'net.ipv4.ip_forward = 0\n')
    await fleet.cluster.kube.delete({
      apiVersion: 'apps/v1',
      kind: 'DaemonSet',
      namespace: 'kube-flannel',
      name: 'kube-flannel-ds',
    })
    expect(placesOf(await plan())).toEqual([
      'kernel worker-2',
      'containerd worker-1',
      'bootstrap-addons cluster',
      'ready cluster',
    ])
    const changes = fleet.changes.length
    await init()
    expect(changesSince(changes)).toEqual(['worker-2 kernel/apply.sh', 'worker-1 containerd/apply.sh'])
    expect((await plan()).steps).toEqual([])
  })
})

test('the join token is known to the redactor, in no event, and gone when the machines have joined', async () => {
  await withDemo({workers: 1}, async ({spec, fleet, run}) => {
    const hidden: string[] = []
    const {tools, recorded} = run()
    const flags = {...runFlags, confirm: () => Promise.resolve()}
    await initCluster(spec, 'init', flags, {...tools, hideSecret: (value) => hidden.push(value)})
    expect(hidden.some((value) => /^[a-z0-9]{6}\.[a-z0-9]{16}$/.test(value))).toBe(true)
    const told = JSON.stringify(recorded.events)
    for (const secret of hidden) expect(told).not.toContain(secret)
    expect(fleet.cluster.kube.changes.filter((change) => change.includes('bootstrap-token'))).toHaveLength(2)
    const secrets = await fleet.cluster.kube.list({apiVersion: 'v1', kind: 'Secret'})
    expect(secrets.filter((secret) => secret['type'] !== 'clouder.dev/release')).toEqual([])
  })
})
