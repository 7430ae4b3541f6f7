export const ADDON = 'cert-manager'
export const NAMESPACE = 'cert-manager'
/** ClusterIssuers that are there by default: one that signs itself, and the authority of the cluster that it signed. */
export const SELF_SIGNED = 'self-signed'
export const CLUSTER_CA = 'cluster-ca'

const part = (name: string) => ({addon: ADDON, name, namespace: NAMESPACE})
export const CONTROLLER = part('cert-manager')
export const WEBHOOK = part('cert-manager-webhook')
export const CAINJECTOR = part('cert-manager-cainjector')
