import {expect, test} from 'vitest'
import {withDemo, type Demo} from '../support/simulated-demo.ts'

/** Changes that an init of 1 + 1 makes on machines and in the cluster. */
async function changesOfOneInit(): Promise<number> {
  let changes = 0
  await withDemo({workers: 1}, async (demo) => {
    await demo.init()
    changes = demo.fleet.changes.length + demo.fleet.cluster.kube.changes.length
  })
  return changes
}

/** Three addons are installed side by side, each under a lock of its own: what a run begins with it gets beyond. */
const CHANGES_PER_RUN = 6
const RUNS_AT_MOST = 60

/** How many runs were killed before one of them ended by itself. */
async function runsKilled({fleet, init}: Demo): Promise<number> {
  for (let killed = 0; killed < RUNS_AT_MOST; killed += 1) {
    fleet.killAfter(CHANGES_PER_RUN)
    const ended = await init().then(
      () => true,
      () => false,
    )
    fleet.killAfter(undefined)
    expect(fleet.unexpected).toEqual([])
    if (ended) return killed
  }
  throw new Error(`no cluster after ${RUNS_AT_MOST} runs`)
}

test('an init killed after any of its changes, and run again, makes the same cluster and repeats nothing', async () => {
  const total = await changesOfOneInit()
  expect(total).toBeGreaterThan(25)
  for (let changes = 1; changes < total; changes += 1) {
    await withDemo({workers: 1}, async ({fleet, init, plan, changesSince}) => {
      fleet.killAfter(changes)
      await expect(init(), `killed after ${changes} changes`).rejects.toThrow()
      fleet.killAfter(undefined)
      const before = changesSince(0)
      const {nodes} = await init()
      expect(nodes.map(({status}) => status)).toEqual(['Ready', 'Ready'])
      const again = changesSince(before.length).filter((change) => before.includes(change))
      expect(again, `killed after ${changes} changes`).toEqual([])
      expect((await plan()).steps).toEqual([])
    })
  }
})

test('runs that are all killed after a few changes still end with a cluster, and repeat nothing', async () => {
  await withDemo({workers: 1}, async (demo) => {
    expect(await runsKilled(demo)).toBeGreaterThan(10)
    const changes = demo.changesSince(0)
    expect(new Set(changes).size).toBe(changes.length)
    expect((await demo.plan()).steps).toEqual([])
  })
})
