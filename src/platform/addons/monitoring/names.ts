export const ADDON = 'monitoring'
export const NAMESPACE = 'monitoring'
const part = (name: string, namespace = NAMESPACE) => ({addon: ADDON, name, namespace})
export const PROMETHEUS = part('prometheus')
export const ALERTMANAGER = part('alertmanager')
/** Beside the other programs that are in the network of their nodes: so no pod of the namespace has to be allowed that. */
export const NODE_EXPORTER = part('node-exporter', 'kube-system')
export const PROMETHEUS_PORT = 9090
export const ALERTMANAGER_PORT = 9093
export const NODE_EXPORTER_PORT = 9100
