// `npm run bench [a [PAIRS]|b|c|d|e|f [PAIRS]|g [ROUNDS [MIB,…]]|h [ROUNDS]|i [ROUNDS [MIB,…]]|j [ROUNDS [MIB]]]`, all when none
// is named: measures, and writes docs/benchmarks.md. With `-- --smallest` each in its smallest form, of which nothing is
// written.
import {existsSync} from 'node:fs'
import {readFile, writeFile} from 'node:fs/promises'
import {arch, availableParallelism, loadavg, release, totalmem, type} from 'node:os'
import {join} from 'node:path'
import {readArguments} from './arguments.ts'
import {packageRoot} from './clusters.ts'
import {measure, needsBuild} from './measurements.ts'
import {pageOf, tidy} from './page.ts'
import {resultsSchema, type Results, type Taken} from './results.ts'

const RESULTS = join(import.meta.dirname, 'results.json')
const PAGE = join(packageRoot, 'docs/benchmarks.md')
const BUILT = ['dist/src/cli/main.js', 'oclif.manifest.json']

function takenNow(): Taken {
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: {
      cores: availableParallelism(),
      memoryGiB: Math.round(totalmem() / 2 ** 30),
      system: `${type()} ${release()} ${arch()}`,
      node: process.versions.node,
      loadAverage: Number((loadavg()[0] ?? 0).toFixed(1)),
    },
  }
}

async function knownResults(): Promise<Results> {
  return existsSync(RESULTS) ? resultsSchema.parse(JSON.parse(await readFile(RESULTS, 'utf8'))) : {}
}

const {chosen, size} = readArguments(process.argv.slice(2))
if (chosen.some(needsBuild) && !BUILT.every((path) => existsSync(join(packageRoot, path))))
  throw new Error('nothing is built: npm run build')

// Clusters that were made are removed also when it is ended.
const ended = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const)
  process.once(name, () => {
    ended.abort(new Error(`ended by ${name}`))
  })
const bench = {signal: ended.signal, tell: (line: string) => console.log(line)}

for (const name of chosen) {
  console.log(`== ${name}`)
  const taken = takenNow()
  const {measured, figure} = await measure(name, size, bench)
  console.log(`figure of ${name}: ${figure}`)
  if (size.smallest) continue
  const known = resultsSchema.parse({...(await knownResults()), [name]: {...taken, ...measured}})
  await writeFile(RESULTS, await tidy(JSON.stringify(known, null, 2), 'json'))
  await writeFile(PAGE, await pageOf(known))
}
if (!size.smallest) console.log('written: docs/benchmarks.md')
