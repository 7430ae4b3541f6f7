import {Flags} from '@oclif/core'
import {DEFAULT_KUBERNETES_VERSION} from '../spec/cluster-spec.ts'

const archOfThisMachine = process.arch === 'arm64' ? 'arm64' : 'amd64'

/** Which bundle is meant. */
export const bundleChoiceFlags = {
  kubernetes: Flags.string({
    description: 'Kubernetes version',
    env: 'CLOUDER_KUBERNETES',
    helpValue: 'VERSION',
    default: DEFAULT_KUBERNETES_VERSION,
  }),
  arch: Flags.option({
    description: 'architecture of the nodes; default: the one of this machine',
    env: 'CLOUDER_ARCH',
    options: ['amd64', 'arm64'] as const,
  })(),
  dir: Flags.string({
    description: 'folder of the bundle; default: below the cache folder',
    env: 'CLOUDER_BUNDLE',
    helpValue: 'DIR',
  }),
}

/** The flags with their defaults; a default that depends on this machine is no part of the generated help. */
export function chosenBundle(flags: {kubernetes: string; arch?: 'amd64' | 'arm64' | undefined}) {
  return {kubernetes: flags.kubernetes.replace(/^v(?=\d)/, ''), arch: flags.arch ?? archOfThisMachine}
}
