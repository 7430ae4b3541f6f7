import {ConfigError} from '../base/errors.ts'

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/

/** RFC 1123 label: what a cluster may be called, and the only names that become part of a path. */
export function isClusterName(name: string): boolean {
  return DNS_LABEL.test(name)
}

/** Throws ConfigError CONFIG_INVALID for a name that is not a DNS label. */
export function checkClusterName(name: string): void {
  if (isClusterName(name)) return
  const problem = 'is not a DNS label: 1 to 63 of a-z, 0-9 and "-", with a letter or digit at both ends'
  throw new ConfigError('CONFIG_INVALID', `cluster name ${JSON.stringify(name)} ${problem}`, {
    problems: [{path: 'metadata.name', value: name, problem}],
  })
}
