import {Args, Flags} from '@oclif/core'

/** The optional name of a cluster, the argument of every `kubeadm` command. */
export const nameArgument = {
  name: Args.string({description: 'name of the cluster; default: the default cluster'}),
}

/** For commands whose argument is something else. */
export const clusterFlag = {
  cluster: Flags.string({
    char: 'c',
    description: 'name of the cluster; default: the default cluster',
    env: 'CLOUDER_CLUSTER',
    helpValue: 'NAME',
  }),
}

export const yesFlag = {
  yes: Flags.boolean({char: 'y', description: 'answer every question with yes', env: 'CLOUDER_YES'}),
}

/** For commands that take machines out of a cluster: one that is dead must not keep the rest. */
export const skipUnreachableFlag = {
  'skip-unreachable': Flags.boolean({
    description:
      'continue without the machines that cannot be reached, and list them; their contents stay there',
    env: 'CLOUDER_SKIP_UNREACHABLE',
  }),
}

/** Every flag that shapes a run; the same on every command that has phases. */
export const runFlags = {
  'dry-run': Flags.boolean({
    description: 'show the steps, without changing anything',
    env: 'CLOUDER_DRY_RUN',
  }),
  'skip-phases': Flags.string({
    description: 'phases to skip, by id, separated by commas',
    env: 'CLOUDER_SKIP_PHASES',
    helpValue: 'ID',
    multiple: true,
    multipleNonGreedy: true,
    delimiter: ',',
  }),
  'ignore-preflight': Flags.string({
    description: 'preflight checks to report as warnings only, by name, separated by commas',
    env: 'CLOUDER_IGNORE_PREFLIGHT',
    helpValue: 'NAME',
    multiple: true,
    multipleNonGreedy: true,
    delimiter: ',',
  }),
  concurrency: Flags.integer({
    description: 'number of hosts to work on at the same time',
    env: 'CLOUDER_CONCURRENCY',
    default: 20,
    min: 1,
    max: 1000,
  }),
}

export const bundleFlag = {
  bundle: Flags.string({
    description:
      'folder or .tar.zst of the bundle to install from; default: the bundle in the cache, built if absent',
    env: 'CLOUDER_BUNDLE',
    helpValue: 'DIR|FILE',
  }),
}

/** The flags of oclif's parser as workflows take them. */
export function runFlagsOf(flags: {
  'dry-run'?: boolean | undefined
  'skip-phases'?: readonly string[] | string | undefined
  'ignore-preflight'?: readonly string[] | string | undefined
  concurrency?: number | undefined
}) {
  return {
    dryRun: flags['dry-run'] ?? false,
    skipPhases: listOf(flags['skip-phases']),
    ignorePreflight: listOf(flags['ignore-preflight']),
    concurrency: flags.concurrency ?? 20,
  }
}

/** A list from a flag given many times, or from a variable, where oclif gives the text as it is. */
export function listOf(value: readonly string[] | string | undefined): readonly string[] {
  const texts = typeof value === 'string' ? [value] : (value ?? [])
  return texts
    .flatMap((text) => text.split(','))
    .map((text) => text.trim())
    .filter((text) => text !== '')
}
