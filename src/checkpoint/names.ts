/** Where a node keeps checkpoints that pods may be restored from; the restoring runtime reads nowhere else. */
export const CHECKPOINT_DIR = '/var/lib/clouder/checkpoints'
/** Annotation of a pod that names a file of CHECKPOINT_DIR to restore its container from. */
export const RESTORE_ANNOTATION = 'clouder.dev/restore-checkpoint'
/** The RuntimeClass, and containerd's runtime, that restores an annotated container from a checkpoint. */
export const RESTORE_RUNTIME = 'clouder-restore'
