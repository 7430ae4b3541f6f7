import {buildAwsProvider, cachedAwsProvider, MISSING, providerCache} from './aws-provider.ts'

// Builds the AWS provider that the suite `cloud` runs, or tells that it is there. Stop it at any time, run it again.
// With --check nothing is built: exit code 1 and how it is had, where it is missing.
if (process.argv.includes('--check')) {
  if ((await cachedAwsProvider()) !== undefined) process.exit(0)
  process.stdout.write(`skipped: ${MISSING}\n`)
  process.exit(1)
}

const stop = new AbortController()
process.once('SIGINT', () => stop.abort(new Error('stopped')))
process.once('SIGTERM', () => stop.abort(new Error('stopped')))

let compiled = 0
const provider = await buildAwsProvider({
  cache: providerCache(),
  signal: stop.signal,
  say: (line) => {
    compiled += 1
    if (compiled % 50 === 1) process.stdout.write(`[${compiled}] ${line}\n`)
  },
})
process.stdout.write(`provider ${provider.version}: TF_CLI_CONFIG_FILE=${provider.cliConfigFile}\n`)
