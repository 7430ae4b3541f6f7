import {mkdtemp, readdir, readFile, rm, stat, writeFile} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {expect} from 'vitest'
import {z} from 'zod'
import {stepsOf} from '../support/cli.ts'
import {processesOf, thingsOf, type E2eCluster} from '../support/e2e-cluster.ts'
import {placesOf, resultOf, runSchema} from '../support/e2e-results.ts'
import {scenario} from '../support/e2e-scenario.ts'
import {
  bootstrapSecrets,
  encryptionKey,
  filesBelow,
  keyLines,
  nodeFilesWith,
  watchCommandLines,
} from '../support/e2e-secrets.ts'
import {etcdIdentity} from '../support/etcd-identity.ts'

interface Damage {
  readonly title: string
  readonly make: (cluster: E2eCluster) => Promise<unknown>
  /** `phase host` of every step that the plan must have, in order. */
  readonly named: readonly string[]
  /** Said by the first of these steps or its reason. */
  readonly says: RegExp
  /** `phase host` that may follow from it, when the cluster has noticed meanwhile. */
  readonly mayFollow: readonly string[]
}

const WORKER = 'worker-1'
const on =
  (script: string): Damage['make'] =>
  (cluster) =>
    cluster.read(WORKER, script)

const damages: readonly Damage[] = [
  {
    title: 'a stopped containerd',
    make: on('systemctl stop containerd'),
    named: [`containerd ${WORKER}`],
    says: /containerd\.service is inactive/,
    // The node is not Ready any more after 40 s.
    mayFollow: ['ready cluster'],
  },
  {
    title: 'an edited configuration of containerd',
    make: on('echo "# by hand" >> /etc/containerd/config.toml'),
    named: [`containerd ${WORKER}`],
    says: /\/etc\/containerd\/config\.toml differs/,
    mayFollow: [],
  },
  {
    title: 'a deleted CNI DaemonSet',
    make: (cluster) => kubectl(cluster, '-n', 'kube-flannel', 'delete', 'daemonset', 'kube-flannel-ds'),
    // The pods of the DaemonSet are what the last phase waits for.
    named: ['bootstrap-addons cluster', 'ready cluster'],
    says: /create DaemonSet kube-flannel\/kube-flannel-ds$/,
    mayFollow: [],
  },
  {
    title: 'a removed link to CRIU',
    make: on('rm /usr/local/sbin/criu'),
    // CRIU cannot be found without its link, which is all that the second phase says.
    named: [`artifacts ${WORKER}`, `criu ${WORKER}`],
    says: /\/usr\/local\/sbin\/criu absent/,
    mayFollow: [],
  },
  {
    title: 'a removed CRIU, files and all',
    make: on('rm -r "$(readlink -f /opt/clouder/criu)"'),
    named: [`artifacts ${WORKER}`, `criu ${WORKER}`],
    says: /copy 1 file of the bundle/,
    mayFollow: [],
  },
]

scenario(
  'a local cluster of one control plane and two workers',
  {prefix: 'e2e-local', workers: 2},
  (chapter) => {
    let commandLines: ReadonlySet<string> = new Set()

    chapter('init makes it, and every node is Ready', async (cluster) => {
      const watch = watchCommandLines()
      const run = await cluster.init().finally(() => watch[Symbol.asyncDispose]())
      commandLines = watch.seen
      const {nodes} = resultOf(run, runSchema)
      expect(nodes.map(({name, status}) => `${name} ${status}`)).toEqual(
        cluster.machines.map((name) => `${name} Ready`),
      )
    })

    chapter(
      'no secret of it is in any log, output, record, file of a machine or command line',
      async (cluster) => {
        await secretsAreNowhere(cluster, commandLines)
      },
    )

    chapter('the plan is empty, and a second init changes nothing', async (cluster) => {
      const identity = async () => ({
        etcd: await etcdIdentity(cluster),
        processes: await Promise.all(cluster.machines.map((machine) => processesOf(cluster, machine))),
      })
      const before = await identity()
      expect(before.etcd).toBeDefined()
      for (const program of ['kubelet', 'etcd', 'kube-apiserver', 'systemd'])
        expect(before.processes[0]).toContain(`${program} `)
      expectNothingToDo(await cluster.plan())
      const second = await cluster.init()
      expectNothingToDo(resultOf(second, runSchema))
      expect(stepsOf(second, 'step-started')).toEqual([])
      expect(await identity()).toEqual(before)
    })

    chapter('Secrets, flags, anonymous requests, kubelets and files are hardened', async (cluster) => {
      await kubectl(cluster, 'create', 'secret', 'generic', 'hardened', '--from-literal=v=told-to-nobody')
      const etcdctl =
        'etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt --cert=/etc/kubernetes/pki/etcd/server.crt --key=/etc/kubernetes/pki/etcd/server.key'
      const words = [...etcdctl.split(' '), 'get', '/registry/secrets/default/hardened']
      const stored = await kubectl(cluster, '-n', 'kube-system', 'exec', 'etcd-cp-1', '--', ...words)
      expect(stored).toContain('k8s:enc:secretbox:v1:')
      expect(stored).not.toContain('told-to-nobody')

      const anonymous = (path: string): Promise<string> =>
        cluster.read(
          'cp-1',
          `curl -sk -o /dev/null -w '%{http_code}' --max-time 10 https://127.0.0.1:6443${path}`,
        )
      expect(await anonymous('/readyz')).toContain('200')
      expect(await anonymous('/api/v1/namespaces/kube-public/configmaps/cluster-info')).toContain('401')
      expect(await anonymous('/version')).toContain('401')

      const configz = await kubectl(cluster, 'get', '--raw', `/api/v1/nodes/${WORKER}/proxy/configz`)
      expect(JSON.parse(configz)).toMatchObject({
        kubeletconfig: {podPidsLimit: 4096, tlsMinVersion: 'VersionTLS12'},
      })
      const pod = ['run', 'warned', '--image=none', '--dry-run=server', '--privileged']
      const warned = await cluster.clouder(['kubectl', '--cluster', cluster.name, '--', ...pod])
      expect(warned.stderr).toContain('would violate PodSecurity "baseline')

      const audit = await cluster.read('cp-1', 'cat /var/log/kubernetes/audit/audit.log')
      expect(audit).toContain('"name":"hardened"')
      expect(audit).not.toContain('told-to-nobody')
      expect(audit).not.toMatch(/"(requestObject|responseObject)":/)
      for (const machine of cluster.machines)
        expect(
          await cluster.read(machine, 'find /etc/kubernetes /var/lib/kubelet/config.yaml -type f -perm /077'),
        ).toBe('')
      expect(await cluster.read('cp-1', 'stat -c %a /var/lib/etcd')).toContain('700')
    })

    chapter(
      'a flag that was taken out of a manifest is named by the plan and put back by init',
      async (cluster) => {
        const path = '/etc/kubernetes/manifests/kube-scheduler.yaml'
        await cluster.read('cp-1', `sed -i '/--profiling=false/d' ${path}`)
        const plan = await cluster.plan()
        expect(placesOf(plan)).toEqual(['control-plane cp-1'])
        expect(plan.steps[0]?.reason).toContain('--profiling')
        resultOf(await cluster.init(), runSchema)
        expect(await cluster.read('cp-1', `cat ${path}`)).toContain('--profiling=false')
        expectNothingToDo(await cluster.plan())
      },
    )

    chapter('info shows the live truth, and ls the cluster', async (cluster) => {
      const info = resultOf(await cluster.clouder(['kubeadm', 'info', cluster.name, '--json']), infoSchema)
      expect(info.live.api).toBe('ok')
      expect(info.live.kubernetesVersion).toBe(info.record.kubernetesVersion)
      expect(info.live.nodes.map(({name}) => name)).toEqual(cluster.machines)
      expect(info.differences).toEqual([])
      const {clusters} = resultOf(await cluster.clouder(['kubeadm', 'ls', '--json']), listSchema)
      expect(clusters).toMatchObject([{name: cluster.name, provider: 'local', controlPlanes: 1, workers: 2}])
    })

    chapter(
      'its kubeconfig works, is for its owner alone, and goes into one that is there',
      async (cluster) => {
        const {mode} = await stat(cluster.paths.kubeconfig)
        expect((mode & 0o777).toString(8)).toBe('600')
        const names = await kubectl(cluster, 'get', 'nodes', '-o', 'name')
        expect(names.trim().split('\n')).toEqual(cluster.machines.map((name) => `node/${name}`))
        await mergesIntoAnother(cluster)
      },
    )

    chapter(
      'the smoke test passes, with a process that goes on from memory on another node',
      async (cluster) => {
        const run = await cluster.clouder(['kubeadm', 'smoke-test', cluster.name, '--json'])
        const {checks} = resultOf(run, smokeSchema)
        expect(checks.filter(({passed}) => !passed)).toEqual([])
        expect(checks.map(({name}) => name)).toEqual([
          'Pod to pod across nodes',
          'Service',
          'DNS',
          'Checkpoint and restore with memory on another node',
        ])
      },
    )

    for (const {title, make, named, says, mayFollow} of damages) {
      chapter(`${title} is named by the plan, alone, and healed by init`, async (cluster) => {
        await make(cluster)
        const plan = await cluster.plan()
        expect(plan.machineChanges).toEqual([])
        const places = placesOf(plan)
        expect(places.slice(0, named.length)).toEqual(named)
        expect(places.slice(named.length).filter((place) => !mayFollow.includes(place))).toEqual([])
        const [first] = plan.steps
        expect([first?.step, first?.reason]).toContainEqual(expect.stringMatching(says))
        resultOf(await cluster.init(), runSchema)
        expectNothingToDo(await cluster.plan())
      })
    }

    chapter('terminate leaves no container, network, volume or file', async (cluster) => {
      expect(await thingsOf(cluster.engine, cluster.name)).toContain(`network clouder-${cluster.name}`)
      const run = await cluster.clouder(['kubeadm', 'terminate', cluster.name, '--yes', '--json'])
      resultOf(run, z.looseObject({type: z.literal('result')}))
      expect(await thingsOf(cluster.engine, cluster.name)).toEqual([])
      const left = await readdir(cluster.home, {recursive: true, withFileTypes: true})
      expect(left.filter((entry) => !entry.isDirectory()).map(({name}) => name)).toEqual([])
    })
  },
)

function expectNothingToDo({steps, machineChanges}: z.output<typeof runSchema>): void {
  expect(steps).toEqual([])
  expect(machineChanges).toEqual([])
}

async function kubectl(cluster: E2eCluster, ...args: readonly string[]): Promise<string> {
  const run = await cluster.clouder(['kubectl', '--cluster', cluster.name, '--', ...args])
  expect(run, run.stderr).toMatchObject({exitCode: 0})
  return run.stdout
}

const infoSchema = z.looseObject({
  record: z.looseObject({kubernetesVersion: z.string()}),
  live: z.looseObject({
    api: z.string(),
    kubernetesVersion: z.string(),
    nodes: z.array(z.looseObject({name: z.string(), status: z.literal('Ready')})),
  }),
  differences: z.array(z.string()),
})
const listSchema = z.looseObject({clusters: z.array(z.looseObject({name: z.string()}))})
const smokeSchema = z.looseObject({
  passed: z.literal(true),
  checks: z.array(z.looseObject({name: z.string(), passed: z.boolean(), detail: z.string()})),
})

async function mergesIntoAnother(cluster: E2eCluster): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'clouder-kubeconfig-'))
  const path = join(dir, 'config')
  try {
    const mine = JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'mine',
      clusters: [{name: 'mine', cluster: {server: 'https://mine.test:6443'}}],
      users: [{name: 'mine', user: {}}],
      contexts: [{name: 'mine', context: {cluster: 'mine', user: 'mine'}}],
    })
    await writeFile(path, mine, {mode: 0o600})
    const words = ['kubeadm', 'get-config', cluster.name, '--merge', '--context', 'theirs', '--json']
    const run = await cluster.clouder(words, {environment: {KUBECONFIG: path}})
    resultOf(run, z.looseObject({mergedContext: z.literal('theirs')}))
    const merged = await readFile(path, 'utf8')
    expect(merged).toContain('https://mine.test:6443')
    const names = await kubectl(
      cluster,
      '--kubeconfig',
      path,
      '--context',
      'theirs',
      'get',
      'nodes',
      '-o',
      'name',
    )
    expect(names).toContain('node/cp-1')
  } finally {
    await rm(dir, {recursive: true, force: true})
  }
}

/** What tokens and keys look like, for those that were never seen. */
const TOKEN = /(?<![a-z0-9.])[a-z0-9]{6}\.[a-z0-9]{16}(?![a-z0-9.])/
const PRIVATE_KEY = /BEGIN [A-Z ]*PRIVATE KEY/

async function secretsAreNowhere(cluster: E2eCluster, commandLines: ReadonlySet<string>): Promise<void> {
  const secrets = await kubectl(cluster, '-n', 'kube-system', 'get', 'secrets', '-o', 'name')
  expect(secrets).not.toMatch(/bootstrap-token|kubeadm-certs/)

  const tokens = await bootstrapSecrets(cluster)
  const keys = await keyLines(cluster)
  expect(tokens.length, 'the token that workers joined with').toBeGreaterThan(0)
  expect(keys.length, 'the keys of the certificate authorities').toBeGreaterThan(3)
  const key = await encryptionKey(cluster)
  expect(key.length, 'the key that Secrets are encrypted with').toBe(44)
  const values = [...tokens, ...keys, key]

  const here = new Map([...(await filesBelow(cluster.home)), ['output', cluster.said.join('\n')]])
  expect([...here.keys()]).toContain(cluster.paths.journal)
  for (const [path, text] of here) {
    expect(
      values.filter((value) => text.includes(value)),
      path,
    ).toEqual([])
    if (path === cluster.paths.sshKey || path === cluster.paths.kubeconfig) continue
    expect(text, path).not.toMatch(TOKEN)
    expect(text, path).not.toMatch(PRIVATE_KEY)
  }
  for (const machine of cluster.machines)
    expect(await nodeFilesWith(cluster, machine, values), machine).toEqual([])
  const lines = [...commandLines]
  expect(
    lines.some((line) => line.startsWith('kubeadm join')),
    'the watch saw what ran on the machines',
  ).toBe(true)
  expect(lines.filter((line) => values.some((value) => line.includes(value)))).toEqual([])
}
