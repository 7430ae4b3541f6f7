import {stringify} from 'yaml'

/**
 * YAML for programs that read YAML 1.1, as kubectl and kubeadm do: a name that is "on" or "1e3" is quoted, where it
 * would be true or a number to them and the whole file refused.
 */
export function yamlForGo(value: unknown): string {
  return stringify(value, {compat: 'yaml-1.1', lineWidth: 0, blockQuote: false})
}
