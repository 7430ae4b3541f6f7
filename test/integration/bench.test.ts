import {execFile} from 'node:child_process'
import {readdir, readFile, realpath} from 'node:fs/promises'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {expect, test} from 'vitest'
import {waitFor} from '../../src/base/waiting.ts'
import {packageRoot, run} from '../bench/clusters.ts'
import {withTempFolder} from '../support/temp-folder.ts'

const tsx = join(packageRoot, 'node_modules/.bin/tsx')
const program = join(packageRoot, 'test/bench/run.ts')
const written = () =>
  Promise.all(
    ['test/bench/results.json', 'docs/benchmarks.md'].map((path) =>
      readFile(join(packageRoot, path), 'utf8'),
    ),
  )

// a, b, g and i need clusters, and are in test/e2e/checkpoint-programs.test.ts; f the AWS provider: test/cloud/bench.test.ts.
test.for(['c', 'd', 'e', 'h', 'j'])(
  'benchmark %s in its smallest form ends with a figure and writes nothing',
  async (name) => {
    const before = await written()
    const {stdout} = await promisify(execFile)(tsx, [program, name, '--smallest'])
    const [, figure] = /^figure of \w: (.*)$/m.exec(stdout) ?? []
    expect(Number(figure), stdout).toSatisfy((value: number) => Number.isFinite(value) && value > 0)
    expect(await written()).toEqual(before)
  },
)

const never = new AbortController().signal

test('a program that fails is told with its output, one that is not there by its name', async () => {
  const failing = ['sh', '-c', 'echo out; echo err >&2; exit 3'] as const
  await expect(run(failing, {signal: never})).rejects.toThrow(/exited with code 3\nout\nerr/)
  await expect(run(['/nowhere/program'], {signal: never})).rejects.toThrow('/nowhere/program')
})

test('a program gets its input, variables and folder', async () => {
  await withTempFolder(async (folder) => {
    const options = {signal: never, input: 'in', environment: {WORD: 'word'}, cwd: folder}
    const {stdout, seconds} = await run(['sh', '-c', 'cat; echo " $WORD"; pwd -P'], options)
    expect(stdout).toBe(`in word\n${await realpath(folder)}\n`)
    expect(seconds).toBeGreaterThan(0)
  })
})

test('a program that is ended has ended before that is told', async () => {
  await withTempFolder(async (folder) => {
    const ended = new AbortController()
    const script = `trap 'sleep 0.3; touch ended; exit 1' TERM; touch started; while :; do sleep 0.05; done`
    const running = run(['sh', '-c', script], {signal: ended.signal, cwd: folder})
    await waitFor({
      what: 'the program to start',
      check: async () =>
        (await readdir(folder)).includes('started') ? {value: true, seen: 'started'} : {seen: 'nothing'},
      timeoutMs: 10_000,
      intervalMs: 20,
      signal: never,
    })
    ended.abort(new Error('enough'))
    await expect(running).rejects.toThrow('enough')
    expect(await readdir(folder)).toContain('ended')
  })
})
