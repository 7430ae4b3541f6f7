import {execFile} from 'node:child_process'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {expect, test} from 'vitest'
import {z} from 'zod'
import {withTempFolder} from '../support/temp-folder.ts'

const HOSTS = 1000
const PLAN_SECONDS = 15
const PEAK_MIB = 400

const program = join(import.meta.dirname, '../support/simulated-scale.ts')
const figuresSchema = z.object({
  runSeconds: z.number(),
  peakMiB: z.number(),
  steps: z.int(),
  hostsWithSteps: z.int(),
  stepsByPhase: z.record(z.string(), z.int()),
  nodesReady: z.int(),
  unexpected: z.array(z.string()),
})

/** One run in a process of its own; prints what it took. */
async function measured(mode: 'bare' | 'init' | 'converged', folder: string) {
  const {stdout} = await promisify(execFile)(process.execPath, [program, mode, String(HOSTS), folder])
  const figures = figuresSchema.parse(JSON.parse(stdout))
  console.log(
    `${mode}, ${HOSTS} simulated hosts: ${figures.runSeconds.toFixed(1)} s, peak ${Math.round(figures.peakMiB)} MiB`,
  )
  return figures
}

test(`a plan for ${HOSTS} bare machines names every step within ${PLAN_SECONDS} s and ${PEAK_MIB} MiB`, async () => {
  await withTempFolder(async (folder) => {
    const plan = await measured('bare', folder)
    expect(plan.unexpected).toEqual([])
    expect(plan.hostsWithSteps).toBe(HOSTS)
    expect(plan.stepsByPhase).toMatchObject({
      artifacts: 2 * HOSTS,
      kernel: HOSTS,
      containerd: HOSTS,
      criu: HOSTS,
      images: HOSTS,
      kubernetes: HOSTS,
      // The workers, and a token before and after them.
      join: HOSTS - 1 + 2,
      ready: 1,
    })
    expect(plan.runSeconds).toBeLessThan(PLAN_SECONDS)
    expect(plan.peakMiB).toBeLessThan(PEAK_MIB)
  })
})

test(`a cluster of ${HOSTS} machines comes up, and a plan on it is empty within ${PLAN_SECONDS} s and ${PEAK_MIB} MiB`, async () => {
  await withTempFolder(async (folder) => {
    const init = await measured('init', folder)
    expect(init.unexpected).toEqual([])
    expect(init.nodesReady).toBe(HOSTS)
    const plan = await measured('converged', folder)
    expect(plan.unexpected).toEqual([])
    expect(plan.stepsByPhase).toEqual({})
    expect(plan.nodesReady).toBe(HOSTS)
    expect(plan.runSeconds).toBeLessThan(PLAN_SECONDS)
    expect(plan.peakMiB).toBeLessThan(PEAK_MIB)
  })
})
