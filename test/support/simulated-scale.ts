import {mkdir, readFile, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {exit} from 'node:process'
import {byonMachines} from '../../src/spec/machines.ts'
import {initCluster} from '../../src/workflows/cluster/init.ts'
import type {ClusterRecord} from '../../src/store/types.ts'
import {simulatedFleet} from './simulated-fleet.ts'
import {byonSpec, simulatedBundle, simulatedRun} from './simulated-run.ts'

/**
 * `node simulated-scale.ts bare|init|converged HOSTS FOLDER`: one run over so many simulated hosts in a process of its
 * own, so that time and memory are its own. `init` leaves the state of the fleet in FOLDER, `converged` plans on it.
 * Prints one line of JSON.
 */
const [mode = 'bare', hosts = '10', folder = '.'] = process.argv.slice(2)
const started = performance.now()
const statePath = join(folder, 'fleet.json')

const bundleFolder = join(folder, `bundle-${mode}`)
await mkdir(bundleFolder, {recursive: true})
const bundle = await simulatedBundle(bundleFolder)
const spec = byonSpec({workers: Number(hosts) - 1, more: 'network: {podCidr: 172.16.0.0/12}'})
const fleet = simulatedFleet({machines: byonMachines(spec)})
const {tools, store} = simulatedRun({fleet, home: folder, bundle})
if (mode === 'converged') {
  const saved = JSON.parse(await readFile(statePath, 'utf8')) as {fleet: unknown; record: ClusterRecord}
  fleet.restore(saved.fleet)
  await store.update(spec.name, () => saved.record)
}

const beforeMs = performance.now()
const result = await initCluster(
  spec,
  'init',
  {
    dryRun: mode !== 'init',
    skipPhases: [],
    ignorePreflight: [],
    concurrency: 50,
    confirm: () => Promise.resolve(),
  },
  tools,
)
const afterMs = performance.now()
// Kilobytes, as getrusage tells them on Linux.
const peakMiB = process.resourceUsage().maxRSS / 1024
if (mode === 'init') {
  const record = await store.load(spec.name)
  await writeFile(statePath, JSON.stringify({fleet: fleet.save(), record}))
}
const byPhase = Object.groupBy(result.steps, ({phase}) => phase)
console.log(
  JSON.stringify({
    runSeconds: (afterMs - beforeMs) / 1000,
    processSeconds: (afterMs - started) / 1000,
    peakMiB,
    steps: result.steps.length,
    hostsWithSteps: new Set(result.steps.flatMap(({host}) => (host === undefined ? [] : [host]))).size,
    stepsByPhase: Object.fromEntries(
      Object.entries(byPhase).map(([phase, steps = []]) => [phase, steps.length]),
    ),
    nodesReady: result.nodes.filter(({status}) => status === 'Ready').length,
    unexpected: fleet.unexpected,
  }),
)
exit(0)
