// (c) what the command line costs before it does anything.
import {join} from 'node:path'
import {median, packageRoot, run} from './clusters.js'

const program = join(packageRoot, 'bin/run.js')
const COMMANDS = {
  'node -e 0': ['-e', '0'],
  'clouder --version': [program, '--version'],
  'clouder --help': [program, '--help'],
}

/** Every command once, then every command again, so that a slow moment hits them all. */
export async function startUp(times) {
  const seconds = Object.fromEntries(Object.keys(COMMANDS).map((name) => [name, []]))
  for (let time = 0; time < times; time += 1) {
    for (const [name, args] of Object.entries(COMMANDS)) {
      seconds[name].push((await run(process.execPath, args)).seconds)
    }
  }
  const medians = Object.fromEntries(Object.entries(seconds).map(([name, all]) => [name, median(all)]))
  const ratioOf = (name) => medians[name] / medians['node -e 0']
  return {
    medians,
    ratios: {'--version': ratioOf('clouder --version'), '--help': ratioOf('clouder --help')},
  }
}
