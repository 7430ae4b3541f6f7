import type {DumpPlace} from './archives.ts'
import type {MemoryPlace} from './memory-place.ts'
import {refuseHoles, refuseLarge, type DumpSize} from './upper-layer.ts'

/**
 * How a node dumps a container. `Direct`: CRIU writes to a folder of the agent. `Runtime`: the runtime makes an archive
 * of it, by its CRI, which every one can that checkpoints at all.
 */
export type DumpWay = 'Direct' | 'Runtime'

/** Of a container, besides its memory and files: CRIU's small images, headers, what was allocated since. */
const SMALL_BYTES = 32 * 1024 * 1024

const onDisk = (bytes: number) => ({place: 'disk', bytes, release: () => undefined}) as const

/**
 * Where a pod is dumped to, by the sizes of its containers: memory, if it fits there, else the disk. Throws
 * CheckpointError TOO_LARGE when neither has room; nothing was frozen until then. `bytes`: so large
 * a dump to folders is expected to be. `release` is called when the dump has ended.
 */
export async function placeFor(
  way: DumpWay,
  sizes: ReadonlyMap<string, DumpSize>,
  memory: Pick<MemoryPlace, 'reserve'> | undefined,
  /** Of the pod's volumes that are dumped with it. */
  volumeBytes = 0,
): Promise<{readonly place: DumpPlace; readonly bytes: number; readonly release: () => void}> {
  for (const [name, size] of sizes) refuseHoles(name, size)
  if (way === 'Runtime') {
    // The dump itself, and the archive that is made of it.
    for (const [name, {fileBytes, memoryBytes, freeBytes}] of sizes)
      refuseLarge(`container ${name}`, 2 * (fileBytes + memoryBytes), freeBytes)
    return onDisk(0)
  }
  const all = [...sizes.values()]
  const bytes = all.reduce((sum, one) => sum + one.fileBytes + one.memoryBytes + SMALL_BYTES, volumeBytes)
  const release = await memory?.reserve(bytes)
  if (release !== undefined) return {place: 'memory', bytes, release}
  const freeBytes = Math.min(...all.map((one) => one.freeBytes))
  refuseLarge(`container ${[...sizes.keys()].join(', ')}`, bytes, freeBytes)
  return onDisk(bytes)
}
