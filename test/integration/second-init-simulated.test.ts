import {expect, test} from 'vitest'
import type {SimulatedCall} from '../support/simulated-host.ts'
import {withDemo, type Demo} from '../support/simulated-demo.ts'

/** Long beside what clouder itself computes between two questions. */
const CALL_MS = 100
const QUESTIONS_TO_A_WORKER = 11
const QUESTIONS_TO_A_CONTROL_PLANE = 16
/** Connecting, the probes, and for a control plane its manifests, which need what the probes found. */
const ROUND_TRIPS = {'cp-1': 4, 'worker-1': 2, 'worker-2': 2} as const

interface Asked extends SimulatedCall {
  readonly atMs: number
}

/** The most calls of which each began after the one before had ended: what the distance to a host is paid for. */
function roundTrips(calls: readonly Asked[]): number {
  let count = 0
  let endMs = -Infinity
  for (const {atMs} of calls) {
    if (atMs < endMs) continue
    count += 1
    endMs = atMs + CALL_MS - 5
  }
  return count
}

/** Gives a finished cluster of 1 + 2, and what was asked of its hosts since `restart`. */
async function withCluster(
  use: (demo: Demo, calls: {of: (host: string) => readonly Asked[]; restart: () => void}) => Promise<void>,
): Promise<void> {
  let calls: Asked[] = []
  let waits = false
  const latencyMs = (call: SimulatedCall): number => {
    calls.push({...call, atMs: performance.now()})
    return waits ? CALL_MS : 0
  }
  await withDemo({workers: 2, latencyMs}, async (demo) => {
    await demo.init()
    const restart = (): void => {
      calls = []
      waits = true
    }
    restart()
    await use(demo, {of: (host) => calls.filter((call) => call.host === host), restart})
  })
}

test('an init that finds nothing to do asks each host few questions, nearly all of them at once', async () => {
  await withCluster(async ({init, plan}, {of, restart}) => {
    for (const again of [init, plan]) {
      restart()
      const {steps} = await again()
      expect(steps).toEqual([])
      for (const [host, limit] of Object.entries(ROUND_TRIPS)) {
        const questions = of(host)
        const told = questions.map(({what}) => what).join('\n')
        const most = host === 'cp-1' ? QUESTIONS_TO_A_CONTROL_PLANE : QUESTIONS_TO_A_WORKER
        expect(questions.length, told).toBeLessThanOrEqual(most)
        expect(roundTrips(questions), told).toBeLessThanOrEqual(limit)
      }
    }
  })
})

test('an init of a cluster of which one thing is not as wanted changes that alone', async () => {
  await withCluster(async ({fleet, init, changesSince}) => {
    const before = fleet.changes.length
    fleet.named('worker-2').files.delete('/etc/sysctl.d/90-clouder.conf')
    const {steps} = await init()
    expect(steps.map(({phase, host}) => `${phase} ${host ?? ''}`)).toEqual(['kernel worker-2'])
    expect(changesSince(before)).toEqual(['worker-2 kernel/apply.sh'])
  })
})
