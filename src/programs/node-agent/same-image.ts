import {CheckpointError} from '../../checkpoint/errors.ts'

/** Throws CheckpointError IMAGE_UNAVAILABLE unless an image is known on this node, and the one that was dumped on. */
export function refuseOther(
  image: string,
  digests: readonly string[],
  imageDigest: string,
  node: string,
): void {
  if (digests.includes(imageDigest)) return
  throw new CheckpointError(
    'IMAGE_UNAVAILABLE',
    digests.length === 0
      ? `image ${image} not found on ${node}; the checkpoint was created from ${imageDigest}`
      : `image ${image} on ${node} is ${digests.join(' or ')}, but the checkpoint was created from ${imageDigest}`,
  )
}
