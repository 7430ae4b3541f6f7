import {checkName, type ContextStore} from '../../src/infrastructure/contexts/contexts.ts'
import {StateError} from '../../src/base/errors.ts'
import type {Context} from '../../src/spec/context.ts'

/** A ContextStore without a disk; passes the same contract as the one with. */
export function memoryContexts(): ContextStore {
  const known = new Map<string, Context>()
  let current: string | undefined
  const list = () =>
    [...known]
      .map(([name, context]) => ({name, context, isCurrent: name === current}))
      .toSorted((a, b) => (a.name < b.name ? -1 : 1))
  const unknown = (name: string) => new StateError('CONTEXT_UNKNOWN', `context "${name}" not found`)
  return {
    list: () => Promise.resolve(list()),
    find: (name) => {
      const found = list().find((each) => (name === undefined ? each.isCurrent : each.name === name))
      return name !== undefined && found === undefined
        ? Promise.reject(unknown(name))
        : Promise.resolve(found)
    },
    set: async (name, context, {makeCurrent}) => {
      await Promise.resolve()
      checkName(name)
      known.set(name, context)
      if (makeCurrent) current = name
    },
    remove: async (name) => {
      await Promise.resolve()
      if (!known.delete(name)) throw unknown(name)
      if (current === name) current = undefined
    },
  }
}
