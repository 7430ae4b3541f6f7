import {expect, test} from 'vitest'
import type {HostFacts} from '../../../../src/bootstrap/hosts/host.ts'
import {runChecks} from '../../../../src/bootstrap/phases/preflight.ts'
import {FakeHost} from '../../../support/fake-host.ts'
import {phaseContext, specOf} from '../../../support/phase-context.ts'

const never = new AbortController().signal
const FIT =
  'uid=0\nconfig=CHECKPOINT_RESTORE y\nmodule=overlay\nmodule=br_netfilter\nmodule=vxlan\n' +
  'controllers=cpuset cpu io memory pids\ndisk=/opt 20000 40000\ndisk=/var/lib 20000 40000\n'
/** A node of this very cluster. */
const JOINED = 'ca=aa\nkubelet=yes\nkubeletCa=aa\nadmin=yes\nadminCa=aa\nadminCluster=demo\n'

interface Machine {
  readonly probe?: string
  readonly role?: 'control-plane' | 'worker'
  readonly address?: string
  readonly facts?: Partial<HostFacts>
}

async function findingsOf(machines: readonly Machine[], body = '') {
  const hosts = machines.map(({probe = '', role = 'control-plane', address = '10.0.0.10', facts}, index) =>
    new FakeHost({
      name: `node-${index}`,
      machine: {role, privateAddress: address},
      facts: {machineId: `id-${index}`, addresses: [`${address}/24`], ...facts},
    })
      .on('preflight/probe.sh', FIT + probe)
      .on('preflight/reach.sh', ''),
  )
  const {findings, warnings} = await runChecks(phaseContext(hosts, specOf(body)), never)
  return {findings, warnings}
}

async function toldOf(machines: readonly Machine[], body = '') {
  const {findings, warnings} = await findingsOf(machines, body)
  const told = (level: string) => (finding: {host: string; check: string; problem: string}) =>
    `${level} ${finding.host} ${finding.check}: ${finding.problem}`
  return [...findings.map(told('error')), ...warnings.map(told('warning'))]
}

const CNI = '/etc/cni/net.d'

test.each<[string, string, string, readonly string[]]>([
  [
    'a CNI configuration that another installation left',
    `cni=containerd-net 10.88.0.0/16 ${CNI}/10-containerd-net.conflist\n`,
    '',
    [
      `error node-0 CniConfiguration: ${CNI}/10-containerd-net.conflist (network containerd-net) of another pod network would be loaded by containerd`,
    ],
  ],
  [
    'one that sorts after ours, and would be loaded until ours is there',
    `cni=podman 10.88.0.0/16 ${CNI}/87-podman-bridge.conflist\n`,
    '',
    [
      `error node-0 CniConfiguration: ${CNI}/87-podman-bridge.conflist (network podman) of another pod network would be loaded by containerd`,
    ],
  ],
  [
    'one before the network that the user brings',
    `cni=- - ${CNI}/05-cilium.conf\n`,
    'network: {cni: none}',
    [
      `warning node-0 CniConfiguration: ${CNI}/05-cilium.conf of another pod network would be loaded by containerd`,
    ],
  ],
  [
    'one that wins over ours on a node',
    `${JOINED}cni=containerd-net 10.88.0.0/16 ${CNI}/10-containerd-net.conflist\ncni=cbr0 10.244.0.0/24 ${CNI}/10-flannel.conflist\n`,
    '',
    [
      `error node-0 CniConfiguration: containerd loads ${CNI}/10-containerd-net.conflist (network containerd-net) instead of ${CNI}/10-flannel.conflist: pods get addresses outside the pod network`,
    ],
  ],
  [
    'one that is never loaded on a node',
    `${JOINED}cni=cbr0 10.244.0.0/24 ${CNI}/10-flannel.conflist\ncni=podman 10.88.0.0/16 ${CNI}/87-podman-bridge.conflist\n`,
    '',
    [],
  ],
  [
    'interfaces of an earlier pod network',
    'address=cni0 10.88.0.1/16\naddress=cni0 fe80::1/64\naddress=flannel.1 10.243.0.0/32\naddress=docker0 172.17.0.1/16\n',
    '',
    [
      'error node-0 PodInterfaces: cni0 has the address 10.88.0.1/16, flannel.1 has the address 10.243.0.0/32: left by an earlier pod network',
    ],
  ],
  [
    'a bridge that does not fit the subnet of the node',
    `${JOINED}cni=cbr0 10.244.2.0/24 ${CNI}/10-flannel.conflist\naddress=cni0 10.244.1.1/24\n`,
    '',
    [
      'error node-0 PodInterfaces: the bridge cni0 has the address 10.244.1.1/24, outside 10.244.2.0/24: pods cannot be attached to it',
    ],
  ],
  [
    "a node's own bridge",
    `${JOINED}cni=cbr0 10.244.2.0/24 ${CNI}/10-flannel.conflist\naddress=cni0 10.244.2.1/24\naddress=cni0 fe80::1/64\naddress=flannel.1 10.244.2.0/32\n`,
    '',
    [],
  ],
  [
    'a resolver on loopback',
    'resolver=/etc/resolv.conf\nresolverReadable=yes\nnameserver=127.0.0.1\nnameserver=9.9.9.9\n',
    '',
    [
      'error node-0 Resolver: /etc/resolv.conf lists 127.0.0.1, which in a pod is the pod itself: CoreDNS forwards to itself and crashes',
    ],
  ],
  [
    'the resolver of the cluster itself',
    'resolver=/etc/resolv.conf\nresolverReadable=yes\nnameserver=10.96.0.10\n',
    '',
    [
      'error node-0 Resolver: /etc/resolv.conf lists 10.96.0.10, which is in spec.network.serviceCidr: CoreDNS forwards to itself',
    ],
  ],
  [
    'a resolver of one link',
    'resolver=/etc/resolv.conf\nresolverReadable=yes\nnameserver=fe80::1%eth0\n',
    '',
    ['error node-0 Resolver: /etc/resolv.conf lists fe80::1%eth0, which pods cannot use'],
  ],
  [
    'no resolver',
    'resolver=/etc/resolv.conf\nresolverReadable=yes\n',
    '',
    ['error node-0 Resolver: /etc/resolv.conf has no DNS server: CoreDNS does not start'],
  ],
  [
    'a resolver file that is gone',
    'resolver=/run/systemd/resolve/resolv.conf\n',
    '',
    [
      'error node-0 Resolver: /run/systemd/resolve/resolv.conf cannot be read, and pods do not start without it',
    ],
  ],
  [
    "a kubelet that was told the first control plane's file",
    `${JOINED}resolver=/etc/resolv.conf\nkubeletResolver=/run/systemd/resolve/resolv.conf\nresolverReadable=yes\nnameserver=9.9.9.9\n`,
    '',
    [
      'warning node-0 Resolver: the kubelet passes /run/systemd/resolve/resolv.conf to pods, but the DNS servers of this host are in /etc/resolv.conf',
    ],
  ],
  [
    'more resolvers than a pod gets',
    `resolver=/etc/resolv.conf\nresolverReadable=yes\n${[1, 2, 3, 4].map((n) => `nameserver=9.9.9.${n}\n`).join('')}`,
    '',
    ['warning node-0 Resolver: /etc/resolv.conf lists 4 DNS servers, pods get the first 3'],
  ],
  [
    'more search domains than a pod gets',
    `resolver=/etc/resolv.conf\nresolverReadable=yes\nnameserver=9.9.9.9\nsearch=${Array.from({length: 30}, (_, n) => `d${n}.example`).join(' ')}\n`,
    '',
    [
      'warning node-0 Resolver: /etc/resolv.conf has 30 search domains of 349 characters, for pods it is cut off after 29 domains or 2048 characters',
    ],
  ],
  [
    'an ordinary resolver',
    'resolver=/etc/resolv.conf\nresolverReadable=yes\nnameserver=9.9.9.9\nsearch=a.example\n',
    '',
    [],
  ],
])('%s', async (_what, probe, body, told) => {
  expect(await toldOf([{probe}], body)).toEqual(told)
})

const MISSING = '10.0.0.10, 10.244.0.0/16, 10.96.0.0/12, .svc, .cluster.local'

test.each<[string, readonly Machine[], string, readonly string[]]>([
  [
    'a proxy of login shells without NO_PROXY',
    [{probe: 'proxy=login HTTPS_PROXY session set\nproxy=login HTTPS_PROXY /etc/environment set\n'}],
    '',
    [
      `warning node-0 Proxy: kubectl and kubeadm in a login shell send requests for ${MISSING}, localhost, 127.0.0.1 through a proxy: HTTPS_PROXY in /etc/environment; containerd and the kubelet do not get these variables`,
    ],
  ],
  [
    'a proxy of all units without NO_PROXY',
    [{probe: 'proxy=systemd HTTPS_PROXY systemd set\n'}],
    '',
    [
      `error node-0 Proxy: kubelet would send requests for ${MISSING} through a proxy: HTTPS_PROXY in systemd`,
      `warning node-0 Proxy: containerd would send requests for ${MISSING} through a proxy: HTTPS_PROXY in systemd`,
    ],
  ],
  [
    'a drop-in whose NO_PROXY lacks the services',
    [
      {
        probe:
          'proxy=kubelet HTTP_PROXY /etc/systemd/system/kubelet.service.d/proxy.conf set\n' +
          'proxy=kubelet NO_PROXY /etc/systemd/system/kubelet.service.d/proxy.conf 10.0.0.0/24,10.244.0.0/16,.svc,.cluster.local\n',
      },
    ],
    '',
    [
      'warning node-0 Proxy: kubelet would send requests for 10.96.0.0/12 through a proxy: HTTP_PROXY in /etc/systemd/system/kubelet.service.d/proxy.conf',
    ],
  ],
  [
    'a proxy of all units, which spec.proxy sets right',
    [{probe: 'proxy=systemd HTTPS_PROXY systemd set\nproxy=systemd HTTP_PROXY systemd set\n'}],
    'proxy: {httpsProxy: "http://proxy:3128"}',
    [],
  ],
  [
    'a drop-in that undoes spec.proxy',
    [
      {
        probe:
          'proxy=kubelet NO_PROXY /etc/default/kubelet localhost\nproxy=kubelet HTTPS_PROXY /etc/default/kubelet set\n',
      },
    ],
    'proxy: {httpsProxy: "http://proxy:3128"}',
    [
      `error node-0 Proxy: kubelet would send requests for ${MISSING} through a proxy: HTTPS_PROXY in /etc/default/kubelet`,
    ],
  ],
  ['a variable that is empty', [{probe: 'proxy=systemd HTTPS_PROXY systemd \n'}], '', []],
  [
    'a node of a network that no control plane is in',
    [{}, {role: 'worker', address: '10.7.0.5'}],
    'proxy: {httpsProxy: "http://proxy:3128"}',
    [
      'error node-1 Proxy: the API server would reach this node through the proxy of spec.proxy: 10.7.0.5 is in the network of no control plane',
    ],
  ],
  [
    'the same, with its network in spec.proxy',
    [{}, {role: 'worker', address: '10.7.0.5'}],
    'proxy: {httpsProxy: "http://proxy:3128", noProxy: [10.7.0.0/24]}',
    [],
  ],
])('%s', async (_what, machines, body, told) => {
  expect(await toldOf(machines, body)).toEqual(told)
})

test('each of them names what to do on which machine', async () => {
  const {findings, warnings} = await findingsOf([
    {
      probe:
        `cni=containerd-net - ${CNI}/10-containerd-net.conflist\naddress=cni0 10.88.0.1/16\n` +
        'resolver=/etc/resolv.conf\nresolverReadable=yes\nnameserver=127.0.0.53\nproxy=login HTTPS_PROXY /etc/environment set\n',
    },
  ])
  expect([...findings, ...warnings].map(({check, fix}) => `${check}: ${fix}`)).toEqual([
    `CniConfiguration: on node-0: mkdir -p /root/cni && mv ${CNI}/10-containerd-net.conflist /root/cni/`,
    'PodInterfaces: on node-0: ip link delete cni0',
    'Resolver: on node-0: systemctl enable --now systemd-resolved; it keeps the real servers in /run/systemd/resolve/resolv.conf',
    'Proxy: on node-0: add them to NO_PROXY there; set spec.proxy if images are to be pulled through the proxy',
  ])
})
