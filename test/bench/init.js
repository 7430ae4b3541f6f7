// (a) clouder against by-hand.sh, and (b) a second init.
import {mkdtemp, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {median, packageRoot, phaseSeconds, run, withMachines} from './clusters.js'
import {prepare} from './prepare.js'

const WORKERS = 2

/** Pairs of runs on fresh machines, one after the other. */
export async function againstByHand(pairs) {
  const runs = []
  for (let pair = 1; pair <= pairs; pair += 1) {
    const clouder = await withMachines(
      {name: `bench-a${pair}`, workers: WORKERS},
      async ({name, clouder, spec}) => {
        const {seconds, stdout} = await clouder('kubeadm', 'setup', name, ...spec)
        return {seconds, phases: phaseSeconds(stdout)}
      },
    )
    const byHand = await withMachines({name: `bench-b${pair}`, workers: WORKERS}, async ({name, home}) => {
      const folder = await mkdtemp(join(tmpdir(), 'clouder-by-hand-'))
      try {
        const {bundle, nodes} = await prepare({packageRoot, home, name, folder})
        const script = join(import.meta.dirname, 'by-hand.sh')
        return await run('bash', [script, bundle, folder, ...nodes])
      } finally {
        await rm(folder, {recursive: true, force: true})
      }
    })
    const ratio = clouder.seconds / byHand.seconds
    runs.push({clouderSeconds: clouder.seconds, byHandSeconds: byHand.seconds, ratio, phases: clouder.phases})
    console.log(
      `pair ${pair}: clouder ${clouder.seconds.toFixed(1)} s, by hand ${byHand.seconds.toFixed(1)} s, ratio ${ratio.toFixed(2)}`,
    )
  }
  return {runs, ratio: median(runs.map((each) => each.ratio))}
}

/** A command again on a cluster that is as it should be. */
export async function secondInit(times) {
  return withMachines({name: 'bench-second', workers: WORKERS}, async ({name, clouder, spec}) => {
    await clouder('kubeadm', 'setup', name, ...spec)
    const seconds = []
    let phases = {}
    for (let time = 1; time <= times; time += 1) {
      const again = await clouder('kubeadm', 'init', name, ...spec)
      const result = JSON.parse(again.stdout.trim().split('\n').at(-1))
      if (result.steps?.length !== 0) throw new Error(`a second init had something to do: ${again.stdout}`)
      seconds.push(again.seconds)
      phases = phaseSeconds(again.stdout)
      console.log(`init again: ${again.seconds.toFixed(2)} s`)
    }
    return {seconds, median: median(seconds), phases}
  })
}
