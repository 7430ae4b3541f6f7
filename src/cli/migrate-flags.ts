import {Flags} from '@oclif/core'

/** How the memory of a pod is moved. */
export const memoryFlags = {
  keep: Flags.boolean({
    description: 'store the checkpoint of the move and keep it; default: it is deleted after the move',
    env: 'CLOUDER_KEEP',
  }),
  'pre-copy': Flags.boolean({
    description: 'copy memory while the pod still runs, where the kernel of its node tracks writes',
    env: 'CLOUDER_PRE_COPY',
  }),
  lazy: Flags.boolean({
    description:
      'start the pod on the target before its memory has arrived: the downtime does not grow with the memory, but if a node, its node agent or the network fails before all of it has arrived, the memory is lost; only for pods of a ReplicaSet with one container',
    env: 'CLOUDER_LAZY',
    exclusive: ['keep', 'backend', 'pre-copy'],
  }),
}

/** Before a pod is moved with `--lazy`. */
export const lazyQuestion = (pod: string) => ({
  text: `Start pod ${pod} on the other node before its memory has arrived? If a node, its node agent or the network fails until then, the memory is lost, and the pod starts again from its image.`,
  declined: 'the pod was not moved',
})

/** Until when a move is followed; a lazy one until all memory has arrived, which is at risk until then. */
export const untilOf = (flags: {
  readonly 'until-ready': boolean
  readonly lazy: boolean
}): 'complete' | 'running' => (flags['until-ready'] || flags.lazy ? 'complete' : 'running')
