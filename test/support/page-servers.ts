import type {PageServers} from '../../src/programs/node-agent/lazy/page-servers.ts'

/** A node without page servers. */
export const noPageServers: PageServers = {
  prepare: () => Promise.reject(new Error('no page server was expected')),
  keyOf: () => {
    throw new Error('no page server was expected')
  },
  connect: () => Promise.reject(new Error('no page server was expected')),
  end: () => Promise.resolve(),
}
