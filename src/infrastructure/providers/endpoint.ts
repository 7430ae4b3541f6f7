const API_PORT = 6443

/** An API endpoint as `host:port`; 6443 where the user named no port. */
export function withPort(endpoint: string): string {
  return /:\d+$/.test(endpoint) && !/^[0-9a-f:]+$/i.test(endpoint)
    ? endpoint
    : `${bracketed(endpoint)}:${API_PORT}`
}

function bracketed(host: string): string {
  return host.includes(':') && !host.startsWith('[') ? `[${host}]` : host
}
