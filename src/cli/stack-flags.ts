import {Args, Flags} from '@oclif/core'
import {clusterFlag} from './flags.ts'

export const stackFileArgument = {
  file: Args.string({description: 'file of the stack; - reads standard input', default: 'stack.yaml'}),
}

export const stackArgument = {
  stack: Args.string({description: 'name of the stack, or its file', default: 'stack.yaml'}),
}

export const environmentFlag = {
  environment: Flags.string({
    char: 'e',
    description: 'environment of the file to merge in',
    env: 'CLOUDER_STACK_ENVIRONMENT',
    helpValue: 'NAME',
  }),
}

/** Which cluster: one of clouder, or any that kubectl reaches. */
export const targetFlags = {
  ...clusterFlag,
  'kube-context': Flags.string({
    description:
      'context of your kubeconfig, for any cluster that it reaches; default: the current one, if there is no default cluster',
    env: 'CLOUDER_KUBE_CONTEXT',
    exclusive: ['cluster'],
    helpValue: 'NAME',
  }),
}

/** The flags of oclif's parser as workflows take them. */
export const targetOf = (flags: {
  readonly cluster?: string | undefined
  readonly 'kube-context'?: string | undefined
}) => ({cluster: flags.cluster, context: flags['kube-context']})
