// Runs every check and suite, goes on after a failure, and ends with one line that counts all of them.
import {spawn, spawnSync} from 'node:child_process'
import {once} from 'node:events'
import {closeSync, mkdtempSync, openSync, readFileSync, rmSync} from 'node:fs'
import {constants, setPriority, tmpdir} from 'node:os'
import {join, relative} from 'node:path'

const root = join(import.meta.dirname, '..')
const bin = join(root, 'node_modules', '.bin')
const environment = {...process.env, PATH: `${bin}:${process.env.PATH}`, CI: process.env.CI ?? '1'}
const total = {passed: 0, failed: 0, skipped: 0}
/** How long each file of tests took: `{name, seconds}`. */
const files = []
const SLOWEST = 10
/** Skipped for a reason that CLOUDER_REQUIRE_E2E does not forbid. */
let optional = 0
const given = process.argv.slice(2).filter((word) => word !== '--cached')
/** Only what changed is checked, and tests run beside it. Types of other files that a rule of ESLint needs may be old. */
const cached = process.argv.includes('--cached')
/** Those with a comma between them are one run of vitest, where none waits for the last file of another. */
const suites =
  given.length > 0
    ? given
    : ['checks', 'unit', 'templates', 'stacks', 'bundle', 'cloud', 'integration', 'e2e,checkpoints']
/** Mostly waits for what a cloud does, so it runs beside those after it, and is told when it has ended. */
const BESIDE = 'cloud'

const start = (command, args, stdio) => spawn(join(bin, command), args, {cwd: root, env: environment, stdio})

/** Starts a command beside others; what it writes is kept until it is shown, then passed on. */
function startBeside(command, args, {givesWay = false} = {}) {
  const child = start(command, args, ['ignore', 'pipe', 'pipe'])
  if (givesWay) setPriority(child.pid, constants.priority.PRIORITY_LOW)
  const closed = once(child, 'close')
  const kept = []
  let write = (text) => kept.push(text)
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => write(text))
  return {
    closed,
    show() {
      write = (text) => process.stdout.write(text)
      for (const text of kept) write(text)
    },
  }
}

async function run(title, command, args, {stdio = 'inherit', started} = {}) {
  const startedMs = Date.now()
  process.stdout.write(`\n== ${title}\n`)
  started?.show()
  const [status] = await (started?.closed ?? once(start(command, args, stdio), 'close'))
  process.stdout.write(
    `== ${title}: ${status === 0 ? 'ok' : 'FAILED'} in ${Math.round((Date.now() - startedMs) / 1000)} s\n`,
  )
  return status === 0
}

function hasAwsProvider() {
  const args = ['test/support/aws-provider-build.ts', '--check']
  const {status, stdout, stderr} = spawnSync(join(bin, 'tsx'), args, {cwd: root, env: environment})
  if (status !== 0) process.stdout.write(`\n== cloud\n${stdout}${stderr}`)
  return status === 0
}

async function check(title, command, args, options) {
  total[(await run(title, command, args, options)) ? 'passed' : 'failed'] += 1
}

/** Format, lint and types at the same time: none uses two cores. */
function startChecks() {
  // By content: Git writes files anew that are what they were.
  const cache = ['--cache', '--cache-strategy', 'content']
  const lint = cached ? [...cache, '--cache-location', join(root, 'node_modules/.cache/eslint/')] : []
  return [
    ['format', 'prettier', ['--check', '--log-level', 'warn', ...cache, '.']],
    ['lint', 'eslint', ['--max-warnings', '0', ...lint, '.']],
    ['types', 'tsc', ['-p', 'tsconfig.check.json']],
  ].map(([title, ...command]) => ({title, command, started: startBeside(...command)}))
}

async function showChecks(checks) {
  for (const {title, command, started} of checks) await check(title, ...command, {started})
}

async function suite(name) {
  const names = name.split(',')
  const folder = mkdtempSync(join(tmpdir(), 'clouder-test-'))
  const report = join(folder, 'report.json')
  const args = [
    'run',
    ...names.map((each) => `--project=${each}`),
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
  ]
  const log = name === BESIDE ? join(folder, 'log') : undefined
  const output = log === undefined ? undefined : openSync(log, 'w')
  const stdio = output === undefined ? 'inherit' : ['ignore', output, output]
  const ok = await run(name, 'vitest', args, {stdio})
  if (output !== undefined) {
    closeSync(output)
    process.stdout.write(readFileSync(log))
  }
  const before = total.failed
  try {
    const {numPassedTests, numFailedTests, numPendingTests, numTodoTests, testResults} = JSON.parse(
      readFileSync(report, 'utf8'),
    )
    for (const {fullName, status} of testResults.flatMap(({assertionResults}) => assertionResults))
      if (status !== 'passed' && status !== 'failed') process.stdout.write(`skipped: ${fullName}\n`)
    for (const {name: file, startTime, endTime} of testResults)
      files.push({name: relative(root, file), seconds: Math.round((endTime - startTime) / 1000)})
    total.passed += numPassedTests
    total.failed += numFailedTests
    total.skipped += numPendingTests + numTodoTests
    // Stacks need no machine: what they skip is a file that is not beside the checkout, and the tests say which.
    if (name === 'stacks') optional += numPendingTests
  } catch (error) {
    process.stdout.write(`no report of ${name}: ${error.message}\n`)
  }
  // A file that does not load, or an error outside any test, fails no test but is a failure.
  if (!ok && total.failed === before) total.failed += 1
  rmSync(folder, {recursive: true, force: true})
}

const BUNDLE_BUILD = ['node', ['bin/run.js', 'bundle', 'build']]
// The first time it compiles Kubernetes, for which the suites before it need not wait.
const building = suites.indexOf('bundle') > 0 ? startBeside(...BUNDLE_BUILD, {givesWay: true}) : undefined
let beside = Promise.resolve()
const checks = suites.includes('checks') ? startChecks() : []
if (cached) {
  // One vitest for all suites: a worker that has loaded src loads it once.
  await suite(suites.filter((name) => name !== 'checks').join())
  await showChecks(checks)
}
for (const name of cached ? [] : suites) {
  if (name === 'checks') {
    await showChecks(checks)
  } else if (name === 'bundle') {
    // What integration and end to end install from; minutes the first time, an instant afterwards.
    await check('bundle', ...BUNDLE_BUILD, {started: building})
    await check('bundle digests and closure', 'node', ['bin/run.js', 'bundle', 'verify'])
    await check('registry for the stores of checkpoints', 'tsx', ['test/support/registry-build.ts'])
  } else if (name === 'cloud' && !hasAwsProvider()) {
    // Half an hour to build, so nobody is made to wait for it: said there, and counted.
    total.skipped += 1
    optional += 1
  } else if (name === BESIDE) {
    beside = suite(name)
  } else {
    await suite(name)
  }
}
await beside
const slowest = files.sort((one, other) => other.seconds - one.seconds).slice(0, SLOWEST)
process.stdout.write('\n== slowest files\n')
for (const {name, seconds} of slowest) process.stdout.write(`${String(seconds).padStart(6)} s  ${name}\n`)
const forbidden = process.env.CLOUDER_REQUIRE_E2E === '1' ? total.skipped - optional : 0
if (forbidden > 0) {
  process.stdout.write(`\n${forbidden} skipped although CLOUDER_REQUIRE_E2E=1: that is a failure\n`)
  total.failed += forbidden
  total.skipped -= forbidden
}
process.stdout.write(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`)
process.exitCode = total.failed === 0 ? 0 : 1
