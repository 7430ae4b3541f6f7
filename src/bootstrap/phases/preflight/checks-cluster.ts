import {contains, overlaps, parseCidr, type Cidr} from '../../../base/cidr.ts'
import {
  eachNewHost,
  eachHost,
  isControlPlane,
  type Check,
  type CheckedHost,
  type CheckInput,
  type HostProblem,
  type Problem,
} from './check.ts'

const names = (hosts: readonly CheckedHost[]): string => hosts.map(({reader}) => reader.name).join(', ')

/** Hosts that share a value with others, with those others. */
function shared(
  hosts: readonly CheckedHost[],
  valueOf: (host: CheckedHost) => string,
): readonly {host: CheckedHost; value: string; others: readonly CheckedHost[]}[] {
  const groups = Map.groupBy(hosts, valueOf)
  return hosts.flatMap((host) => {
    const value = valueOf(host)
    const others = (groups.get(value) ?? []).filter((other) => other !== host)
    return others.length > 0 ? [{host, value, others}] : []
  })
}

const uniqueHostnames: Check = {
  name: 'UniqueHostnames',
  title: 'hostnames and node names are unique',
  run: ({hosts}) => {
    const nodeNames = new Map(hosts.map((host) => [host.reader.name, host]))
    const fixOf = ({reader}: CheckedHost): string =>
      `on ${reader.name}: hostnamectl set-hostname ${reader.name}`
    const same = shared(hosts, ({reader}) => reader.facts.hostname).map(
      ({host, value, others}): HostProblem => ({
        host: host.reader.name,
        problem: `hostname ${value} is also used by ${names(others)}`,
        fix: fixOf(host),
      }),
    )
    const taken = hosts.flatMap((host): HostProblem[] => {
      const owner = nodeNames.get(host.reader.facts.hostname)
      if (owner === undefined || owner === host) return []
      return [
        {
          host: host.reader.name,
          problem: `hostname ${host.reader.facts.hostname} is the node name of another machine`,
          fix: fixOf(host),
        },
      ]
    })
    return [...same, ...taken]
  },
}

const uniqueMachineIds: Check = {
  name: 'UniqueMachineIds',
  title: 'machine ids are unique',
  run: ({hosts}) => {
    const fixOf = ({reader}: CheckedHost): string =>
      `on ${reader.name}: rm /etc/machine-id /var/lib/dbus/machine-id; systemd-machine-id-setup && reboot`
    const [empty, filled] = [
      hosts.filter(({reader}) => reader.facts.machineId === ''),
      hosts.filter(({reader}) => reader.facts.machineId !== ''),
    ]
    return [
      ...empty.map((host) => ({host: host.reader.name, problem: 'there is no machine id', fix: fixOf(host)})),
      ...shared(filled, ({reader}) => reader.facts.machineId).map(({host, value, others}) => ({
        host: host.reader.name,
        problem: `machine id ${value} is also used by ${names(others)}: one is a clone, or a machine is listed twice`,
        fix: fixOf(host),
      })),
    ]
  },
}

/** Certificates begin to be refused, and leases to be lost, some seconds further on. */
const SKEW_WARN_MS = 500
const SKEW_FAIL_MS = 2000

const clockSkew: Check = {
  name: 'ClockSkew',
  title: `clocks of the nodes differ by less than ${SKEW_FAIL_MS / 1000} s`,
  run: (input) => {
    const sorted = input.hosts
      .map(({reader}) => reader.facts)
      .toSorted((a, b) => a.clockSkewMs - b.clockSkewMs)
    const median = sorted[Math.floor((sorted.length - 1) / 2)]
    return eachHost((host): Problem[] => {
      const {clockSkewMs, clockSkewErrorMs} = host.reader.facts
      const offMs = clockSkewMs - (median?.clockSkewMs ?? 0)
      // A machine that takes seconds to open a session says the time as late: only what cannot be that is its clock's.
      const certainMs = Math.abs(offMs) - clockSkewErrorMs - (median?.clockSkewErrorMs ?? 0)
      if (certainMs <= SKEW_WARN_MS) return []
      return [
        {
          severity: certainMs > SKEW_FAIL_MS ? 'error' : 'warning',
          problem: `the clock is ${(Math.abs(offMs) / 1000).toFixed(1)} s ${offMs > 0 ? 'ahead of' : 'behind'} the other nodes`,
          fix: `on ${host.reader.name}: apt-get install chrony && chronyc makestep`,
        },
      ]
    })(input)
  },
}

/** Devices that Kubernetes and its network plugins make; their networks are the cluster's own. */
const OWN_DEVICE = /^(cni0|flannel|veth|kube-|cali|vxlan\.calico|tunl0|lxc|cilium)/

const cidrOverlap: Check = {
  name: 'CidrOverlap',
  title: 'pod and service networks are not used by anything else',
  run: eachHost((host, spec) =>
    [
      {path: 'spec.network.podCidr', text: spec.network.podCidr},
      {path: 'spec.network.serviceCidr', text: spec.network.serviceCidr},
    ].flatMap(({path, text}) => {
      const cidr = parseCidr(text)
      return cidr === undefined ? [] : overlapsOf(host, {path, text, cidr})
    }),
  ),
}

function overlapsOf(host: CheckedHost, wanted: {path: string; text: string; cidr: Cidr}): readonly Problem[] {
  const fix = `set ${wanted.path} to a network to which no host has a route`
  const addresses = host.observed.addresses
    .filter(({device, cidr}) => !OWN_DEVICE.test(device) && contains(wanted.cidr, cidr.split('/')[0] ?? ''))
    .map(({device, cidr}) => ({
      problem: `${wanted.path} ${wanted.text} contains the host's own address ${cidr} on ${device}`,
      fix,
    }))
  if (addresses.length > 0) return addresses
  return host.observed.routes.flatMap(({device, cidr: text}): Problem[] => {
    const route = parseCidr(text)
    if (OWN_DEVICE.test(device) || route === undefined || !overlaps(wanted.cidr, route)) return []
    // A route to a larger network only loses the part that pods or services take out of it.
    const severity = route.prefix < wanted.cidr.prefix ? 'warning' : 'error'
    return [
      {severity, problem: `${wanted.path} ${wanted.text} overlaps the route to ${text} on ${device}`, fix},
    ]
  })
}

const reachability: Check = {
  name: 'Reachability',
  title:
    'nodes reach each other on the TCP ports used (UDP 8472 of flannel is only tested by the smoke test)',
  run: (input: CheckInput) => {
    const byAddress = new Map(input.hosts.map(({reader}) => [reader.machine.privateAddress, reader.name]))
    return eachHost((host) =>
      [...Map.groupBy(host.observed.unreached, ({address}) => address)].map(([address, ports]) => {
        const list = ports.map(({port}) => port).join(', ')
        const reasons = [...new Set(ports.map(({reason}) => reason))].join('; ')
        return {
          problem: `${byAddress.get(address) ?? address} (${address}) cannot be reached on TCP ${list}: ${reasons}`,
          fix: `allow TCP ${list} from ${host.reader.machine.privateAddress} in the firewall of ${address}, and UDP 8472 with it`,
        }
      }),
    )(input)
  },
}

const CONTROL_PLANE_PORTS = [6443, 2379, 2380, 10257, 10259] as const
const KUBELET_PORT = 10250

const ports: Check = {
  name: 'Ports',
  title: 'the ports of the kubelet, and on control planes of API server and etcd, are free',
  run: eachNewHost((host) => {
    // Something of Kubernetes has begun there; ExistingCluster tells whose it is.
    if (host.observed.kubelet !== undefined || host.observed.bootstrapping) return []
    const wanted = isControlPlane(host) ? [KUBELET_PORT, ...CONTROL_PLANE_PORTS] : [KUBELET_PORT]
    return wanted.flatMap((port) => {
      const owner = host.observed.listening.get(port)
      if (owner === undefined) return []
      return [
        {
          problem: `TCP port ${port} is in use by ${owner}`,
          fix: `on ${host.reader.name}: stop the process that listens: ss -ltnp 'sport = :${port}'`,
        },
      ]
    })
  }),
}

const existingCluster: Check = {
  name: 'ExistingCluster',
  title: 'no host is part of another cluster',
  run: (input) =>
    eachHost((host, spec): Problem[] => {
      const {kubelet, admin} = host.observed
      const fix = `on ${host.reader.name}: kubeadm reset, if this node is really to be removed from that cluster`
      if (admin !== undefined && admin.cluster !== spec.name) {
        return [{problem: `it is a control plane of the cluster ${admin.cluster}, not ${spec.name}`, fix}]
      }
      if (kubelet === undefined || kubelet.ca === input.clusterCa) return []
      const ca = kubelet.ca.slice(0, 12)
      return [{problem: `its kubelet belongs to a cluster with another CA certificate (sha256 ${ca}…)`, fix}]
    })(input),
}

/** What the machines must be together. */
export const clusterChecks: readonly Check[] = [
  uniqueHostnames,
  uniqueMachineIds,
  clockSkew,
  cidrOverlap,
  ports,
  existingCluster,
  reachability,
]
