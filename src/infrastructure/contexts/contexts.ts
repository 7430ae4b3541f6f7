import {ConfigError, StateError} from '../../base/errors.ts'
import {type Context, contextSchema} from '../../spec/context.ts'
import {changeHomeConfig, type HomeOptions, readHomeConfig} from '../../store/home-config.ts'
import {isClusterName} from '../../store/names.ts'

export interface NamedContext {
  readonly name: string
  readonly isCurrent: boolean
  readonly context: Context
}

/** The contexts of this machine, in `clouder.yaml`. Throws StateError RECORD_INVALID, RECORD_NEWER, STATE_UNWRITABLE, LOCKED. */
export interface ContextStore {
  /** Sorted by name. */
  list(): Promise<readonly NamedContext[]>
  /** The one of that name, or the current one; undefined: none is current. Throws StateError CONTEXT_UNKNOWN. */
  find(name?: string): Promise<NamedContext | undefined>
  /** Makes or changes one. Throws ConfigError for a name that is no DNS label. */
  set(name: string, context: Context, options: {readonly makeCurrent: boolean}): Promise<void>
  /** Forgets one; the account itself is not touched. Throws StateError CONTEXT_UNKNOWN. */
  remove(name: string): Promise<void>
}

export function diskContexts(options: HomeOptions): ContextStore {
  const {home} = options
  const list = async (): Promise<readonly NamedContext[]> => {
    const {contexts, currentContext} = await readHomeConfig(home)
    return Object.entries(contexts)
      .map(([name, context]) => ({name, context, isCurrent: name === currentContext}))
      .toSorted((a, b) => (a.name < b.name ? -1 : 1))
  }
  return {
    list,
    find: async (name) => {
      const all = await list()
      if (name === undefined) return all.find(({isCurrent}) => isCurrent)
      return all.find((each) => each.name === name) ?? unknown(name, all)
    },
    set: async (name, context, {makeCurrent}) => {
      checkName(name)
      await changeHomeConfig(options, (config) => ({
        ...config,
        contexts: {...config.contexts, [name]: contextSchema.parse(context)},
        ...(makeCurrent ? {currentContext: name} : {}),
      }))
    },
    remove: async (name) => {
      const all = await list()
      if (all.every((each) => each.name !== name)) unknown(name, all)
      await changeHomeConfig(options, ({currentContext, ...config}) => ({
        ...config,
        contexts: Object.fromEntries(Object.entries(config.contexts).filter(([each]) => each !== name)),
        ...(currentContext === undefined || currentContext === name ? {} : {currentContext}),
      }))
    },
  }
}

/** Throws ConfigError FLAG_INVALID. */
export function checkName(name: string): void {
  if (isClusterName(name)) return
  const problem = 'is not a DNS label: 1 to 63 of a-z, 0-9 and "-", with a letter or digit at both ends'
  throw new ConfigError('FLAG_INVALID', `the context name ${JSON.stringify(name)} ${problem}`)
}

function unknown(name: string, all: readonly NamedContext[]): never {
  const names = all.map((each) => each.name).join(', ')
  throw new StateError('CONTEXT_UNKNOWN', `context ${JSON.stringify(name)} not found`, {
    suggestions: [
      names === '' ? 'no context exists yet' : `known: ${names}`,
      `clouder ctx set ${name} --provider aws --region eu-central-1`,
    ],
  })
}
