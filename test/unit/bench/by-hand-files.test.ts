import {readFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {parse} from 'yaml'
import {z} from 'zod'
import {wantedArtifacts} from '../../../src/bootstrap/phases/artifacts.ts'
import {clusterObjects, nodeFiles, sshFiles, type ByHandCluster} from '../../bench/by-hand-files.ts'
import {packageRoot} from '../../bench/clusters.ts'
import {fakeFacts, fakeMachine} from '../../support/fake-host.ts'
import {plannedBundle, renderer, specOf} from '../../support/phase-context.ts'
import {simulatedBundle} from '../../support/simulated-run.ts'
import {withTempFolder} from '../../support/temp-folder.ts'

const plane = {machine: fakeMachine('cp-1', {role: 'control-plane'}), facts: fakeFacts()}
const worker = {machine: fakeMachine('worker-1'), facts: fakeFacts({container: true})}
const cluster: ByHandCluster = {
  spec: specOf('provider: {kind: local}'),
  endpoint: {internal: '10.0.0.10:6443', external: '127.0.0.1:36443', certSans: []},
  nodes: [plane, worker],
  bundle: plannedBundle,
  renderer,
  encryptionSecret: Buffer.alloc(32).toString('base64'),
}

const clusterConfigurationSchema = z.looseObject({
  kind: z.literal('ClusterConfiguration'),
  apiServer: z.looseObject({
    extraArgs: z.array(z.object({name: z.string(), value: z.string()})),
    extraVolumes: z.array(z.looseObject({hostPath: z.string(), pathType: z.string()})),
  }),
})

test('what the API server is started with lies on the control plane', () => {
  const files = new Map(nodeFiles(plane, cluster).map((file) => [file.path, file]))
  const text = files.get('/etc/kubernetes/kubeadm.yaml')?.content ?? ''
  const [apiServer] = text
    .split('---\n')
    .flatMap((document) => clusterConfigurationSchema.safeParse(parse(document)).data?.apiServer ?? [])
  const named = (apiServer?.extraArgs ?? [])
    .map(({value}) => value)
    .filter((value) => value.endsWith('.yaml'))
  expect(named).not.toEqual([])
  expect(named.filter((path) => !files.has(path))).toEqual([])
  const folders = (apiServer?.extraVolumes ?? []).filter(({pathType}) => pathType === 'Directory')
  const found = folders.filter(({hostPath}) => [...files.keys()].some((path) => path.startsWith(hostPath)))
  expect(folders).toHaveLength(1)
  expect(found).toEqual(folders)
})

test('only the key of Secrets is for root alone', () => {
  const secret = nodeFiles(plane, cluster).filter(({mode}) => mode === 0o600)
  expect(secret.map(({path}) => path)).toEqual(['/etc/kubernetes/clouder/apiserver/encryption.yaml'])
  expect(secret[0]?.content).toContain(cluster.encryptionSecret)
})

test('a worker has what its daemons read, and its exceptions', () => {
  expect(nodeFiles(worker, cluster).map(({path}) => path)).toEqual([
    '/etc/containerd/config.toml',
    '/etc/systemd/system/containerd.service',
    '/etc/criu/runc.conf',
    '/etc/systemd/system/var-lib-clouder-memory.mount',
    '/etc/systemd/system/kubelet.service',
    '/etc/systemd/system/kubelet.service.d/10-kubeadm.conf',
    '/etc/kubernetes/patches/.keep',
    '/etc/kubernetes/patches/kubeletconfiguration0+merge.yaml',
  ])
})

test('by-hand.sh reads what was prepared, and brings the files of the bundle that clouder brings', async () => {
  const script = await readFile(join(packageRoot, 'test/bench/by-hand.sh'), 'utf8')
  await withTempFolder(async (folder) => {
    const bundle = await simulatedBundle(folder)
    const lists = clusterObjects({...cluster, bundle})
    expect(Object.values(lists).filter((objects) => objects.length === 0)).toEqual([])
    const read = [...script.matchAll(/\$prepared\/(\w+)\.json/g)].map(([, name]) => name)
    expect(read).toEqual(Object.keys(lists))
    const wanted = wantedArtifacts(bundle, 'control-plane').items.map(({name}) => name)
    expect(wanted.filter((name) => !new RegExp(`[({ ,]${name}[)} ,]`).test(script))).toEqual([])
  })
})

test('ssh reaches a machine by its name, with the key that is pinned for it', () => {
  const ssh = {user: 'root', port: 2222, keyPath: '/keys/id', hostKeys: ['ssh-ed25519 AAAA']}
  const {ssh_config: config, known_hosts: keys} = sshFiles([fakeMachine('cp-1', {ssh})], '/prepared')
  expect(config).toMatch(/^Host cp-1$[^]*Port 2222[^]*IdentityFile \/keys\/id[^]*HostKeyAlias cp-1/m)
  expect(keys).toBe('cp-1 ssh-ed25519 AAAA\n')
})
