import {constants, zstdCompressSync, zstdDecompressSync} from 'node:zlib'

/** A pod may stand still meanwhile: what the next levels save in bytes costs twice the time. */
const PARAMS = {[constants.ZSTD_c_compressionLevel]: 1}
/** What does not compress grows by less. */
const GROWTH_BYTES = 64 * 1024
const SAMPLES = 16
const SAMPLE_BYTES = 2048
/** Below this a piece is stored as it is: what it saves is less than what a restore would pay to inflate it. */
const WORTH = 0.96

/**
 * A piece under zstd; undefined: that would not make it smaller to speak of. A few kilobytes spread over the piece tell,
 * so that memory that is encrypted, compressed or random costs no more than that. The same piece always gives the same.
 */
export function compressed(plain: Buffer): Buffer | undefined {
  if (plain.length > 2 * SAMPLES * SAMPLE_BYTES && !isWorth(zstd(samplesOf(plain)), SAMPLES * SAMPLE_BYTES))
    return undefined
  const packed = zstd(plain)
  return isWorth(packed, plain.length) ? packed : undefined
}

/** Throws for what is no whole frame of zstd, and for what inflates to more than `sizeBytes`. */
export const inflated = (packed: Uint8Array, sizeBytes: number): Buffer =>
  zstdDecompressSync(packed, {maxOutputLength: Math.max(sizeBytes, 1), chunkSize: Math.max(sizeBytes, 64)})

const isWorth = ({length}: Uint8Array, plainBytes: number): boolean => length < WORTH * plainBytes

/** All of it in one step: in Node's default steps of 16 KiB most of the time goes into putting them together. */
const zstd = (plain: Uint8Array): Buffer =>
  zstdCompressSync(plain, {params: PARAMS, chunkSize: plain.length + GROWTH_BYTES})

function samplesOf(plain: Buffer): Buffer {
  const samples = Buffer.allocUnsafe(SAMPLES * SAMPLE_BYTES)
  const stepBytes = Math.floor((plain.length - SAMPLE_BYTES) / (SAMPLES - 1))
  for (let at = 0; at < SAMPLES; at += 1)
    plain.copy(samples, at * SAMPLE_BYTES, at * stepBytes, at * stepBytes + SAMPLE_BYTES)
  return samples
}
