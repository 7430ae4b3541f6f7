/** Group and version of the custom resources. */
export const API_VERSION = 'clouder.dev/v1alpha1'
/** Beginning of the names of the service accounts, in SYSTEM_NAMESPACE, of container hosts that are no nodes. */
export const HOST_ACCOUNT = 'container-host'
/** How long the token of such a host lasts; the host renews it. */
export const HOST_TOKEN_SECONDS = 24 * 3600
/** Where the programs of the cluster run, and where keys and credentials of stores lie. */
export const SYSTEM_NAMESPACE = 'clouder-system'
/** Unpacked checkpoints while containers are restored from them, one folder per container; root only. */
export const RESTORE_DIR = '/var/lib/clouder/restore'
/** Where containerd has CRIU write a dump before it makes an archive of it. */
export const DUMP_DIR = '/var/lib/clouder/dumps'
/** Sealed checkpoints of a store of kind `node`. */
export const NODE_STORE_DIR = '/var/lib/clouder/store'
/** The node agent listens here; only root may connect. */
export const AGENT_SOCKET = '/run/clouder/agent/restore.sock'
/** Archives of containers until they are sealed, which containerd writes for the node agent; root only. */
export const ARCHIVE_DIR = '/var/lib/clouder/archives'
/** A file system of memory on nodes, for dumps that fit there; root only. Absent where none is mounted. */
export const MEMORY_DIR = '/var/lib/clouder/memory'
/** What describes dumps that other nodes are sent; root only. */
export const OUTGOING_DIR = '/var/lib/clouder/outgoing'
/** Where the kubelet writes archives, which it was asked for before. */
export const KUBELET_CHECKPOINT_DIR = '/var/lib/kubelet/checkpoints'
/** Annotation of a pod: the Checkpoint of its own namespace whose containers it goes on from. */
export const RESTORE_ANNOTATION = 'clouder.dev/restore-checkpoint'
/** The RuntimeClass, and containerd's runtime, that restores an annotated container from a checkpoint. */
export const RESTORE_RUNTIME = 'clouder-restore'
/** Label of nodes whose runtime restores, by backend: `clouder.dev/restore-handler=true`. */
export const BACKEND_LABELS = {
  Handler: 'clouder.dev/restore-handler',
  CreateImage: 'clouder.dev/restore-create-image',
  Native: 'clouder.dev/restore-native',
} as const
/**
 * Label `true` of the namespaces and of the nodes where images of checkpoints may run (backend CreateImage), and key of
 * a taint that keeps other pods off these nodes.
 */
export const CHECKPOINT_IMAGES_LABEL = 'clouder.dev/checkpoint-images'
/** Prefix of the images that an agent makes of checkpoints for backend CreateImage. */
export const CHECKPOINT_IMAGE_PREFIX = 'checkpoint.clouder.dev/'
/** Annotation of a pod whose images were made of a checkpoint: what its spec said before, as JSON. */
export const ORIGINAL_ANNOTATION = 'clouder.dev/original-spec'
/** Annotation of a restored pod: the affinity that it had before it was bound to nodes, as JSON, or `null`. */
export const AFFINITY_ANNOTATION = 'clouder.dev/original-affinity'
/** Annotation by which the agent of the node tells what nodes are alike: kernel, CRIU, CPU features. */
export const NODE_FEATURES_ANNOTATION = 'clouder.dev/node-features'
/** Annotation of a Node: what the cloud has announced of its machine, as its agent reports it; JSON. */
export const INTERRUPTION_ANNOTATION = 'clouder.dev/interruption'
/** Annotation `true` of a Checkpoint whose pod stands still: let the pod go on, for a move that will not be. */
export const THAW_ANNOTATION = 'clouder.dev/thaw'
/** Marks what a move made, so that one that was interrupted finds it: name of the Migration. */
export const MIGRATION_LABEL = 'clouder.dev/migration'
/** Annotation `true` of a pod that was put back where it was, apart from the one on the target of the same move. */
export const ROLLED_BACK_ANNOTATION = 'clouder.dev/rolled-back'
/** Annotation of a Checkpoint: an agent is to read it back from its store and check it again, once per value (a time). */
export const VERIFY_ANNOTATION = 'clouder.dev/verify'
/**
 * On a Checkpoint until what it stored is taken away: by the controller from a registry, S3 or Azure, by the agent of
 * `status.nodeName` from a disk, a directory or a claim. It goes with its digest, which no other Checkpoint may name.
 */
export const CHECKPOINT_FINALIZER = 'clouder.dev/stored'
/** On a Migration that is at work: it is brought to an end, or taken back, before it goes. */
export const MIGRATION_FINALIZER = 'clouder.dev/migration'
/** What an agent says of a pod that was created in advance of its move, and that is not to start yet. */
export const MOVE_WAITS = 'waiting for the move to start the pod'
/** Label of Checkpoints that a policy made: its name. */
export const POLICY_LABEL = 'clouder.dev/policy'
/** Label of the pod, the Checkpoints and Restores of a Runtime: its name. */
export const RUNTIME_LABEL = 'clouder.dev/runtime'
/** Label of a pod that a Restore made: its name. */
export const RESTORE_LABEL = 'clouder.dev/restore'
/** Labels of a node that is enrolled as a ContainerHost: what it has, `capability.clouder.dev/gpu=a10`. */
export const CAPABILITY_PREFIX = 'capability.clouder.dev/'
/** Label of a namespace that may use a CheckpointStore which does not say itself who may: `stores.clouder.dev/archive=true`. */
export const STORE_USE_PREFIX = 'stores.clouder.dev/'
