import {type Finding, type Path, valueAt} from './problems.ts'
import {parseSshAddress} from './ssh-address.ts'

/**
 * Ways to write a value that mean one thing only: changed, in place, to the way that the schema knows. Where they say
 * two things at once there is a finding.
 */
export function settleSpellings(document: unknown): readonly Finding[] {
  withoutAddons(document)
  return [...sshPlaces(document).flatMap((path) => splitAddress(document, path)), ...bareEndpoint(document)]
}

/** Everything that has an SSH address: hosts and the bastion. */
function sshPlaces(document: unknown): readonly Path[] {
  const hostsOf = (path: Path): readonly Path[] => listPaths(document, [...path, 'hosts'])
  return [
    ...hostsOf(['spec', 'controlPlane']),
    ...listPaths(document, ['spec', 'workers']).flatMap(hostsOf),
    ['spec', 'ssh', 'bastion'],
  ]
}

function listPaths(document: unknown, path: Path): readonly Path[] {
  const list = valueAt(document, path)
  return Array.isArray(list) ? list.map((_, index) => [...path, index]) : []
}

/** `ssh://admin@host:2222` as an address is user, address and port. */
function splitAddress(document: unknown, path: Path): readonly Finding[] {
  const place = valueAt(document, path)
  const text = valueAt(place, ['address'])
  if (typeof place !== 'object' || place === null || typeof text !== 'string') return []
  const parsed = parseSshAddress(text)
  if (parsed === undefined) return []
  Reflect.set(place, 'address', parsed.address)
  return (['user', 'port'] as const).flatMap((key): readonly Finding[] => {
    const inAddress = parsed[key]
    const beside = valueAt(place, [key])
    if (inAddress === undefined || beside === inAddress) return []
    if (beside === undefined) {
      Reflect.set(place, key, inAddress)
      return []
    }
    const problem = `has ${key} ${inAddress}, but the field ${key} is ${JSON.stringify(beside)}; remove one of them`
    return [{path: [...path, 'address'], value: text, problem}]
  })
}

/** A kubeconfig has the API server as a URL, a specification as `host:port`. */
function bareEndpoint(document: unknown): readonly Finding[] {
  const path = ['spec', 'api', 'endpoint']
  const value = valueAt(document, path)
  const [, scheme, rest = ''] =
    typeof value === 'string' ? (/^(https?):\/\/([^/]*)\/?$/i.exec(value) ?? []) : []
  const api = valueAt(document, ['spec', 'api'])
  if (scheme === undefined || typeof api !== 'object' || api === null) return []
  Reflect.set(api, 'endpoint', rest)
  if (scheme.toLowerCase() === 'http')
    return [{path, value, problem: `is plain HTTP, but the API server uses HTTPS; write ${rest}`}]
  // A URL means 443 without a port, a specification 6443.
  if (!/:\d+$/.test(rest))
    return [
      {path, value, problem: `has no port; write ${rest}:443 or ${rest}:6443, as the load balancer listens`},
    ]
  return []
}

/** Records of older versions hold an empty list. */
function withoutAddons(document: unknown): void {
  const spec = valueAt(document, ['spec'])
  const value = valueAt(spec, ['addons'])
  if (typeof spec !== 'object' || spec === null || !Array.isArray(value) || value.length > 0) return
  Reflect.deleteProperty(spec, 'addons')
}
