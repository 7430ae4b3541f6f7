// `node test/bench/run.js [a [PAIRS]|b|c|d|e|f [PAIRS]|g [ROUNDS [MIB,…]]]`, all when none is named: measures, and writes docs/benchmarks.md.
import {existsSync} from 'node:fs'
import {readFile, writeFile} from 'node:fs/promises'
import {arch, availableParallelism, loadavg, release, totalmem, type} from 'node:os'
import {join} from 'node:path'
import {packageRoot, run} from './clusters.js'
import {pageOf, tidy} from './page.js'

// Support of tests is TypeScript that Node.js alone does not run.
const tsx = join(packageRoot, 'node_modules/.bin/tsx')
const results = join(import.meta.dirname, 'results.json')
const page = join(packageRoot, 'docs/benchmarks.md')
const [wanted, count, list] = process.argv.slice(2)

const MEASUREMENTS = {
  a: async () => (await import('./init.js')).againstByHand(Number(count ?? 3)),
  b: async () => (await import('./init.js')).secondInit(5),
  c: async () => (await import('./start-up.js')).startUp(20),
  d: growth,
  e: synth,
  f: apply,
  g: async () =>
    (await import('./checkpoint.js')).moveMemory(
      (list ?? '10,200,1024').split(',').map(Number),
      Number(count ?? 3),
    ),
}

async function growth() {
  const seconds = {}
  for (const workers of [2, 5, 10]) {
    const program = join(import.meta.dirname, 'growth.ts')
    seconds[workers] = Number((await run(process.execPath, [program, String(workers)])).stdout)
    console.log(`${workers} workers: ${seconds[workers].toFixed(1)} s`)
  }
  return {seconds, ratio: seconds[10] / seconds[2]}
}

async function synth() {
  const program = join(import.meta.dirname, 'synth.ts')
  const medians = {}
  for (const kind of ['aws', 'azure']) {
    const seconds = []
    for (let index = 0; index < 5; index += 1)
      seconds.push(Number((await run(process.execPath, [program, kind])).stdout))
    medians[kind] = seconds.sort((a, b) => a - b)[2]
    console.log(`${kind}: ${medians[kind].toFixed(2)} s`)
  }
  return {medians, slowest: Math.max(...Object.values(medians))}
}

async function apply() {
  const program = join(import.meta.dirname, 'apply.ts')
  const pairs = JSON.parse((await run(tsx, [program, count ?? '3'])).stdout)
  const beyond = pairs.map(({clouderSeconds, terraformSeconds}) => clouderSeconds - 1.1 * terraformSeconds)
  return {pairs, beyond: beyond.sort((a, b) => a - b)[Math.floor(beyond.length / 2)]}
}

const machine = () => ({
  cores: availableParallelism(),
  memoryGiB: Math.round(totalmem() / 2 ** 30),
  system: `${type()} ${release()} ${arch()}`,
  node: process.versions.node,
  // Of the minute before: what else ran here.
  loadAverage: Number(loadavg()[0].toFixed(1)),
})

const built = ['dist/src/cli/main.js', 'oclif.manifest.json']
if (!built.every((path) => existsSync(join(packageRoot, path))))
  throw new Error('nothing is built: npm run build')
const chosen = wanted === undefined ? Object.keys(MEASUREMENTS) : [wanted]
const known = existsSync(results) ? JSON.parse(await readFile(results, 'utf8')) : {}
for (const name of chosen) {
  const measure = MEASUREMENTS[name]
  if (measure === undefined)
    throw new Error(`no benchmark ${name}, expected any of ${Object.keys(MEASUREMENTS).join(', ')}`)
  console.log(`== ${name}`)
  const before = {date: new Date().toISOString().slice(0, 10), machine: machine()}
  known[name] = {...before, ...(await measure())}
  await writeFile(results, await tidy(JSON.stringify(known, null, 2), 'json'))
  await writeFile(page, await pageOf(known))
}
console.log(`written: docs/benchmarks.md`)
