import type {KubeObject} from '../../../kubernetes/types.ts'

const NAMESPACE = 'kube-flannel'
const APP = {app: 'flannel', 'k8s-app': 'flannel'}

/**
 * Writes the CNI configuration from what flanneld found out: bridge, host-local and portmap do what flannel's own
 * meta plugin would, so that nothing but the CNI reference plugins is needed on a node.
 * POSIX sh with cat, mv and sleep, as the image may have nothing else.
 */
const WRITE_CONFLIST = `set -eu
write() {
  . /run/flannel/subnet.env
  subnet="\${FLANNEL_SUBNET%.*}.0/\${FLANNEL_SUBNET#*/}"
  cat > /etc/cni/net.d/.10-flannel.new <<END
{"name":"cbr0","cniVersion":"1.0.0","plugins":[
{"type":"bridge","bridge":"cni0","mtu":\${FLANNEL_MTU},"isGateway":true,"isDefaultGateway":true,"hairpinMode":true,
"ipam":{"type":"host-local","ranges":[[{"subnet":"\${subnet}"}]],"routes":[{"dst":"\${FLANNEL_NETWORK}"}]}},
{"type":"portmap","capabilities":{"portMappings":true}}]}
END
  mv -f /etc/cni/net.d/.10-flannel.new /etc/cni/net.d/10-flannel.conflist
}
last=
while :; do
  if [ -s /run/flannel/subnet.env ]; then
    now=$(cat /run/flannel/subnet.env)
    if [ "$now" != "$last" ] || [ ! -e /etc/cni/net.d/10-flannel.conflist ]; then write; last=$now; fi
    sleep 5
  else
    sleep 0.2
  fi
done
`

/**
 * A packet that is still addressed to a service when it leaves is one that kube-proxy has no rule for yet: its sender is
 * refused and tries again. Otherwise a machine outside of the cluster could answer in the place of the service, and an
 * API server that was not given a certificate to verify would keep that connection. A table of its own, as kube-proxy and
 * others write theirs anew; a kernel without nftables has the same network, without this.
 */
function guardServices(serviceCidr: string): string {
  const family = serviceCidr.includes(':') ? 'ip6' : 'ip'
  const chain = (hook: string) => `  chain ${hook} {
    type filter hook ${hook} priority 10
    ${family} daddr ${serviceCidr} meta l4proto tcp reject with tcp reset
    ${family} daddr ${serviceCidr} reject
  }`
  return `nft -f - <<END || echo 'packets to services without endpoints may leave this node' >&2
table inet clouder-services
delete table inet clouder-services
table inet clouder-services {
${chain('output')}
${chain('forward')}
}
END
`
}

/** The objects of flannel (vxlan), with the image by the reference that the bundle carries. */
export function flannelObjects(options: {
  readonly image: string
  readonly podCidr: string
  readonly serviceCidr: string
  /** The API server as nodes reach it, `host:port`. */
  readonly api: string
}): readonly KubeObject[] {
  const metadata = {name: 'flannel', labels: {'clouder.dev/addon': 'cni'}}
  return [
    {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: {
        name: NAMESPACE,
        labels: {'clouder.dev/addon': 'cni', 'pod-security.kubernetes.io/enforce': 'privileged'},
      },
    },
    {apiVersion: 'v1', kind: 'ServiceAccount', metadata: {...metadata, namespace: NAMESPACE}},
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata,
      rules: [
        {apiGroups: [''], resources: ['pods'], verbs: ['get']},
        {apiGroups: [''], resources: ['nodes'], verbs: ['get', 'list', 'watch']},
        {apiGroups: [''], resources: ['nodes/status'], verbs: ['patch']},
      ],
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata,
      roleRef: {apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'flannel'},
      subjects: [{kind: 'ServiceAccount', name: 'flannel', namespace: NAMESPACE}],
    },
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: {...metadata, name: 'kube-flannel-cfg', namespace: NAMESPACE},
      data: {
        'net-conf.json': JSON.stringify({
          Network: options.podCidr,
          EnableNFTables: false,
          Backend: {Type: 'vxlan'},
        }),
        'write-conflist.sh': WRITE_CONFLIST,
        'guard-services.sh': guardServices(options.serviceCidr),
      },
    },
    daemonSet(options.image, options.api),
  ]
}

function daemonSet(image: string, api: string): KubeObject {
  const colon = api.lastIndexOf(':')
  const mounts = [
    {name: 'run', mountPath: '/run/flannel'},
    {name: 'configuration', mountPath: '/etc/kube-flannel'},
  ]
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: {
      name: 'kube-flannel-ds',
      namespace: NAMESPACE,
      labels: {...APP, 'clouder.dev/addon': 'cni'},
    },
    spec: {
      selector: {matchLabels: {app: 'flannel'}},
      updateStrategy: {type: 'RollingUpdate', rollingUpdate: {maxUnavailable: '10%'}},
      template: {
        metadata: {labels: APP},
        spec: {
          hostNetwork: true,
          priorityClassName: 'system-node-critical',
          serviceAccountName: 'flannel',
          tolerations: [{operator: 'Exists', effect: 'NoSchedule'}],
          initContainers: [
            {
              name: 'guard-services',
              image,
              imagePullPolicy: 'IfNotPresent',
              command: ['/bin/sh', '/etc/kube-flannel/guard-services.sh'],
              resources: {requests: {cpu: '5m', memory: '8Mi'}},
              securityContext: {
                capabilities: {drop: ['ALL'], add: ['NET_ADMIN']},
                allowPrivilegeEscalation: false,
              },
              volumeMounts: [{name: 'configuration', mountPath: '/etc/kube-flannel'}],
            },
          ],
          containers: [
            {
              name: 'kube-flannel',
              image,
              imagePullPolicy: 'IfNotPresent',
              command: ['/opt/bin/flanneld'],
              args: ['--ip-masq', '--kube-subnet-mgr'],
              resources: {requests: {cpu: '50m', memory: '50Mi'}},
              securityContext: {privileged: false, capabilities: {add: ['NET_ADMIN', 'NET_RAW']}},
              env: [
                {name: 'POD_NAME', valueFrom: {fieldRef: {fieldPath: 'metadata.name'}}},
                {name: 'POD_NAMESPACE', valueFrom: {fieldRef: {fieldPath: 'metadata.namespace'}}},
                {name: 'EVENT_QUEUE_DEPTH', value: '5000'},
                // Not the service's address: until kube-proxy has made that one work, flanneld would fail, and wait
                // 10 s and more before it may try again.
                {name: 'KUBERNETES_SERVICE_HOST', value: api.slice(0, colon).replace(/^\[|\]$/g, '')},
                {name: 'KUBERNETES_SERVICE_PORT', value: api.slice(colon + 1)},
              ],
              volumeMounts: [...mounts, {name: 'xtables-lock', mountPath: '/run/xtables.lock'}],
            },
            {
              name: 'conflist',
              image,
              imagePullPolicy: 'IfNotPresent',
              command: ['/bin/sh', '/etc/kube-flannel/write-conflist.sh'],
              resources: {requests: {cpu: '5m', memory: '8Mi'}},
              securityContext: {
                capabilities: {drop: ['ALL'], add: ['DAC_OVERRIDE']},
                allowPrivilegeEscalation: false,
              },
              volumeMounts: [...mounts, {name: 'cni', mountPath: '/etc/cni/net.d'}],
            },
          ],
          volumes: [
            {name: 'run', hostPath: {path: '/run/flannel', type: 'DirectoryOrCreate'}},
            {name: 'cni', hostPath: {path: '/etc/cni/net.d', type: 'DirectoryOrCreate'}},
            {name: 'configuration', configMap: {name: 'kube-flannel-cfg'}},
            {name: 'xtables-lock', hostPath: {path: '/run/xtables.lock', type: 'FileOrCreate'}},
          ],
        },
      },
    },
  }
}
