import {expect, test} from 'vitest'
import {loadSpec} from '../../../src/spec/load.ts'
import {documentWith, problemsOf, specWith} from './documents.ts'

const cp = {controlPlane: {hosts: [{address: '192.0.2.1'}]}}
const byon = {provider: {kind: 'byon'}, ...cp}
const worker = (...hosts: readonly object[]) => ({...byon, workers: [{hosts}]})
const network = (podCidr: string, serviceCidr: string) => ({network: {podCidr, serviceCidr}})

const encryption = (value: unknown) => ({checkpoint: {store: {node: {}, encryption: value}}})

const refused: readonly [name: string, spec: object, problem: string][] = [
  [
    'two kinds of encryption',
    encryption({none: {}, azureKeyVault: {keyID: 'https://vault/keys/a'}}),
    'spec.checkpoint.store.encryption: is not exactly one of age, awsKms, azureKeyVault and none, as a mapping',
  ],
  [
    'an encryption that does not exist',
    encryption({gpg: {}}),
    'spec.checkpoint.store.encryption: is not exactly one of age, awsKms, azureKeyVault and none, as a mapping',
  ],
  [
    'a key without its region',
    encryption({awsKms: {keyID: 'alias/x'}}),
    'spec.checkpoint.store.encryption.awsKms.region: is required',
  ],
  [
    'an encryption with a key too many',
    encryption({azureKeyVault: {keyID: 'https://vault/keys/a', region: 'x'}}),
    'spec.checkpoint.store.encryption.azureKeyVault.region: is not a known key; known are keyID',
  ],
  [
    'a network with host bits',
    {network: {podCidr: '10.244.1.0/16'}},
    'spec.network.podCidr: has host bits set; the network is 10.244.0.0/16',
  ],
  [
    'pods over services',
    network('10.0.0.0/16', '10.0.0.0/20'),
    'spec.network.serviceCidr: overlaps spec.network.podCidr, 10.0.0.0/16',
  ],
  [
    'local nodes over pods',
    {provider: {local: {subnet: '10.244.7.0/24'}}},
    'spec.provider.local.subnet: overlaps spec.network.podCidr, 10.244.0.0/16',
  ],
  [
    'pods where local nodes may land',
    network('172.16.0.0/12', '10.96.0.0/16'),
    'spec.provider.local.subnet: overlaps spec.network.podCidr, 172.16.0.0/12',
  ],
  [
    'a reserved network',
    network('169.254.0.0/16', '10.96.0.0/16'),
    'spec.network.podCidr: overlaps 169.254.0.0/16, which is reserved for other uses',
  ],
  [
    'services of more than 20 bits',
    network('10.244.0.0/16', '100.64.0.0/10'),
    'spec.network.serviceCidr: is too large: Kubernetes takes at most a /12',
  ],
  [
    'services of hardly an address',
    network('10.244.0.0/16', '100.64.0.0/29'),
    'spec.network.serviceCidr: is too small: Kubernetes needs at least a /28',
  ],
  [
    'too few pod networks',
    network('10.244.0.0/23', '10.96.0.0/16'),
    'spec.network.podCidr: has room for 2 nodes with a /24 each, but the cluster has 3',
  ],
  [
    "a pod network smaller than one node's",
    network('10.244.0.0/25', '10.96.0.0/16'),
    'spec.network.podCidr: has room for 0 nodes with a /24 each, but the cluster has 3',
  ],
  [
    'too many pod networks',
    network('16.0.0.0/7', '10.96.0.0/16'),
    'spec.network.podCidr: is too large: at most /8 can be divided among nodes',
  ],
  [
    'mixed families',
    network('10.244.0.0/16', 'fd00::/112'),
    'spec.network.serviceCidr: is IPv6, but spec.network.podCidr is IPv4',
  ],
  [
    'flannel with IPv6',
    network('fd01::/48', 'fd00::/112'),
    'spec.network.podCidr: is IPv6, which clouder does not set up with flannel; set network.cni to none and install another CNI',
  ],
  [
    'a local subnet that is too small',
    {provider: {local: {subnet: '10.9.0.0/30'}}},
    'spec.provider.local.subnet: has room for 1 nodes, but the cluster has 3',
  ],
  [
    'more local nodes than a /24 holds',
    {workers: [{count: 253}]},
    'spec.provider.local.subnet: has room for 253 nodes, but the cluster has 254',
  ],
  [
    'an even number of control planes',
    {controlPlane: {count: 2}, api: {endpoint: 'lb'}},
    'spec.controlPlane.count: is even: etcd needs an odd number of members to keep a quorum',
  ],
  [
    'control planes without a balancer',
    {controlPlane: {count: 3}},
    'spec.api.endpoint: is required with 3 control planes: name the load balancer in front of them',
  ],
  [
    'an inexact version',
    {kubernetes: {version: '1.35'}},
    'spec.kubernetes.version: is not one exact version such as 1.35.4',
  ],
  [
    'hosts for machines that are made',
    cp,
    'spec.controlPlane.hosts: cannot be set with provider local, which creates its machines; your own hosts need provider.kind byon',
  ],
  [
    'byon without hosts',
    {provider: {kind: 'byon'}},
    'spec.controlPlane.hosts: is required with provider byon: list the control plane machine',
  ],
  [
    "a count that is not the hosts'",
    {...byon, workers: [{count: 2, hosts: [{address: '192.0.2.2'}]}]},
    'spec.workers[0].count: is not the number of hosts, which is 1',
  ],
  [
    'an address used twice',
    worker({address: '192.0.2.1'}),
    'spec.workers[0].hosts[0].address: is also at spec.controlPlane.hosts[0].address',
  ],
  [
    'a private address used twice',
    worker(
      {address: '192.0.2.2', privateAddress: '10.0.0.1'},
      {address: '192.0.2.3', privateAddress: '10.0.0.1'},
    ),
    'spec.workers[0].hosts[1].privateAddress: is also at spec.workers[0].hosts[0].privateAddress',
  ],
  [
    'one machine behind two ports',
    worker({address: '192.0.2.2'}, {address: '192.0.2.2', port: 2222}),
    'spec.workers[0].hosts[1].address: is also at spec.workers[0].hosts[0].address',
  ],
  [
    'a private address written in two ways',
    {
      ...worker({address: 'b', privateAddress: 'fd02::1'}, {address: 'c', privateAddress: 'fd02:0::1'}),
      controlPlane: {hosts: [{address: 'fd02::2'}]},
      network: {podCidr: 'fd01::/48', serviceCidr: 'fd00::/112', cni: 'none'},
    },
    'spec.workers[0].hosts[1].privateAddress: is also at spec.workers[0].hosts[0].privateAddress',
  ],
  [
    'a name used twice',
    worker({address: '192.0.2.2', name: 'cp-1'}),
    'spec.workers[0].hosts[0].name: is also at spec.controlPlane.hosts[0].name',
  ],
  [
    'a pool named like the control planes',
    {workers: [{name: 'cp'}]},
    'spec.workers[0].name: is also at spec.controlPlane.hosts[0].name',
  ],
  [
    'a pool used twice',
    {workers: [{name: 'a'}, {name: 'a'}]},
    'spec.workers[1].name: is also at spec.workers[0].name',
  ],
  [
    'a machine inside the pod network',
    worker({address: '10.244.3.4'}),
    'spec.network.podCidr: contains 10.244.3.4, which is spec.workers[0].hosts[0].address',
  ],
  [
    'an API endpoint inside the service network',
    {api: {endpoint: '10.96.0.1:6443'}},
    'spec.network.serviceCidr: contains 10.96.0.1, which is spec.api.endpoint',
  ],
  [
    'a name for an address without a private one',
    worker({address: 'node-b'}),
    "spec.workers[0].hosts[0].privateAddress: is required because the address node-b is a name: nodes need each other's IP addresses",
  ],
  [
    'a loopback address',
    worker({address: '127.0.0.1'}),
    'spec.workers[0].hosts[0].address: is not an address where other nodes can reach the host; set privateAddress',
  ],
  [
    'a node of the other family',
    worker({address: 'fd00::5'}),
    'spec.workers[0].hosts[0].address: is IPv6, but the service network is IPv4',
  ],
  [
    "a label of Kubernetes' own",
    {workers: [{labels: {'kubernetes.io/hostname': 'x'}}]},
    'spec.workers[0].labels["kubernetes.io/hostname"]: is set by Kubernetes itself',
  ],
  [
    'a label value with a space',
    {workers: [{labels: {a: 'b c'}}]},
    'spec.workers[0].labels.a: is not a value: at most 63 letters, digits, -, _ and ., with a letter or digit at both ends',
  ],
  [
    "a taint of kubeadm's own",
    {workers: [{taints: [{key: 'node-role.kubernetes.io/control-plane', effect: 'NoSchedule'}]}]},
    'spec.workers[0].taints[0].key: is set by kubeadm; see controlPlane.schedulable',
  ],
  [
    'a taint used twice',
    {
      workers: [
        {
          taints: [
            {key: 'a', effect: 'NoSchedule'},
            {key: 'a', value: 'b', effect: 'NoSchedule'},
          ],
        },
      ],
    },
    'spec.workers[0].taints[1]: is also at spec.workers[0].taints[0]',
  ],
  [
    'a mirror with credentials',
    {containerd: {registryMirrors: [{registry: 'docker.io', endpoints: ['https://a:b@c']}]}},
    'spec.containerd.registryMirrors[0].endpoints[0]: contains credentials, which do not belong in a specification',
  ],
  [
    'a certificate name that is none',
    {api: {certSans: ['a b']}},
    'spec.api.certSans[0]: is neither an IP address nor a DNS name',
  ],
  [
    'an admin network that is none',
    {access: {adminCidrs: ['192.0.2.1']}},
    'spec.access.adminCidrs[0]: is not a CIDR such as 10.244.0.0/16',
  ],
  [
    'a bastion that looks like an option',
    {ssh: {bastion: {address: '-oProxyCommand=x', user: 'a'}}},
    'spec.ssh.bastion.address: is neither an IP address nor a DNS name',
  ],
  [
    'more nodes than Kubernetes takes',
    {workers: [{name: 'a', count: 5000}]},
    'spec.workers: sets 5001 nodes; Kubernetes supports at most 5000',
  ],
]

for (const [name, spec, problem] of refused) {
  test(`${name} is refused, and nothing else is said`, () => {
    expect(problemsOf(() => specWith(spec))).toEqual([problem])
  })
}

test.each(['Demo', 'my_cluster', '-a', 'a.b', 'x'.repeat(64)])('a cluster cannot be called %s', (name) => {
  expect(problemsOf(() => loadSpec({text: documentWith({}, name)}))[0]).toMatch(
    /^metadata.name: is not a DNS label/,
  )
})

test('a name leaves room for the names of nodes', () => {
  expect(loadSpec({name: 'x'.repeat(54)}).name).toHaveLength(54)
  expect(problemsOf(() => loadSpec({name: 'x'.repeat(55)}))).toEqual([
    'metadata.name: is too long: with the longest node name it must fit into 63 characters, so at most 54',
  ])
})

test.each([
  [{workers: [{name: 'p'.repeat(63)}]}, 59],
  [{workers: [{name: 'p'.repeat(61), count: 100}]}, 57],
])('a pool whose name leaves no room is what is told, with what fits', (spec, most) => {
  const [problem, ...others] = problemsOf(() => specWith(spec))
  expect(others).toEqual([])
  expect(problem).toMatch(
    new RegExp(`^spec.workers\\[0\\].name: is too long: its nodes are called pppppppp….*at most ${most}$`),
  )
  const short = spec.workers.map((pool) => ({...pool, name: 'p'.repeat(most)}))
  expect(loadSpec({text: documentWith({workers: short}, 'd')}).workers[0]?.name).toHaveLength(most)
})

test('a pool of brought machines needs room for its number alone', () => {
  const hosts = [{address: '192.0.2.2'}]
  const of = (length: number) => ({
    provider: {kind: 'byon'},
    controlPlane: {hosts: [{address: '192.0.2.1'}]},
    workers: [{name: 'p'.repeat(length), hosts}],
  })
  expect(specWith(of(61)).workers[0]?.name).toHaveLength(61)
  expect(problemsOf(() => specWith(of(62)))[0]).toMatch(/must fit into 63 characters, so at most 61$/)
})

test.each<[string, object]>([
  [
    'IPv6 throughout',
    {
      ...network('fd01::/48', 'fd00::/112'),
      network: {podCidr: 'fd01::/48', serviceCidr: 'fd00::/112', cni: 'none'},
    },
  ],
  ['three control planes behind a balancer', {controlPlane: {count: 3}, api: {endpoint: '[fd00::1]:443'}}],
  [
    'three control planes of a cloud that makes its balancer',
    {provider: {kind: 'aws'}, controlPlane: {count: 3}, access: {adminCidrs: ['203.0.113.7/32']}},
  ],
  [
    'two hosts behind one address, on different ports',
    worker(
      {address: 'gw', port: 2201, privateAddress: '10.0.0.1'},
      {address: 'gw', port: 2202, privateAddress: '10.0.0.2'},
    ),
  ],
  ['a loopback address with a private one', worker({address: '127.0.0.1', privateAddress: '10.0.0.1'})],
  ['one machine alone', {...byon, controlPlane: {...cp.controlPlane, schedulable: true}}],
])('%s is accepted', (_name, spec) => {
  expect(() => specWith(spec)).not.toThrow()
})
