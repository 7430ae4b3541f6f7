// Runs every check and suite, goes on after a failure, and ends with one line that counts all of them.
import {spawnSync} from 'node:child_process'
import {mkdtempSync, readFileSync, rmSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'

const root = join(import.meta.dirname, '..')
const bin = join(root, 'node_modules', '.bin')
const environment = {...process.env, PATH: `${bin}:${process.env.PATH}`, CI: process.env.CI ?? '1'}
const total = {passed: 0, failed: 0, skipped: 0}
/** Skipped for a reason that CLOUDER_REQUIRE_E2E does not forbid. */
let optional = 0
const suites =
  process.argv.length > 2
    ? process.argv.slice(2)
    : // `cloud` is run by name until it has passed in one go: npm run test:cloud builds the AWS provider first.
      ['checks', 'unit', 'templates', 'stacks', 'bundle', 'integration', 'e2e']

function run(title, command, args) {
  const startedMs = Date.now()
  process.stdout.write(`\n== ${title}\n`)
  const {status} = spawnSync(join(bin, command), args, {cwd: root, env: environment, stdio: 'inherit'})
  process.stdout.write(
    `== ${title}: ${status === 0 ? 'ok' : 'FAILED'} in ${Math.round((Date.now() - startedMs) / 1000)} s\n`,
  )
  return status === 0
}

function hasAwsProvider() {
  process.stdout.write('\n== cloud\n')
  const args = ['test/support/aws-provider-build.ts', '--check']
  return spawnSync(join(bin, 'tsx'), args, {cwd: root, env: environment, stdio: 'inherit'}).status === 0
}

function check(title, command, args) {
  total[run(title, command, args) ? 'passed' : 'failed'] += 1
}

function suite(name) {
  const folder = mkdtempSync(join(tmpdir(), 'clouder-test-'))
  const report = join(folder, 'report.json')
  const args = [
    'run',
    '--project',
    name,
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
  ]
  const ok = run(name, 'vitest', args)
  const before = total.failed
  try {
    const {numPassedTests, numFailedTests, numPendingTests, numTodoTests, testResults} = JSON.parse(
      readFileSync(report, 'utf8'),
    )
    for (const {fullName, status} of testResults.flatMap(({assertionResults}) => assertionResults))
      if (status !== 'passed' && status !== 'failed') process.stdout.write(`skipped: ${fullName}\n`)
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

for (const name of suites) {
  if (name === 'checks') {
    check('format', 'prettier', ['--check', '--log-level', 'warn', '.'])
    check('lint', 'eslint', ['--max-warnings', '0', '.'])
    check('types', 'tsc', ['-p', 'tsconfig.check.json'])
  } else if (name === 'bundle') {
    // What integration and end to end install from; minutes the first time, an instant afterwards.
    check('bundle', 'node', ['bin/run.js', 'bundle', 'build'])
    check('bundle digests and closure', 'node', ['bin/run.js', 'bundle', 'verify'])
    check('registry for the stores of checkpoints', 'tsx', ['test/support/registry-build.ts'])
  } else if (name === 'cloud' && !hasAwsProvider()) {
    // Half an hour to build, so nobody is made to wait for it: said there, and counted.
    total.skipped += 1
    optional += 1
  } else {
    suite(name)
  }
}
const forbidden = process.env.CLOUDER_REQUIRE_E2E === '1' ? total.skipped - optional : 0
if (forbidden > 0) {
  process.stdout.write(`\n${forbidden} skipped although CLOUDER_REQUIRE_E2E=1: that is a failure\n`)
  total.failed += forbidden
  total.skipped -= forbidden
}
process.stdout.write(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`)
process.exitCode = total.failed === 0 ? 0 : 1
