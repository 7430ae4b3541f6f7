/** On everything that the add-on puts into the cluster. */
export const addonLabels = {'clouder.dev/addon': 'checkpoint'}
export const AGENT = 'clouder-node-agent'
export const CONTROLLER = 'clouder-controller'
/** Where both tell their health and their figures: /healthz, /readyz, /metrics; and agents, by TLS, each other and the controller. */
export const PORT = 8080

export const controllerUser = (namespace: string): string =>
  `system:serviceaccount:${namespace}:${CONTROLLER}`
export const agentUser = (namespace: string): string => `system:serviceaccount:${namespace}:${AGENT}`
