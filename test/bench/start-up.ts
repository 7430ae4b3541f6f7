// (c) what the command line costs before it does anything.
import {join} from 'node:path'
import {median, packageRoot, run, type Bench} from './clusters.ts'
import type {Measured} from './results.ts'

const program = join(packageRoot, 'bin/run.js')

/** Every command once, then every command again, so that a slow moment hits them all. */
export async function startUp({rounds}: {readonly rounds: number}, {signal}: Bench): Promise<Measured<'c'>> {
  const commands = [
    {name: 'node -e 0', args: ['-e', '0'], seconds: new Array<number>()},
    {name: 'clouder --version', args: [program, '--version'], seconds: new Array<number>()},
    {name: 'clouder --help', args: [program, '--help'], seconds: new Array<number>()},
  ] as const
  for (let round = 0; round < rounds; round += 1)
    for (const {args, seconds} of commands)
      seconds.push((await run([process.execPath, ...args], {signal})).seconds)
  const [bare, version, help] = commands
  const ratioOf = ({seconds}: (typeof commands)[number]): number => median(seconds) / median(bare.seconds)
  return {
    medians: Object.fromEntries(commands.map(({name, seconds}) => [name, median(seconds)])),
    ratios: {'--version': ratioOf(version), '--help': ratioOf(help)},
  }
}
