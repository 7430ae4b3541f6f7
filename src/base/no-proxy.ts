import {contains, formatCidr, parseAddress, parseCidr, type Cidr} from './cidr.ts'

/**
 * Whether a value of NO_PROXY keeps a target from the proxy, by the rules of Go's programs
 * (https://pkg.go.dev/golang.org/x/net/http/httpproxy). The target is an address, a network in CIDR notation, a name, or
 * with a dot in front all names below one. Without a port those of entries do not count.
 */
export function bypassesProxy(noProxy: string, target: string, port?: number): boolean {
  const name = target.toLowerCase()
  const wanted = networkOf(name)
  return noProxy
    .split(',')
    .map((entry) => entry.trim().toLowerCase())
    .some((entry) => {
      if (entry === '' || entry === '*') return entry === '*'
      const whole = networkOf(entry)
      const [, host = entry, itsPort] = whole === undefined ? (/^(.*?)(?::(\d+))?$/.exec(entry) ?? []) : []
      if (port !== undefined && itsPort !== undefined && Number(itsPort) !== port) return false
      if (wanted === undefined) return holdsName(host, name)
      const network = whole ?? networkOf(host.replace(/^\[|\]$/g, ''))
      return network !== undefined && holds(network, wanted)
    })
}

function networkOf(text: string): Cidr | undefined {
  const address = parseAddress(text)
  return address === undefined ? parseCidr(text) : parseCidr(`${text}/${address.family === 4 ? 32 : 128}`)
}

const holds = (outer: Cidr, inner: Cidr): boolean =>
  outer.family === inner.family &&
  outer.prefix <= inner.prefix &&
  contains(outer, formatCidr(inner).split('/')[0] ?? '')

/** `example.org` stands for itself and what is below it, `.example.org` and `*.example.org` for what is below it. */
function holdsName(entry: string, name: string): boolean {
  const suffix = entry.replace(/^\*(?=\.)/, '')
  return suffix.startsWith('.') ? name.endsWith(suffix) : name === suffix || name.endsWith(`.${suffix}`)
}
