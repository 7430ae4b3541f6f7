import {mkdir, rm, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {AbortError} from '../../../../src/base/errors.ts'
import type {HostConnector} from '../../../../src/bootstrap/hosts/host.ts'
import {
  applyInfra,
  destroyInfra,
  infraOutputs,
  planInfra,
  synthInfra,
} from '../../../../src/workflows/infra/infra.ts'
import {initCluster} from '../../../../src/workflows/cluster/init.ts'
import {terminateCluster} from '../../../../src/workflows/cluster/terminate.ts'
import type {Tools} from '../../../../src/workflows/session/types.ts'
import {fakeTerraform} from '../../../support/fake-terraform.ts'
import {specOf} from '../../../support/local-cluster.ts'
import {runFlags, withDemo} from '../../../support/simulated-demo.ts'
import type {SimulatedFleet} from '../../../support/simulated-fleet.ts'
import {
  ACCOUNT,
  consoleCloud,
  demoProvider,
  outside,
  REGION,
  type Outside,
} from '../../../support/terraform-cluster.ts'

const spec = (aws: object = {}, workers = 1) =>
  specOf('demo', {
    provider: {kind: 'aws', aws},
    workers: [{count: workers}],
    addons: {profile: 'minimal'},
    access: {adminCidrs: ['203.0.113.0/24']},
  })
const yes = () => Promise.resolve()
const flags = {...runFlags, confirm: yes}

interface Bench {
  readonly home: string
  readonly around: Outside
  readonly fleet: SimulatedFleet
  /** What connections were asked for, by machine. */
  readonly booting: Map<string, boolean | undefined>
  readonly tools: () => Tools
}

/** Each call of `tools` is a command line of its own. */
function withInfra(use: (bench: Bench) => Promise<void>): () => Promise<void> {
  return () =>
    withDemo({provider: 'local', workers: 0}, async ({home, run, fleet}) => {
      const around = outside()
      const temporaryDir = join(home, 'tmp')
      await mkdir(temporaryDir)
      const provider = demoProvider(around, (dir) => Promise.resolve(fakeTerraform(dir)), temporaryDir)
      const cloud = {...consoleCloud(REGION, around), findOwned: () => Promise.resolve([])}
      const openCloud = () => Promise.resolve(cloud)
      const booting: Bench['booting'] = new Map()
      const connector: HostConnector = {
        connect: (machine, how) => {
          booting.set(machine.name, how.booting)
          // A simulated machine knows one address, and behind NAT that is the private one.
          const inside = {...machine, address: machine.privateAddress}
          if (!fleet.machines.has(inside.address)) fleet.add(inside)
          return fleet.connector.connect(inside, how)
        },
      }
      const outsideWorld = {
        providerFor: () => Promise.resolve(provider),
        openCloud,
        connectorFor: () => connector,
      }
      await use({home, around, fleet, booting, tools: () => ({...run().tools, ...outsideWorld})})
    })
}

test(
  'a plan tells what is to do, its apply remembers the machines, and then neither plan nor drift tells anything',
  withInfra(async ({home, tools}) => {
    const saveTo = join(home, 'saved.tfplan')
    const plan = await planInfra(spec(), {goal: 'apply', saveTo}, tools())
    expect(plan).toMatchObject({cluster: 'demo', provider: 'aws', hasChanges: true, file: saveTo})
    expect(await tools().store.load('demo')).toBeUndefined()
    expect(await infraOutputs(spec(), tools())).toBeUndefined()

    const applied = await applyInfra(spec(), {planFile: saveTo, agree: yes}, tools())
    expect(applied).toMatchObject({endpoint: 'api.test:6443'})
    expect(applied.changes).toHaveLength(plan.changes.length)
    const record = await tools().store.load('demo')
    expect(record?.machines.map(({name}) => name)).toEqual(['cp-1', 'worker-1'])

    expect(await planInfra(spec(), {goal: 'apply'}, tools())).toMatchObject({changes: [], hasChanges: false})
    expect(await planInfra(spec(), {goal: 'drift'}, tools())).toMatchObject({changes: [], hasChanges: false})
    expect(await infraOutputs(spec(), tools())).toHaveProperty('machines')
  }),
)

test(
  'an init goes from nothing to a cluster, knows which machines boot for the first time, and is then up to date',
  withInfra(async ({home, booting, tools}) => {
    const planned = await initCluster(spec(), 'init', {...flags, dryRun: true}, tools())
    expect(planned.machineChanges.map(({what}) => what)).toContain('terraform_data.cp-1')
    const made = await initCluster(spec(), 'init', flags, tools())
    expect(made.nodes.map(({name, status}) => `${name} ${status}`)).toEqual(['cp-1 Ready', 'worker-1 Ready'])
    expect(made.endpoint).toBe('api.test:6443')
    expect([...booting]).toEqual([
      ['cp-1', true],
      ['worker-1', true],
    ])
    const again = await initCluster(spec(), 'init', flags, tools())
    expect(again).toMatchObject({machineChanges: [], steps: []})
    expect([...booting.values()]).toEqual([false, false])
    await initCluster(spec({}, 2), 'init', flags, tools())
    expect(booting.get('worker-2')).toBe(true)
    expect(booting.get('cp-1')).toBe(false)
    // Nodes that run are not lost beside what was asked for, and go by a plan that says so.
    await expect(initCluster(spec(), 'init', flags, tools())).rejects.toMatchObject({
      code: 'PLAN_REMOVES_MACHINES',
      message: 'machines of the running cluster demo would be lost: remove worker-2 (no resource config)',
    })
    const saveTo = join(home, 'less.tfplan')
    await planInfra(spec(), {goal: 'apply', saveTo}, tools())
    const {machines} = await applyInfra(spec(), {planFile: saveTo, agree: yes}, tools())
    expect(machines.map(({name}) => name)).toEqual(['cp-1', 'worker-1'])
  }),
)

const large = (size: string, controlPlanes = 3, workers = 0) =>
  specOf('demo', {
    provider: {kind: 'aws'},
    controlPlane: {count: controlPlanes, size},
    workers: [{count: workers}],
    addons: {profile: 'minimal'},
    access: {adminCidrs: ['203.0.113.0/24']},
  })

test(
  'control planes that would stop at once are refused, also in a saved plan, and go one after the other',
  withInfra(async ({home, tools}) => {
    await initCluster(large('t3.medium'), 'init', flags, tools())
    const refusal = {
      code: 'PLAN_STOPS_CONTROL_PLANES',
      message:
        'control planes of the running cluster demo would stop at once: update cp-1 (differs in input), update cp-2 (differs in input), update cp-3 (differs in input)',
    }
    await expect(initCluster(large('t3.large'), 'init', flags, tools())).rejects.toMatchObject(refusal)
    const saveTo = join(home, 'saved.tfplan')
    const only = (names: readonly string[]) =>
      planInfra(large('t3.large'), {goal: 'apply', saveTo, only: names}, tools())
    const apply = () => applyInfra(large('t3.large'), {planFile: saveTo, agree: yes}, tools())
    await only([])
    await expect(apply()).rejects.toMatchObject(refusal)
    await expect(only(['cp-4'])).rejects.toMatchObject({code: 'FLAG_INVALID'})
    for (const name of ['cp-1', 'cp-2', 'cp-3']) {
      await only([name])
      const {changes} = await apply()
      expect(changes).toMatchObject([{machine: name, action: 'update', interrupts: 'control-plane'}])
    }
    expect(await planInfra(large('t3.large'), {goal: 'apply'}, tools())).toMatchObject({hasChanges: false})
  }),
)

test(
  'a pipeline that remembers nothing stops and loses no running cluster either: the plan itself tells',
  withInfra(async ({home, tools}) => {
    const forget = () => tools().store.remove('demo')
    const create = (spec: ReturnType<typeof large>) => initCluster(spec, 'create', flags, tools())
    await create(large('t3.medium', 3, 1))
    await forget()
    await expect(create(large('t3.large', 3, 1))).rejects.toMatchObject({code: 'PLAN_STOPS_CONTROL_PLANES'})
    await expect(create(large('t3.medium', 1, 1))).rejects.toMatchObject({code: 'PLAN_STOPS_CONTROL_PLANES'})
    await expect(create(large('t3.medium'))).rejects.toMatchObject({
      code: 'PLAN_REMOVES_MACHINES',
      message: 'machines of the running cluster demo would be lost: remove worker-1 (no resource config)',
    })
    // What was asked for as a whole is no accident.
    const saveTo = join(home, 'removal.tfplan')
    await planInfra(large('t3.medium', 3, 1), {goal: 'destroy', saveTo}, tools())
    const all = await applyInfra(large('t3.medium', 3, 1), {planFile: saveTo, agree: yes}, tools())
    expect(all.machines).toEqual([])
  }),
)

test(
  'machines on which no cluster was set up yet may stop at once and become others',
  withInfra(async ({tools}) => {
    await initCluster(large('t3.micro'), 'create', flags, tools())
    const {machineChanges} = await initCluster(large('t3.medium'), 'create', flags, tools())
    expect(machineChanges.map(({machine}) => machine)).toEqual(['cp-1', 'cp-2', 'cp-3'])
  }),
)

test(
  'machines of a Terraform that ran elsewhere are set up, and none is made',
  withInfra(async ({tools}) => {
    await initCluster(spec(), 'create', flags, tools())
    const outputs = (await infraOutputs(spec(), tools())) ?? {}
    const record = await tools().store.load('demo')
    await tools().store.remove('demo')
    const done = await initCluster(spec(), 'setup', {...flags, outputs}, tools())
    expect(done).toMatchObject({machineChanges: [], nodes: [{name: 'cp-1'}, {name: 'worker-1'}]})
    expect((await tools().store.load('demo'))?.machines).toEqual(record?.machines)
  }),
)

test(
  'region and account are those of the credentials, are kept, and cannot become others',
  withInfra(async ({around, tools}) => {
    await initCluster(spec(), 'create', flags, tools())
    const kept = (await tools().store.load('demo'))?.document
    expect(kept).toMatchObject({spec: {provider: {aws: {region: REGION, account: ACCOUNT}}}})
    expect(around.asked.length).toBeGreaterThan(0)
    const moved = spec({region: 'us-west-2'})
    await expect(planInfra(moved, {goal: 'apply'}, tools())).rejects.toMatchObject({
      code: 'CLUSTER_MISMATCH',
      message: `cluster demo was created in region ${REGION}, but the spec sets us-west-2`,
    })
    await expect(initCluster(moved, 'create', flags, tools())).rejects.toMatchObject({
      code: 'CLUSTER_MISMATCH',
    })
  }),
)

test(
  'machines that a failed run may have made are remembered, so that terminate removes them',
  withInfra(async ({home, around, tools}) => {
    around.failsIf = join(home, 'broken')
    await writeFile(around.failsIf, '')
    await expect(initCluster(spec(), 'create', flags, tools())).rejects.toMatchObject({
      code: 'TERRAFORM_FAILED',
    })
    expect(await tools().store.list()).toEqual(['demo'])
    await rm(around.failsIf)
    const {removed} = await terminateCluster('demo', {dryRun: true}, tools())
    expect(removed).toContain('terraform_data.cp-1')
    expect((await terminateCluster('demo', {dryRun: false}, tools())).removed).toContain('terraform_data.key')
    expect(await tools().store.list()).toEqual([])
  }),
)

test(
  'nothing is made or remembered when the question is answered with no',
  withInfra(async ({home, tools}) => {
    const no = () => Promise.reject(new AbortError('DECLINED', 'no machine was changed'))
    const confirm = initCluster(spec(), 'create', {...flags, confirm: no}, tools())
    await expect(confirm).rejects.toMatchObject({code: 'DECLINED'})
    const planFile = join(home, 'saved.tfplan')
    await planInfra(spec(), {goal: 'apply', saveTo: planFile}, tools())
    await expect(applyInfra(spec(), {planFile, agree: no}, tools())).rejects.toMatchObject({code: 'DECLINED'})
    expect(await tools().store.list()).toEqual([])
    expect(await planInfra(spec(), {goal: 'destroy'}, tools())).toMatchObject({hasChanges: false})
  }),
)

test(
  'a destroy removes what Terraform made, and the record forgets the machines alone',
  withInfra(async ({tools}) => {
    await initCluster(spec(), 'create', flags, tools())
    const asked: string[] = []
    const agree = (changes: readonly {what: string; action: string}[]) => {
      asked.push(...changes.map(({action, what}) => `${action} ${what}`))
      return Promise.resolve()
    }
    const {removed} = await destroyInfra(spec(), agree, tools())
    expect([...removed].sort()).toEqual(asked.map((text) => text.replace('remove ', '')).sort())
    expect(asked).toContain('remove terraform_data.cp-1')
    expect(await tools().store.load('demo')).toMatchObject({provider: 'aws', machines: []})
    expect((await destroyInfra(spec(), agree, tools())).removed).toEqual([])
  }),
)

test(
  'a saved plan that removes everything is applied like any other',
  withInfra(async ({home, tools}) => {
    await initCluster(spec(), 'create', flags, tools())
    const saveTo = join(home, 'destroy.tfplan')
    const plan = await planInfra(spec(), {goal: 'destroy', saveTo}, tools())
    const applied = await applyInfra(spec(), {planFile: saveTo, agree: yes}, tools())
    expect(applied).toMatchObject({machines: [], endpoint: undefined})
    expect(applied.changes.map(({what}) => what)).toEqual(plan.changes.map(({address}) => address))
    expect(await tools().store.load('demo')).toMatchObject({machines: []})
  }),
)

test('providers without Terraform say so', async () => {
  await withDemo({workers: 1}, async ({run, spec: byon, init}) => {
    const wanted = {code: 'PROVIDER_UNSUPPORTED'}
    await expect(planInfra(byon, {goal: 'apply'}, run().tools)).rejects.toMatchObject(wanted)
    await expect(synthInfra(byon, run().tools)).rejects.toMatchObject(wanted)
    await expect(init({outputs: {}}, 'setup')).rejects.toMatchObject({code: 'FLAG_INVALID'})
  })
})
