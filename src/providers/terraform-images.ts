import {readFile, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {z} from 'zod'
import {cloudOf} from '../spec/cloud-machines.ts'
import type {ClusterSpec} from '../spec/cluster-spec.ts'

type ImageIds = Readonly<Record<string, string>>

const pinsSchema = z.object({
  /** What was asked for when they were looked up; asked for something else, they count no more. */
  wanted: z.string(),
  images: z.record(z.string(), z.string()),
})

/** Of a plan or of a state; what is not known before an apply is absent. */
const machinesSchema = z.looseObject({
  machines: z
    .array(
      z.looseObject({
        role: z.string().optional(),
        pool: z.string().nullish(),
        imageId: z.string().nullish(),
      }),
    )
    .default([]),
})

/** Image of the control planes and of each pool, as outputs tell; the first machine of each counts. */
export function imagesOf(outputs: unknown): ImageIds {
  const {machines} = machinesSchema.safeParse(outputs).data ?? {machines: []}
  const found = machines.flatMap(({role, pool, imageId}) => {
    const group = role === 'control-plane' ? role : pool
    return group == null || imageId == null || imageId === '' ? [] : [[group, imageId] as const]
  })
  return Object.fromEntries(found.toReversed())
}

/** The images that were pinned in this folder for what the spec asks; undefined: none yet. */
export async function readPins(dir: string, spec: ClusterSpec): Promise<ImageIds | undefined> {
  try {
    const pins = pinsSchema.parse(JSON.parse(await readFile(pinsPath(dir), 'utf8')))
    return pins.wanted === wantedOf(spec) ? pins.images : undefined
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

/** Pins images before the first machine is made of them, so that a newer one changes nothing that is there. */
export async function writePins(dir: string, spec: ClusterSpec, images: ImageIds): Promise<void> {
  const known = (await readPins(dir, spec)) ?? {}
  const pins = {wanted: wantedOf(spec), images: {...images, ...known}}
  await writeFile(pinsPath(dir), `${JSON.stringify(pins, undefined, 2)}\n`, {mode: 0o600})
}

const pinsPath = (dir: string) => join(dir, 'images.json')

function wantedOf(spec: ClusterSpec): string {
  const cloud = cloudOf(spec)
  return cloud?.imageId ?? cloud?.image ?? ''
}
