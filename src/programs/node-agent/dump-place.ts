import type {DumpPlace} from './archives.ts'
import type {MemoryPlace} from './memory-place.ts'
import {refuseHoles, refuseLarge, type DumpSize} from './upper-layer.ts'

/**
 * How a node dumps a container. `Direct`: CRIU writes to a folder of the agent. `Runtime`: the runtime makes an archive
 * of it, by its CRI, which every one can that checkpoints at all.
 */
export type DumpWay = 'Direct' | 'Runtime'

const MIB = 1024 * 1024
/** Of a container, besides its memory and files: CRIU's small images, headers. */
const SMALL_BYTES = MIB
/** Room that is kept for what a container allocates, or writes, between the measurement and the freeze. */
const GROWTH_BYTES = 31 * MIB

/** Where a pod is dumped to, and how large. */
export interface PlacedDump {
  readonly place: DumpPlace
  /** So large a dump to folders is expected to be, for people; 0: it is not one. */
  readonly expectedBytes: number
  /** So much room it is to find, here and on the node that it is sent to. */
  readonly wantedBytes: number
  /** To be called when the dump has ended. */
  readonly release: () => void
}

/**
 * Where a pod is dumped to, by the sizes of its containers: memory, if it fits there, else the disk. Throws
 * CheckpointError TOO_LARGE when neither has room; nothing was frozen until then.
 */
export async function placeFor(
  way: DumpWay,
  sizes: ReadonlyMap<string, DumpSize>,
  memory: Pick<MemoryPlace, 'reserve'> | undefined,
  /** Of the pod's volumes that are dumped with it. */
  volumeBytes = 0,
): Promise<PlacedDump> {
  for (const [name, size] of sizes) refuseHoles(name, size)
  if (way === 'Runtime') {
    // The dump itself, and the archive that is made of it.
    for (const [name, {fileBytes, memoryBytes, freeBytes}] of sizes)
      refuseLarge(`container ${name}`, 2 * (fileBytes + memoryBytes), freeBytes)
    return onDisk(0, 0)
  }
  const all = [...sizes.values()]
  const expectedBytes = all.reduce(
    (sum, one) => sum + one.fileBytes + one.memoryBytes + SMALL_BYTES,
    volumeBytes,
  )
  const wantedBytes = expectedBytes + all.length * GROWTH_BYTES
  const release = await memory?.reserve(wantedBytes)
  if (release !== undefined) return {place: 'memory', expectedBytes, wantedBytes, release}
  const freeBytes = Math.min(...all.map((one) => one.freeBytes))
  refuseLarge(`container ${[...sizes.keys()].join(', ')}`, wantedBytes, freeBytes)
  return onDisk(expectedBytes, wantedBytes)
}

const onDisk = (expectedBytes: number, wantedBytes: number): PlacedDump => ({
  ...{place: 'disk', expectedBytes, wantedBytes},
  release: () => undefined,
})
