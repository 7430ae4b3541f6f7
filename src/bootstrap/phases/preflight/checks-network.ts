import {contains, parseAddress, parseCidr} from '../../../base/cidr.ts'
import {eachHost, type Check, type CheckedHost, type Problem} from './check.ts'

const CNI_DIR = '/etc/cni/net.d'
/** What flannel's pod writes. */
const OWN_CONFIGURATION = `${CNI_DIR}/10-flannel.conflist`

/** Whether no pod network of this cluster can have begun on the host: what is there is a leftover. */
const isUntouched = ({joined, observed}: CheckedHost): boolean =>
  !joined && observed.kubelet === undefined && !observed.bootstrapping

const cniConfiguration: Check = {
  name: 'CniConfiguration',
  title: 'containerd loads only the CNI configuration of the cluster',
  run: eachHost((host, spec): Problem[] => {
    const found = host.observed.cniFiles
    const [first] = found
    if (first === undefined) return []
    const named = (files: typeof found): string =>
      files
        .map(({path, network}) => (network === undefined ? path : `${path} (network ${network})`))
        .join(', ')
    const fixOf = (files: typeof found): string =>
      `on ${host.reader.name}: mkdir -p /root/cni && mv ${files.map(({path}) => path).join(' ')} /root/cni/`
    if (isUntouched(host)) {
      const problem = `${named(found)} of another pod network would be loaded by containerd`
      // With a network that the user brings it may be the user's.
      const severity = spec.network.cni === 'none' ? 'warning' : 'error'
      return [{severity, problem, fix: fixOf(found)}]
    }
    if (spec.network.cni === 'none' || first.path === OWN_CONFIGURATION) return []
    const own = found.findIndex(({path}) => path === OWN_CONFIGURATION)
    const foreign = own < 0 ? found : found.slice(0, own)
    const problem = `containerd loads ${named(foreign)} instead of ${OWN_CONFIGURATION}: pods get addresses outside the pod network`
    return [{problem, fix: fixOf(foreign)}]
  }),
}

/** Devices that pod networks make and leave; docker0 and other bridges of users are none. */
const POD_DEVICE =
  /^(cni0|flannel\.\d+|flannel-v6\.\d+|cilium_\w+|weave|vxlan\.calico|kube-ipvs0|kube-bridge|nodelocaldns)$/

const podInterfaces: Check = {
  name: 'PodInterfaces',
  title: 'network interfaces of pods belong to this cluster',
  run: eachHost((host, spec): Problem[] => {
    const {addresses, cniFiles} = host.observed
    if (isUntouched(host)) {
      const left = addresses.filter(({device, cidr}) => POD_DEVICE.test(device) && !cidr.startsWith('fe80:'))
      const devices = [...new Set(left.map(({device}) => device))]
      if (devices.length === 0) return []
      return [
        {
          severity: spec.network.cni === 'none' ? 'warning' : 'error',
          problem: `${left.map(({device, cidr}) => `${device} has the address ${cidr}`).join(', ')}: left by an earlier pod network`,
          fix: `on ${host.reader.name}: ${devices.map((device) => `ip link delete ${device}`).join('; ')}`,
        },
      ]
    }
    if (spec.network.cni !== 'flannel') return []
    const own = cniFiles.find(({path}) => path === OWN_CONFIGURATION)?.subnet ?? spec.network.podCidr
    const network = parseCidr(own)
    return addresses
      .filter(
        ({device, cidr}) =>
          device === 'cni0' &&
          network !== undefined &&
          parseCidr(cidr)?.family === network.family &&
          !contains(network, cidr.split('/')[0] ?? ''),
      )
      .map(({cidr}) => ({
        problem: `the bridge cni0 has the address ${cidr}, outside ${own}: pods cannot be attached to it`,
        fix: `on ${host.reader.name}: ip link delete cni0, then delete the pods of the node, so that they are created again`,
      }))
  }),
}

const STUB = '127.0.0.53'
const LOOPBACK = ['127.0.0.0/8', '::1/128'].flatMap((text) => parseCidr(text) ?? [])
/** Limits of the kubelet, which leaves out what is beyond them; a pod gets three search domains of the cluster. */
const MAX_NAMESERVERS = 3
const MAX_SEARCH_DOMAINS = 32 - 3
const MAX_SEARCH_LENGTH = 2048

const resolver: Check = {
  name: 'Resolver',
  title: 'the DNS servers that pods get can be reached from a pod',
  run: eachHost((host, spec): Problem[] => {
    const {resolver: found} = host.observed
    if (found === undefined) return []
    const {path, kubeletPath, nameservers, searchDomains} = found
    const onHost = (text: string): string => `on ${host.reader.name}: ${text}`
    const realServers = onHost(
      `put the addresses of real DNS servers into ${path}, or: apt-get install systemd-resolved`,
    )
    if (nameservers === undefined)
      return [{problem: `${path} cannot be read, and pods do not start without it`, fix: realServers}]
    if (nameservers.length === 0)
      return [{problem: `${path} has no DNS server: CoreDNS does not start`, fix: realServers}]
    const services = parseCidr(spec.network.serviceCidr)
    return [
      ...(kubeletPath === undefined || kubeletPath === path
        ? []
        : [
            {
              severity: 'warning' as const,
              problem: `the kubelet passes ${kubeletPath} to pods, but the DNS servers of this host are in ${path}`,
              fix: `clouder kubeadm init ${spec.name} configures it`,
            },
          ]),
      ...nameservers.flatMap((server): Problem[] => {
        const bare = server.split('%')[0] ?? server
        if (LOOPBACK.some((network) => contains(network, bare)))
          return [
            {
              problem: `${path} lists ${server}, which in a pod is the pod itself: CoreDNS forwards to itself and crashes`,
              fix:
                server === STUB
                  ? onHost(
                      'systemctl enable --now systemd-resolved; it keeps the real servers in /run/systemd/resolve/resolv.conf',
                    )
                  : realServers,
            },
          ]
        if (services !== undefined && contains(services, bare))
          return [
            {
              problem: `${path} lists ${server}, which is in spec.network.serviceCidr: CoreDNS forwards to itself`,
              fix: realServers,
            },
          ]
        if (server.includes('%') || parseAddress(server) === undefined)
          return [{problem: `${path} lists ${server}, which pods cannot use`, fix: realServers}]
        return []
      }),
      ...(nameservers.length > MAX_NAMESERVERS
        ? [
            {
              severity: 'warning' as const,
              problem: `${path} lists ${nameservers.length} DNS servers, pods get the first ${MAX_NAMESERVERS}`,
              fix: onHost(`keep at most ${MAX_NAMESERVERS} nameserver lines in ${path}`),
            },
          ]
        : []),
      ...(searchDomains.length > MAX_SEARCH_DOMAINS || searchDomains.join(' ').length > MAX_SEARCH_LENGTH
        ? [
            {
              severity: 'warning' as const,
              problem: `${path} has ${searchDomains.length} search domains of ${searchDomains.join(' ').length} characters, for pods it is cut off after ${MAX_SEARCH_DOMAINS} domains or ${MAX_SEARCH_LENGTH} characters`,
              fix: onHost(`shorten the search line in ${path}`),
            },
          ]
        : []),
    ]
  }),
}

/** What pods find when they send something. */
export const networkChecks: readonly Check[] = [cniConfiguration, podInterfaces, resolver]
