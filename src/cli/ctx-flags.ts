import {Args} from '@oclif/core'

/** The optional name of a context. */
export const contextArgument = {
  name: Args.string({description: 'name of the context'}),
}
