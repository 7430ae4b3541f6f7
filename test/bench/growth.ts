// (d) `node growth.ts WORKERS SHARE`: one init over simulated hosts that take that share (1: all) of the time that real
// ones take to answer; prints the seconds.
import {mkdtemp, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {byonMachines} from '../../src/spec/machines.ts'
import {initCluster} from '../../src/workflows/cluster/init.ts'
import {simulatedFleet} from '../support/simulated-fleet.ts'
import type {SimulatedCall} from '../support/simulated-host.ts'
import {byonSpec, simulatedBundle, simulatedRun} from '../support/simulated-run.ts'

/** Milliseconds, of the order seen on local nodes; what is not named takes as long as one short command over SSH. */
const LATENCY_MS: Readonly<Record<string, number>> = {
  connect: 400,
  request: 15,
  'preflight/probe.sh': 500,
  'artifacts/receive.sh': 6000,
  'images/import.sh': 6000,
  'containerd/apply.sh': 800,
  'criu/apply.sh': 300,
  'kubernetes/apply.sh': 500,
  'kubeadm/wait-ready.sh': 5000,
  'kubeadm join': 4000,
}
const SHORT_MS = 60
const INIT_PHASE_MS = 600

const latencyMs = ({what}: SimulatedCall): number =>
  share * (LATENCY_MS[what] ?? (what.startsWith('kubeadm init phase') ? INIT_PHASE_MS : SHORT_MS))

const [workers = Number.NaN, share = Number.NaN] = process.argv.slice(2).map(Number)
const folder = await mkdtemp(join(tmpdir(), 'clouder-growth-'))
try {
  const bundle = await simulatedBundle(folder)
  const spec = byonSpec({workers})
  const fleet = simulatedFleet({machines: byonMachines(spec), latencyMs})
  const {tools} = simulatedRun({fleet, home: folder, bundle})
  const confirm = (): Promise<void> => Promise.resolve()
  const flags = {dryRun: false, skipPhases: [], ignorePreflight: [], concurrency: 20, confirm}
  const started = performance.now()
  const {nodes} = await initCluster(spec, 'init', flags, tools)
  const seconds = (performance.now() - started) / 1000
  const ready = nodes.filter(({status}) => status === 'Ready').length
  if (ready !== workers + 1 || fleet.unexpected.length > 0)
    throw new Error(`${ready} of ${workers + 1} nodes are ready; unexpected: ${fleet.unexpected.join(', ')}`)
  console.log(seconds)
} finally {
  await rm(folder, {recursive: true, force: true})
}
