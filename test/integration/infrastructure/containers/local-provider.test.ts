import {execFile, spawn} from 'node:child_process'
import {once} from 'node:events'
import {access, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {expect, test, type TestContext} from 'vitest'
import type {ContainerEngine} from '../../../../src/infrastructure/containers/container-engine.ts'
import {ensureNodeImage} from '../../../../src/infrastructure/containers/node-image.ts'
import type {Provider} from '../../../../src/infrastructure/providers/provider.ts'
import type {Infrastructure, Machine} from '../../../../src/spec/machine.ts'
import {waitFor} from '../../../../src/base/waiting.ts'
import {contextIn, specOf, type TestContext as ClusterContext} from '../../../support/local-cluster.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'
import {localOptions, localProviderHere, needEngine} from '../../../support/with-engine.ts'

const run = promisify(execFile)
const cluster = 'itest-local'
const labels = {'clouder.dev/cluster': cluster}
const spec = specOf(cluster, {workers: [{count: 1}]})

interface Bench {
  readonly engine: ContainerEngine
  readonly provider: Provider
  readonly context: ClusterContext
  readonly home: string
}

const withBench = (use: (bench: Bench) => Promise<void>) => async (test: TestContext) => {
  const engine = await needEngine(test)
  await withTempFolder(async (home) => {
    const provider = localProviderHere()
    const context = contextIn(home, cluster)
    const {signal} = context
    await ensureNodeImage({...localOptions(), engine, os: 'debian-13', report: () => undefined, signal})
    await provider.destroy(cluster, context)
    try {
      await use({engine, provider, context, home})
    } finally {
      await provider.destroy(cluster, context)
    }
  })
}

test(
  'two machines come up, let in the cluster’s key under the pinned host key, and are the same after a restart',
  withBench(async ({engine, provider, context, home}) => {
    const first = await provider.provision(spec, context)
    expect(first.machines.map(({name}) => name)).toEqual(['cp-1', 'worker-1'])
    expect(await provider.plan(spec, context)).toEqual([])
    const identities = await identitiesOf(first, home)
    expect(new Set(identities.map(({machineId}) => machineId)).size, 'machine ids are unique').toBe(2)
    expect(new Set(first.machines.flatMap(({ssh}) => ssh.hostKeys)).size, 'host keys are unique').toBe(2)
    expect(identities.map(({hostname}) => hostname)).toEqual(['cp-1', 'worker-1'])
    expect(identities.map(({failedUnits}) => failedUnits)).toEqual(['', ''])

    expect(await provider.provision(spec, context), 'a second provision finds the same').toEqual(first)
    expect(await identitiesOf(first, home), 'and started nothing again').toEqual(identities)

    await engine.restartContainer(`clouder-${cluster}-worker-1`, 10)
    expect(await provider.provision(spec, context)).toEqual(first)
    const after = await identitiesOf(first, home)
    expect(after.map(({machineId}) => machineId)).toEqual(identities.map(({machineId}) => machineId))
    expect(after[1]?.bootedAt, 'the restart was one').not.toBe(identities[1]?.bootedAt)
  }),
)

test(
  'a stopped machine is started again and a deleted one made again, the others left alone',
  withBench(async ({engine, provider, context, home}) => {
    const first = await provider.provision(spec, context)
    await engine.stopContainer(`clouder-${cluster}-cp-1`, 10)
    await engine.removeContainer(`clouder-${cluster}-worker-1`)
    expect((await provider.plan(spec, context)).map(({action, what}) => `${action} ${what}`)).toEqual([
      'start machine cp-1',
      'create machine worker-1',
    ])
    const healed = await provider.provision(spec, context)
    expect(healed.endpoint).toEqual(first.endpoint)
    expect(healed.machines[0]).toEqual(first.machines[0])
    expect(healed.machines[1]?.address).toBe(first.machines[1]?.address)
    expect(healed.machines[1]?.ssh.hostKeys).not.toEqual(first.machines[1]?.ssh.hostKeys)
    expect((await identitiesOf(healed, home)).map(({hostname}) => hostname)).toEqual(['cp-1', 'worker-1'])
  }),
)

test(
  'a provision that is killed in the middle is finished by the next',
  withBench(async ({engine, provider, context, home}) => {
    // Wherever the run is when the first of these is seen, the kill comes in the middle of something else.
    for (const sight of ['network', 'volume', 'container', 'running'] as const) {
      await provider.destroy(cluster, context)
      await killWhen(engine, home, sight, context.signal)
      const {machines} = await provider.provision(spec, context)
      expect(
        machines.map(({name}) => name),
        sight,
      ).toEqual(['cp-1', 'worker-1'])
      expect(await provider.plan(spec, context), sight).toEqual([])
    }
    const infrastructure = await provider.provision(spec, context)
    expect((await identitiesOf(infrastructure, home)).map(({hostname}) => hostname)).toEqual([
      'cp-1',
      'worker-1',
    ])
  }),
)

test(
  'destroy leaves no container, network, volume or key behind',
  withBench(async ({engine, provider, context}) => {
    await provider.provision(spec, context)
    const removed = await provider.destroy(cluster, context)
    expect(removed).toContain(`network clouder-${cluster}`)
    expect(removed).toHaveLength(2 + 6 + 1)
    expect(await engine.listContainers(labels)).toEqual([])
    expect(await engine.listNetworks(labels)).toEqual([])
    expect(await engine.listVolumes(labels)).toEqual([])
    await expect(access(context.paths.sshKey)).rejects.toMatchObject({code: 'ENOENT'})
    expect(await provider.destroy(cluster, context)).toEqual([])
    expect(await provider.inspect(spec, context)).toBeUndefined()
  }),
)

/** What an agent does to a pod that it checkpoints; where the host's cgroups are of version 2 the kernel ends it all the same. */
const FREEZE = `sleep infinity & pid=$!
if [ -d /sys/fs/cgroup/freezer ]; then
  group=/sys/fs/cgroup/freezer/kubepods/pod1; mkdir -p $group
  echo $pid > $group/cgroup.procs; echo FROZEN > $group/freezer.state
  until grep FROZEN $group/freezer.state; do sleep 0.05; done
else
  group=/sys/fs/cgroup/pod1; mkdir -p $group
  echo $pid > $group/cgroup.procs; echo 1 > $group/cgroup.freeze; echo FROZEN
fi`

test(
  'a machine with a frozen process is restarted, and deleted',
  withBench(async ({engine, provider, context}) => {
    await provider.provision(spec, context)
    const machine = `clouder-${cluster}-worker-1`
    const freeze = () => engine.exec(machine, ['sh', '-c', FREEZE], context.signal)
    expect((await freeze()).stdout.trim()).toBe('FROZEN')
    await engine.restartContainer(machine, 1)
    expect((await freeze()).stdout.trim()).toBe('FROZEN')
    await provider.destroy(cluster, context)
    expect(await engine.listContainers(labels)).toEqual([])
    expect(await engine.listVolumes(labels)).toEqual([])
  }),
)

interface Identity {
  readonly hostname: string
  readonly machineId: string
  readonly bootedAt: string
  readonly failedUnits: string
}

/** Logs in to each machine with the system's own SSH client, strictly by the host key that the provider pinned. */
async function identitiesOf({machines}: Infrastructure, home: string): Promise<readonly Identity[]> {
  const identities: Identity[] = []
  for (const machine of machines) identities.push(await identityOf(machine, home))
  return identities
}

async function identityOf({address, ssh}: Machine, home: string): Promise<Identity> {
  const knownHosts = join(home, 'known_hosts')
  await writeFile(knownHosts, ssh.hostKeys.map((key) => `${address} ${key}\n`).join(''))
  const {stdout} = await run('ssh', [
    ...[
      '-F',
      '/dev/null',
      '-o',
      'BatchMode=yes',
      '-o',
      'StrictHostKeyChecking=yes',
      '-o',
      'IdentitiesOnly=yes',
    ],
    ...['-o', `UserKnownHostsFile=${knownHosts}`, '-i', ssh.keyPath ?? '', '-p', String(ssh.port)],
    `${ssh.user}@${address}`,
    'hostname; cat /etc/machine-id; systemctl show -p UserspaceTimestamp --value; systemctl --failed --plain --no-legend',
  ])
  const [hostname = '', machineId = '', bootedAt = '', ...failed] = stdout.trimEnd().split('\n')
  return {hostname, machineId, bootedAt, failedUnits: failed.join('; ')}
}

async function killWhen(
  engine: ContainerEngine,
  home: string,
  sight: 'network' | 'volume' | 'container' | 'running',
  signal: AbortSignal,
): Promise<void> {
  const program = join(import.meta.dirname, '../../../support/provision.ts')
  const child = spawn(process.execPath, ['--import', 'tsx', program, home, cluster], {stdio: 'ignore'})
  const ended = once(child, 'exit')
  await waitFor({
    what: `a ${sight} of ${cluster}`,
    check: async () => {
      const containers = await engine.listContainers(labels)
      const seen = {
        network: (await engine.listNetworks(labels)).length > 0,
        volume: (await engine.listVolumes(labels)).length > 0,
        container: containers.length > 0,
        running: containers.some(({status}) => status === 'running'),
      }[sight]
      return seen ? {value: true, seen: sight} : {seen: 'nothing'}
    },
    timeoutMs: 60_000,
    intervalMs: 20,
    signal,
  })
  child.kill('SIGKILL')
  await ended
}
