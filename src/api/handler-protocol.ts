import {z} from 'zod'

/**
 * What the restore handler (src/bundle/modules/restore) asks the node agent on AGENT_SOCKET before it restores a
 * container, and the answer: one line of JSON each, then the connection is closed. The handler waits 110 s: the
 * kubelet gives a runtime 2 min.
 */
export const restoreRequestSchema = z.strictObject({
  version: z.literal(1),
  /** The container's id, of letters, digits, `_`, `.`, `-`. */
  id: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]*$/),
  /** Absolute path of the OCI bundle; its config.json holds what the container may do. */
  bundle: z.string().startsWith('/'),
  namespace: z.string(),
  pod: z.string(),
  podUid: z.string(),
  container: z.string(),
  /** Value of RESTORE_ANNOTATION: name of the Checkpoint. */
  checkpoint: z.string(),
})
export type RestoreRequest = z.output<typeof restoreRequestSchema>

/** What it reports once the processes of a restored container run. Nothing is answered, and nobody waits for it. */
export const restoredNoteSchema = restoreRequestSchema.extend({event: z.literal('restored')})
export type RestoredNote = z.output<typeof restoredNoteSchema>

/** What the handler says when there is no agent on AGENT_SOCKET, as on a node that has just begun. */
export const AGENT_AWAY = 'the node agent does not answer'

export const restoreAnswerSchema = z.discriminatedUnion('action', [
  /** Restore from `imageDir` (CRIU's images), after `changes` was unpacked over the root file system. */
  z.strictObject({
    version: z.literal(1),
    action: z.literal('restore'),
    imageDir: z.string(),
    workDir: z.string(),
    /** A tar, not compressed, of files that the container had changed; absent: none. */
    changes: z.string().optional(),
    /** Paths inside the container that it had deleted. */
    deleted: z.array(z.string()).default([]),
    /** What volumes of the pod get back before that; absent: nothing. Handlers of clouder before it refuse it. */
    volumes: z
      .array(
        z.strictObject({
          /** A tar of its contents. */
          archive: z.string(),
          /** Its folder on the node: an emptyDir of the pod, or the shared memory of its sandbox. */
          target: z.string(),
          /** A file that tells that it was done; it is done once. */
          marker: z.string(),
          /** Whether to remove first what is there, but for sockets. */
          clear: z.boolean(),
        }),
      )
      .optional(),
    /** Memory comes after its processes run; absent: it is in `imageDir`. Handlers of clouder before it refuse it. */
    pages: z
      .strictObject({
        /** Of the agent, beside AGENT_SOCKET: leads to the page server of the source. */
        socket: z.string(),
        /** A file that is written when all memory has arrived, or is lost. */
        state: z.string(),
      })
      .optional(),
  }),
  /** This container of the pod was restored before and has ended since: start it anew from its image. */
  z.strictObject({version: z.literal(1), action: z.literal('create')}),
  z.strictObject({version: z.literal(1), action: z.literal('refuse'), message: z.string()}),
])
export type RestoreAnswer = z.output<typeof restoreAnswerSchema>
