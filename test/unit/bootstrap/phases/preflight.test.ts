import {expect, test} from 'vitest'
import {ConfigError} from '../../../../src/base/errors.ts'
import {PreflightError} from '../../../../src/bootstrap/errors.ts'
import {
  preflightChecks,
  preflightPhase,
  runChecks,
  targetsOf,
} from '../../../../src/bootstrap/phases/preflight.ts'
import {FakeHost, type FakeHostOptions} from '../../../support/fake-host.ts'
import {phaseContext, specOf} from '../../../support/phase-context.ts'

const never = new AbortController().signal

const FIT =
  'uid=0\nconfig=CHECKPOINT_RESTORE y\nmodule=overlay\nmodule=br_netfilter\nmodule=vxlan\n' +
  'controllers=cpuset cpu io memory pids\ndisk=/opt 20000 40000\ndisk=/var/lib 20000 40000\n' +
  'listen=22 sshd\naddress=eth0 10.0.0.10/24\nroute=eth0 10.0.0.0/24\n' +
  'fsync=0.001\n'.repeat(50)

let made = 0
interface HostChange extends FakeHostOptions {
  readonly probe?: (fit: string) => string
  readonly reach?: string
}

/** A control plane fit for anything, but for what the test changes. */
function hostWith({probe = (fit) => fit, reach = '', ...options}: HostChange = {}): FakeHost {
  made += 1
  const {name = 'cp-1', machine, facts} = options
  return new FakeHost({
    name,
    machine: {role: 'control-plane', ...machine},
    facts: {machineId: `id-${made}`, ...facts},
  })
    .on('preflight/probe.sh', probe(FIT))
    .on('preflight/reach.sh', reach)
}

const problemsOf = async (hosts: readonly FakeHost[], body = '') => {
  const {findings, warnings} = await runChecks(phaseContext(hosts, specOf(body)), never)
  const told = (level: string) => (finding: {host: string; check: string; problem: string}) =>
    `${level} ${finding.host} ${finding.check}: ${finding.problem}`
  return [...findings.map(told('error')), ...warnings.map(told('warning'))]
}

test('a fit machine has no finding, and every check is told as passed', async () => {
  const report = await runChecks(phaseContext([hostWith()]), never)
  expect(report.findings).toEqual([])
  expect(report.warnings).toEqual([])
  expect(report.checks.map(({check}) => check)).toEqual(preflightChecks.map(({name}) => name))
  expect(report.checks.every(({ok}) => ok)).toBe(true)
})

test('names of checks are unique and in PascalCase', () => {
  const names = preflightChecks.map(({name}) => name)
  expect(new Set(names).size).toBe(names.length)
  expect(names.filter((name) => !/^([A-Z][a-z]*)+$/.test(name))).toEqual([])
})

const container = {container: true, capSysResource: false, cgroupVersion: 1} as const

test.each<[string, HostChange, readonly string[]]>([
  ['Ubuntu 22.04', {facts: {osId: 'ubuntu', osVersion: '22.04'}}, []],
  ['arm64', {facts: {arch: 'arm64'}}, []],
  [
    'an old distribution',
    {facts: {osVersion: '11', osPrettyName: 'Debian GNU/Linux 11 (bullseye)'}},
    ['error cp-1 OperatingSystem: Debian GNU/Linux 11 (bullseye) is not supported'],
  ],
  [
    'another architecture',
    {facts: {arch: 'riscv64'}},
    ['error cp-1 Architecture: architecture riscv64 is not supported'],
  ],
  ['no systemd', {facts: {systemd: false}}, ['error cp-1 InitSystem: systemd is not running']],
  [
    'no root',
    {probe: (fit) => fit.replace('uid=0', 'uid=1000')},
    ['error cp-1 Sudo: commands of root run as UID 1000, not as root'],
  ],
  [
    'an sshd that forwards nothing',
    {facts: {apiForwarded: false}},
    [
      'warning cp-1 ApiForwarding: sshd does not forward to 127.0.0.1:6443 (AllowTcpForwarding, DisableForwarding or PermitOpen): connections to the API server are relayed through commands, which is slower',
    ],
  ],
  [
    'an old kernel',
    {facts: {kernel: '5.9.0-1-amd64'}},
    ['error cp-1 KernelVersion: kernel 5.9.0-1-amd64 is older than 5.10'],
  ],
  [
    'a missing module',
    {probe: (fit) => fit.replace('module=br_netfilter\n', '')},
    ['error cp-1 KernelModules: kernel 6.12.48+deb13-amd64 has no module br_netfilter'],
  ],
  [
    'a module that a container cannot see',
    {facts: container, probe: (fit) => fit.replace('module=br_netfilter\n', '')},
    ['warning cp-1 KernelModules: kernel module br_netfilter is not available'],
  ],
  ['cgroup v1 in a container', {facts: container, probe: (fit) => fit.replace(/^controllers.*\n/m, '')}, []],
  [
    'cgroup v1 on a machine of its own',
    {facts: {cgroupVersion: 1}},
    ['error cp-1 CgroupVersion: cgroup v1 is in use, which the kubelet does not support from 1.35 on'],
  ],
  [
    'a missing controller',
    {probe: (fit) => fit.replace('io memory', 'io')},
    ['error cp-1 CgroupVersion: cgroup controllers are missing: memory'],
  ],
  ['one CPU', {facts: {cpus: 1}}, ['error cp-1 CPU: 1 CPU, a control plane needs 2']],
  ['one CPU on a worker', {machine: {role: 'worker'}, facts: {cpus: 1, memoryMiB: 800}}, []],
  [
    'little memory',
    {facts: {memoryMiB: 1024}},
    ['error cp-1 Memory: 1024 MiB of memory, 1700 MiB are required'],
  ],
  [
    'a full disk',
    {probe: (fit) => fit.replace('disk=/var/lib 20000', 'disk=/var/lib 900')},
    ['error cp-1 Disk: 900 of 40000 MiB are free in /var/lib, 6000 MiB are required'],
  ],
  [
    'a disk of which the kubelet wants a larger share',
    {probe: (fit) => fit.replace('disk=/var/lib 20000 40000', 'disk=/var/lib 20000 200000')},
    ['error cp-1 Disk: 20000 of 200000 MiB are free in /var/lib, 30000 MiB are required'],
  ],
  [
    'a share of a disk that belongs to the machine around a container',
    {
      facts: {container: true},
      probe: (fit) => fit.replace('disk=/var/lib 20000 40000', 'disk=/var/lib 20000 200000'),
    },
    [],
  ],
  [
    'a slow disk',
    {probe: (fit) => fit.replaceAll('fsync=0.001', 'fsync=0.15')},
    [
      'error cp-1 EtcdDiskLatency: a 4 KiB write takes up to 150 ms to reach the disk, etcd needs 10 ms or less',
    ],
  ],
  [
    'a disk that is not fast',
    {probe: (fit) => fit.replaceAll('fsync=0.001', 'fsync=0.03')},
    [
      'warning cp-1 EtcdDiskLatency: a 4 KiB write takes up to 30 ms to reach the disk, etcd needs 10 ms or less',
    ],
  ],
  [
    'a slow disk under a container',
    {facts: container, probe: (fit) => fit.replaceAll('fsync=0.001', 'fsync=0.15')},
    [
      'warning cp-1 EtcdDiskLatency: a 4 KiB write takes up to 150 ms to reach the disk, etcd needs 10 ms or less',
    ],
  ],
  [
    'programs that cannot be started',
    {
      probe: (fit) =>
        `${fit}mount=/opt rw,nosuid,noexec\nmount=/usr/local ro,nodev\nmount=/var/lib rw,noexec\n`,
    },
    ['error cp-1 Mounts: /opt is mounted noexec', 'error cp-1 Mounts: /usr/local is mounted ro'],
  ],
  [
    "somebody else's containerd",
    {
      probe: (fit) =>
        `${fit}containerdConfig=/etc/containerd/config.toml\ncontainerdUnit=/usr/lib/systemd/system/containerd.service\nshims=3\n`,
    },
    [
      'error cp-1 ExistingRuntime: the containerd of /usr/lib/systemd/system/containerd.service runs 3 containers, /etc/containerd/config.toml was not written by clouder: clouder installs its own containerd in its place',
    ],
  ],
  [
    'a node whose configuration somebody edited, which the containerd phase puts right',
    {
      probe: (fit) =>
        `${fit}ca=aa\nkubelet=yes\nkubeletCa=aa\ncontainerdConfig=/etc/containerd/config.toml\n`,
    },
    [],
  ],
  [
    'swap that comes back',
    {probe: (fit) => `${fit}swapUnit=dev-zram0.swap\n`},
    [
      'warning cp-1 SwapAtBoot: dev-zram0.swap turns swap on at each boot, which keeps the kubelet from starting',
    ],
  ],
  [
    'a firewall',
    {probe: (fit) => `${fit}firewall=ufw\n`},
    [
      'warning cp-1 Firewall: ufw is active; only the smoke test shows whether it allows UDP 8472 between nodes and pod traffic',
    ],
  ],
  ['swap that can be turned off', {probe: (fit) => `${fit}swap=/dev/sda5\n`}, []],
  [
    'swap around a container',
    {facts: container, probe: (fit) => `${fit}swap=/dev/sda5\n`},
    ['warning cp-1 Swap: the machine that runs this container host swaps to /dev/sda5'],
  ],
  [
    'a kernel without checkpointing',
    {probe: (fit) => fit.replace('config=CHECKPOINT_RESTORE y', 'config=VXLAN m')},
    ['error cp-1 Criu: kernel 6.12.48+deb13-amd64 is built without CONFIG_CHECKPOINT_RESTORE'],
  ],
  ['no kernel configuration to read', {probe: (fit) => fit.replace('config=CHECKPOINT_RESTORE y\n', '')}, []],
  [
    'ports in use',
    {probe: (fit) => `${fit}listen=6443 haproxy\nlisten=10250 kubelet\n`},
    [
      'error cp-1 Ports: TCP port 10250 is in use by kubelet',
      'error cp-1 Ports: TCP port 6443 is in use by haproxy',
    ],
  ],
  [
    'a port that only control planes use',
    {machine: {role: 'worker'}, probe: (fit) => `${fit}listen=6443 haproxy\n`},
    [],
  ],
  [
    'the host inside the pod network',
    {probe: (fit) => `${fit}address=eth1 10.244.9.1/24\nroute=eth1 10.244.9.0/24\n`},
    [
      "error cp-1 CidrOverlap: spec.network.podCidr 10.244.0.0/16 contains the host's own address 10.244.9.1/24 on eth1",
    ],
  ],
  [
    'a route into the service network',
    {probe: (fit) => `${fit}route=tun0 10.100.0.0/16\n`},
    [
      'error cp-1 CidrOverlap: spec.network.serviceCidr 10.96.0.0/12 overlaps the route to 10.100.0.0/16 on tun0',
    ],
  ],
  [
    'a route around the pod network',
    {probe: (fit) => `${fit}route=tun0 10.128.0.0/9\n`},
    [
      'warning cp-1 CidrOverlap: spec.network.podCidr 10.244.0.0/16 overlaps the route to 10.128.0.0/9 on tun0',
    ],
  ],
  [
    "the cluster's own routes",
    {
      probe: (fit) =>
        `${fit}ca=aa\nkubelet=yes\nkubeletCa=aa\naddress=cni0 10.244.0.1/24\nroute=flannel.1 10.244.1.0/24\n`,
    },
    [],
  ],
  [
    'a worker of another cluster',
    {machine: {role: 'worker'}, probe: (fit) => `${fit}kubelet=yes\nkubeletCa=${'f'.repeat(64)}\n`},
    [
      'error cp-1 ExistingCluster: its kubelet belongs to a cluster with another CA certificate (sha256 ffffffffffff…)',
    ],
  ],
  [
    'a control plane of another cluster',
    {
      probe: (fit) =>
        `${fit}ca=aa\nkubelet=yes\nkubeletCa=aa\nkubeletCluster=default-cluster\nadmin=yes\nadminCa=aa\nadminCluster=prod\n`,
    },
    ['error cp-1 ExistingCluster: it is a control plane of the cluster prod, not demo'],
  ],
  [
    'a control plane of this cluster, ports in use and all',
    {
      probe: (fit) =>
        `${fit.replace('disk=/var/lib 20000 40000', 'disk=/var/lib 900 4000')}ca=aa\nkubelet=yes\nkubeletCa=aa\nadmin=yes\nadminCa=aa\nadminCluster=demo\nlisten=6443 kube-apiserver\n`,
    },
    [],
  ],
])('%s', async (_what, change, problems) => {
  expect(await problemsOf([hostWith(change)])).toEqual(problems)
})

test('what belongs to several hosts is told for each of them', async () => {
  const twin = {facts: {hostname: 'debian', machineId: 'abc', clockSkewMs: 0}}
  const hosts = [hostWith(twin), hostWith({...twin, name: 'worker-1', machine: {role: 'worker'}})]
  expect(await problemsOf(hosts)).toEqual([
    'error cp-1 UniqueHostnames: hostname debian is also used by worker-1',
    'error worker-1 UniqueHostnames: hostname debian is also used by cp-1',
    'error cp-1 UniqueMachineIds: machine id abc is also used by worker-1: one is a clone, or a machine is listed twice',
    'error worker-1 UniqueMachineIds: machine id abc is also used by cp-1: one is a clone, or a machine is listed twice',
  ])
})

test('a clock that is off is told on the host that has it', async () => {
  const hosts = [0, 20, 700, -4000].map((clockSkewMs, index) =>
    hostWith({name: `node-${index}`, facts: {clockSkewMs, hostname: `node-${index}`}}),
  )
  expect(await problemsOf(hosts)).toEqual([
    'error node-3 ClockSkew: the clock is 4.0 s behind the other nodes',
    'warning node-2 ClockSkew: the clock is 0.7 s ahead of the other nodes',
  ])
})

test('a host that answers late is not told to have a clock that is off', async () => {
  const late = {clockSkewErrorMs: 8000, clockSkewMs: -7800}
  const off = {clockSkewErrorMs: 1500, clockSkewMs: 3900}
  const hosts = [{}, {}, late, off].map((facts, index) =>
    hostWith({name: `node-${index}`, facts: {...facts, hostname: `node-${index}`}}),
  )
  expect(await problemsOf(hosts)).toEqual([
    'error node-3 ClockSkew: the clock is 3.9 s ahead of the other nodes',
  ])
})

test('a peer that does not answer is named with its ports', async () => {
  const hosts = [
    hostWith(),
    hostWith({
      name: 'worker-1',
      machine: {role: 'worker', privateAddress: '10.0.0.11'},
      reach:
        'unreached=10.0.0.10 6443 no answer within 3 s\nunreached=10.0.0.10 10250 no answer within 3 s\n',
    }),
  ]
  expect(await problemsOf(hosts)).toEqual([
    'error worker-1 Reachability: cp-1 (10.0.0.10) cannot be reached on TCP 6443, 10250: no answer within 3 s',
  ])
})

test('nodes that are all joined are not asked whether they reach each other', async () => {
  const joined = (fit: string) => `${fit}ca=aa\nkubelet=yes\nkubeletCa=aa\n`
  const hosts = [
    hostWith({probe: joined}),
    hostWith({name: 'worker-1', machine: {role: 'worker'}, probe: joined}),
  ]
  await runChecks(phaseContext(hosts), never)
  expect(hosts.flatMap(({calls}) => calls.map(({command}) => command))).toEqual([
    'preflight/probe.sh',
    'preflight/probe.sh',
  ])
})

test('each host asks every control plane and a bounded number of neighbours', () => {
  const hosts = Array.from({length: 100}, (_, index) =>
    hostWith({
      name: `node-${index}`,
      machine: {role: index < 3 ? 'control-plane' : 'worker', privateAddress: `10.0.0.${index}`},
    }),
  )
  const [first, , , worker] = hosts
  if (first === undefined || worker === undefined) throw new Error('no hosts')
  const targets = targetsOf(worker, hosts)
  expect(targets.filter(({port}) => port === 6443)).toHaveLength(3)
  expect(targets.filter(({port}) => port === 10250)).toHaveLength(13)
  expect(targets.filter(({port}) => port === 2379)).toHaveLength(0)
  expect(targetsOf(first, hosts).filter(({port}) => port === 2380)).toHaveLength(2)
})

test('the phase throws all findings of all hosts, each with a fix, and plans nothing otherwise', async () => {
  const bad = [
    hostWith({facts: {cpus: 1, memoryMiB: 512}}),
    hostWith({name: 'worker-1', machine: {role: 'worker'}, facts: {osVersion: '10'}}),
  ]
  const failure = await preflightPhase.plan(phaseContext(bad), never).catch((error: unknown) => error)
  expect(failure).toBeInstanceOf(PreflightError)
  const findings = failure instanceof PreflightError ? failure.findings : []
  expect(findings.map(({host, check}) => `${host} ${check}`)).toEqual([
    'worker-1 OperatingSystem',
    'cp-1 CPU',
    'cp-1 Memory',
  ])
  expect(findings.every(({fix}) => fix.length > 10)).toBe(true)
  expect(await preflightPhase.plan(phaseContext([hostWith()]), never)).toEqual([])
})

test('an ignored check becomes a note', async () => {
  const context = phaseContext([hostWith({facts: {cpus: 1}})], specOf(), ['CPU'])
  expect(await preflightPhase.plan(context, never)).toEqual([])
  expect(context.notes).toEqual(['cp-1: CPU: 1 CPU, a control plane needs 2 (give cp-1 2 CPUs or more)'])
})

test('an unknown check to ignore is refused with the list of names', async () => {
  const context = phaseContext([hostWith()], specOf(), ['Cpu'])
  const failure = await preflightPhase.plan(context, never).catch((error: unknown) => error)
  expect(failure).toBeInstanceOf(ConfigError)
  expect(failure).toMatchObject({code: 'FLAG_INVALID'})
  expect(String(failure)).toContain('Cpu; the checks are OperatingSystem, ')
})

test('checkpointing that is off asks nothing of CRIU', async () => {
  const host = hostWith({probe: (fit) => fit.replace('config=CHECKPOINT_RESTORE y', 'config=VXLAN m')})
  expect(await problemsOf([host], 'checkpoint: {enabled: false}')).toEqual([])
})
