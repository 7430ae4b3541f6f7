import {parseAddress, parseCidr, formatCidr} from '../base/cidr.ts'

/** Each check takes a value and says, as a predicate, what is wrong with it; undefined: nothing. */
export type Check = (value: string) => string | undefined

/** RFC 1123, as Kubernetes wants node names and clouder wants cluster names. */
export const dnsLabel: Check = (value) =>
  /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(value)
    ? undefined
    : 'is not a DNS label: at most 63 of a-z, 0-9 and -, with a letter or digit at both ends'

export const dnsName: Check = (value) =>
  value.length <= 253 && value.split('.').every((label) => dnsLabel(label.toLowerCase()) === undefined)
    ? undefined
    : 'is not a DNS name'

export const ipAddress: Check = (value) =>
  parseAddress(value) === undefined ? 'is not an IP address' : undefined

/** IP address or DNS name. All-numeric names are mistyped IPv4 addresses. */
export const hostName: Check = (value) =>
  parseAddress(value) !== undefined || (dnsName(value) === undefined && !/^[\d.]+$/.test(value))
    ? undefined
    : `is neither an IP address nor a DNS name${placeholder(value)}`

export const certSan: Check = (value) =>
  hostName(value.replace(/^\*\./, '')) === undefined ? undefined : 'is neither an IP address nor a DNS name'

export const cidr: Check = (value) => {
  const parsed = parseCidr(value)
  if (parsed === undefined) return 'is not a CIDR such as 10.244.0.0/16'
  return parsed.canonical ? undefined : `has host bits set; the network is ${formatCidr(parsed)}`
}

export const userName: Check = (value) =>
  /^[a-zA-Z_][a-zA-Z0-9_.-]{0,63}$/.test(value) ? undefined : 'is not a user name'

export const filePath: Check = (value) => {
  if (value === '' || hasControlCharacter(value)) return 'is not a file path'
  if (placeholder(value) !== '') return `is not a file path${placeholder(value)}`
  return /^~(?!\/)/.test(value)
    ? 'is not a file path: ~ is replaced only in front of a /, by your own home'
    : undefined
}

export const environmentName: Check = (value) =>
  /^[A-Za-z_][A-Za-z0-9_]*$/.test(value) ? undefined : 'is not the name of an environment variable'

export const hostKey: Check = (value) =>
  /^(ssh-|ecdsa-|sk-)[\w.@-]+ [A-Za-z0-9+/]{16,}={0,2}$/.test(value)
    ? undefined
    : 'is not a host key such as `ssh-ed25519 AAAA...`'

/** A leading v is taken; whoever reads the spec finds it gone. */
export const exactVersion: Check = (value) =>
  /^v?(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$/.test(value)
    ? undefined
    : 'is not one exact version such as 1.35.4'

export const labelKey: Check = (value) => {
  const slash = value.indexOf('/')
  const prefix = value.slice(0, Math.max(slash, 0))
  const prefixFits = slash === -1 || (prefix === prefix.toLowerCase() && dnsName(prefix) === undefined)
  return prefixFits && isLabelText(value.slice(slash + 1))
    ? undefined
    : 'is not a key such as example.org/disk'
}

export const labelValue: Check = (value) =>
  value === '' || isLabelText(value)
    ? undefined
    : 'is not a value: at most 63 letters, digits, -, _ and ., with a letter or digit at both ends'

export const registryHost: Check = (value) => {
  const [host = '', port] = value.split(':', 2)
  const portFits = port === undefined ? !value.includes(':') : isPort(port)
  return hostName(host) === undefined && portFits ? undefined : 'is not a registry such as docker.io'
}

export const mirrorUrl: Check = (value) => {
  const url = URL.parse(value)
  if (url === null || !['http:', 'https:'].includes(url.protocol)) return 'is not an http or https URL'
  if (url.username !== '' || url.password !== '')
    return 'contains credentials, which do not belong in a specification'
  return url.search === '' && url.hash === '' ? undefined : 'has a query or fragment'
}

export const proxyUrl: Check = (value) => {
  const url = URL.parse(value)
  if (url === null || !['http:', 'https:'].includes(url.protocol))
    return 'is not an http or https URL; a proxy for HTTPS is usually http://host:port too'
  if (url.username !== '' || url.password !== '')
    return 'contains credentials, which do not belong in a specification; let the proxy admit the nodes by address'
  if (!/^https?:\/\/[A-Za-z0-9.:[\]-]+\/?$/.test(value)) return 'is not http://host:port'
  return undefined
}

/** As Go's programs read it: a host, `.domain`, `*.domain`, an address or a network; `*` would turn the proxy off. */
export const noProxyEntry: Check = (value) =>
  /^(\*\.|\.)?[A-Za-z0-9_:[\]-][A-Za-z0-9_.:[\]-]*(\/\d{1,3})?$/.test(value)
    ? undefined
    : 'is not one host, .domain, address or network'

export const apiEndpoint: Check = (value) =>
  parseEndpoint(value) === undefined ? `is not a host or host:port${placeholder(value)}` : undefined

export const API_PORT = 6443

/** Where the programs of checkpoints listen on nodes of a cloud, whose pods have no way to the cloud's metadata. */
export const HOST_PORTS = {agent: 9808, controller: 9809}

/** `host`, `host:port` or `[IPv6]:port`; the port is 6443 unless said. */
export function parseEndpoint(text: string): {readonly host: string; readonly port: number} | undefined {
  const bare = parseAddress(text) === undefined ? undefined : {host: text, port: API_PORT}
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text)
  const host = match?.[1] ?? match?.[2] ?? ''
  if (bare !== undefined || hostName(host) !== undefined) return bare
  const port = match?.[3] ?? String(API_PORT)
  return isPort(port) ? {host, port: Number(port)} : undefined
}

/** Nobody replaces `$HOME` or `{{ address }}` here. */
function placeholder(value: string): string {
  return /\$\{?[A-Za-z_]\w*|\{\{/.test(value) ? ': variables are not replaced; write the value itself' : ''
}

function hasControlCharacter(value: string): boolean {
  return /\p{Cc}/u.test(value)
}

function isPort(text: string): boolean {
  return /^[1-9]\d{0,4}$/.test(text) && Number(text) <= 65535
}

function isLabelText(value: string): boolean {
  return value.length <= 63 && /^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$/.test(value)
}
