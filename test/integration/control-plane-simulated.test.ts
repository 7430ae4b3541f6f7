import {expect, test} from 'vitest'
import {ENCRYPTION_PATH} from '../../src/bootstrap/kubeadm/hardening.ts'
import {MANIFEST_PATHS} from '../../src/bootstrap/phases/kubeadm-probe.ts'
import {placesOf, withDemo, type Demo} from '../support/simulated-demo.ts'

const CONFIG = '/etc/kubernetes/clouder/kubeadm.yaml'
const API_SERVER = '/etc/kubernetes/manifests/kube-apiserver.yaml'

/** Leaves control planes as a clouder made them that knew no flags, no key and no files of the API server. */
async function madeBefore({fleet}: Demo, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const machine = fleet.named(name)
    const configuration = machine.files.get(CONFIG)?.content ?? ''
    machine.remove('/etc/kubernetes/clouder/apiserver')
    machine.remove('/etc/kubernetes/clouder/patches/kube-apiserver0+merge.yaml')
    machine.put(
      CONFIG,
      configuration.replaceAll(/^ {2,4}(extraArgs|extraVolumes):\n(?: {4,}.*\n)*/gm, ''),
      0o600,
    )
    for (const path of MANIFEST_PATHS) machine.put(path, `the ${path} of before\n`, 0o600)
  }
  const system = {apiVersion: 'v1', kind: 'ConfigMap', namespace: 'kube-system'}
  await fleet.cluster.kube.delete({...system, name: 'clouder-encrypted-secrets'})
  for (const {name} of fleet.machines.values())
    fleet.named(name).put('/var/lib/kubelet/config.yaml', 'kind: KubeletConfiguration\n')
  const metadata = {name: 'kubeadm-config', namespace: 'kube-system'}
  fleet.cluster.kube.put({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata,
    data: {ClusterConfiguration: 'clusterName: demo\n'},
  })
}

test('a cluster that was made without them gets flags, files and encrypted Secrets by init, and the plan says so', async () => {
  await withDemo({workers: 1}, async (demo) => {
    await demo.init()
    await madeBefore(demo, ['cp-1'])
    const plan = await demo.plan()
    expect(placesOf(plan)).toEqual([
      'control-plane cp-1',
      'control-plane cp-1',
      'kubeadm-init cp-1',
      'kubeadm-init cp-1',
      'kubelet-config cp-1',
      'kubelet-config worker-1',
    ])
    expect(plan.steps.map(({reason}) => reason).join('\n')).toMatch(
      /kube-apiserver differs.*kube-scheduler differs/,
    )
    expect((await demo.init()).steps).toEqual(plan.steps)
    expect(demo.fleet.named('cp-1').files.get(API_SERVER)?.content).toContain('encryption-provider-config')
    expect((await demo.plan()).steps).toEqual([])
  })
})

test('a manifest that was changed by hand is named by the plan and put right by init', async () => {
  await withDemo({workers: 1}, async (demo) => {
    await demo.init()
    demo.fleet.named('cp-1').put(API_SERVER, 'spec: {containers: [{env: [{name: HTTPS_PROXY}]}]}\n', 0o600)
    const {steps} = await demo.plan()
    expect(steps).toMatchObject([{phase: 'control-plane', host: 'cp-1'}])
    expect(steps[0]?.reason).toContain(
      'kube-apiserver differs from what kubeadm generates from the configuration',
    )
    await demo.init()
    expect((await demo.plan()).steps).toEqual([])
  })
})

test('an init of a cluster made before, killed after any of its changes, ends where one that was not killed does', async () => {
  for (let changes = 1; changes < 7; changes += 1) {
    await withDemo({workers: 1}, async (demo) => {
      await demo.init()
      await madeBefore(demo, ['cp-1'])
      demo.fleet.killAfter(changes)
      await expect(demo.init(), `killed after ${changes} changes`).rejects.toThrow()
      demo.fleet.killAfter(undefined)
      const key = demo.fleet.named('cp-1').files.get(ENCRYPTION_PATH)?.content
      await demo.init()
      expect(demo.fleet.named('cp-1').files.get(ENCRYPTION_PATH)?.content).toBe(key)
      expect((await demo.plan()).steps).toEqual([])
    })
  }
})

test('no API server of several writes a Secret that another one cannot read, and all have one key', async () => {
  await withDemo({workers: 0, controlPlanes: 3}, async (demo) => {
    const planes = ['cp-1', 'cp-2', 'cp-3']
    await demo.init()
    await madeBefore(demo, planes)
    const {steps} = await demo.plan()
    const reads = steps.findLastIndex(({reason}) => reason === 'it cannot read encrypted Secrets yet')
    const encrypts = steps.findIndex(
      ({reason}) => reason === 'every API server can then read encrypted Secrets',
    )
    expect(steps.filter(({reason}) => reason === 'it cannot read encrypted Secrets yet')).toHaveLength(3)
    expect(reads).toBeLessThan(encrypts)
    await demo.init()
    const keys = planes.map((name) => demo.fleet.named(name).files.get(ENCRYPTION_PATH)?.content)
    expect(keys[0]).toMatch(/- secretbox[\s\S]*- identity/)
    expect(new Set(keys).size).toBe(1)
    expect((await demo.plan()).steps).toEqual([])
  })
})

test('a control plane that joins is given the key before its API server starts', async () => {
  await withDemo({workers: 0, controlPlanes: 3}, async ({fleet, init}) => {
    await init()
    const changes = fleet.changes.map(({host, what}) => `${host} ${what}`)
    const written = changes.indexOf(`cp-2 write ${ENCRYPTION_PATH}`)
    expect(written).toBeGreaterThan(0)
    expect(written).toBeLessThan(changes.indexOf('cp-2 kubeadm join'))
    expect(fleet.named('cp-2').files.get(ENCRYPTION_PATH)).toEqual(
      fleet.named('cp-1').files.get(ENCRYPTION_PATH),
    )
  })
})

test('a control plane that an earlier run let join is waited for as well, before the next one joins', async () => {
  await withDemo({workers: 1, controlPlanes: 3}, async (demo) => {
    demo.fleet.failNext('cp-3', 'kubeadm join', 'cut off')
    await expect(demo.init()).rejects.toMatchObject({code: 'HOSTS_FAILED'})
    const joins = (await demo.plan()).steps.filter(({phase}) => phase === 'join')
    expect(joins.map(({step, host}) => `${host ?? 'cluster'}: ${step}`)).toEqual([
      'cluster: create a join token valid for 15 minutes',
      'cluster: wait until etcd and the API server are ready on cp-2',
      'cp-3: join as control plane',
      'cluster: wait until etcd and the API server are ready on cp-3',
      'worker-1: join as worker',
      'cluster: delete the join token',
    ])
    await demo.init()
    expect((await demo.plan()).steps).toEqual([])
  })
})
