import {readFile} from 'node:fs/promises'
import {join} from 'node:path'
import {z} from 'zod'
import {isMissing} from '../../base/system-errors.ts'
import {writeDurably} from '../../base/durable-files.ts'
import {cloudOf} from '../../spec/cloud-machines.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import type {TerraformPlan} from '../../terraform/types.ts'

const LOOK_UP = /^data\.aws_ami\./

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

/** What a plan looked up, by the address of the look-up: stacks take it for every group that has no image of its own. */
export function imagesFound({read}: Pick<TerraformPlan, 'read'>): ImageIds {
  return Object.fromEntries(Object.entries(read).filter(([address]) => LOOK_UP.test(address)))
}

/** The images that were pinned in this folder for what the spec asks; undefined: none yet. */
export async function readPins(dir: string, spec: ClusterSpec): Promise<ImageIds | undefined> {
  try {
    const pins = pinsSchema.parse(JSON.parse(await readFile(pinsPath(dir), 'utf8')))
    return pins.wanted === wantedOf(spec) ? pins.images : undefined
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

/**
 * Pins images before the first machine is made of them, so that a newer one changes nothing that is there. Those of
 * groups take the place of what was looked up.
 */
export async function writePins(dir: string, spec: ClusterSpec, images: ImageIds): Promise<void> {
  const known = (await readPins(dir, spec)) ?? {}
  const all = Object.entries({...images, ...known})
  const areFound = Object.keys(images).every((name) => LOOK_UP.test(name))
  const kept = areFound ? all : all.filter(([name]) => !LOOK_UP.test(name))
  const pins = {wanted: wantedOf(spec), images: Object.fromEntries(kept)}
  await writeDurably(pinsPath(dir), `${JSON.stringify(pins, undefined, 2)}\n`)
}

const pinsPath = (dir: string) => join(dir, 'images.json')

function wantedOf(spec: ClusterSpec): string {
  const cloud = cloudOf(spec)
  return cloud?.imageId ?? cloud?.image ?? ''
}
