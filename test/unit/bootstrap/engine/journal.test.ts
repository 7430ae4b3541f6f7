import {appendFile, readFile, stat, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import type {JournalEntry} from '../../../../src/bootstrap/engine/types.ts'
import {HostCommandError} from '../../../../src/bootstrap/errors.ts'
import type {Argv, ExecOptions} from '../../../../src/bootstrap/hosts/host.ts'
import {appendOnNode, diskJournal, readJournal} from '../../../../src/bootstrap/engine/journal.ts'
import {namedHost} from '../../../support/engine-run.ts'
import {recordingReport} from '../../../support/recording-report.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const entry = (step: string, event: JournalEntry['event'], host = 'cp-1'): JournalEntry => ({
  time: '2026-11-21T09:00:00.000Z',
  run: 'r1',
  phase: 'kernel',
  step,
  host,
  inputHash: '00',
  event,
})

const stepsOf = (lines: string): string[] =>
  lines
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const {step, event} = JSON.parse(line) as JournalEntry
      return `${event} ${step}`
    })

test('an entry is in the file when record resolves, and reads back as it was', async () => {
  await withTempFolder(async (dir) => {
    const path = join(dir, 'demo', 'journal.jsonl')
    const journal = diskJournal({path, report: recordingReport().report, nodeWriter: undefined})
    const failed: JournalEntry = {...entry('a', 'failed'), durationMs: 5, message: 'no\nluck'}
    await journal.record(entry('a', 'start'), namedHost('cp-1'))
    expect(await readJournal(path)).toEqual([entry('a', 'start')])
    await journal.record(failed, undefined)
    expect(await readJournal(path)).toEqual([entry('a', 'start'), failed])
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    await journal.flush()
  })
})

test('entries of many hosts at the same time all arrive, each whole', async () => {
  await withTempFolder(async (dir) => {
    const path = join(dir, 'journal.jsonl')
    const journal = diskJournal({path, report: recordingReport().report, nodeWriter: undefined})
    const names = Array.from({length: 300}, (_, index) => `worker-${index}`)
    await Promise.all(names.map(async (name) => await journal.record(entry('a', 'start', name), undefined)))
    expect((await readJournal(path)).map(({host}) => host)).toEqual(names)
  })
})

test('a line torn by a kill is left out, and the next run does not glue to it', async () => {
  await withTempFolder(async (dir) => {
    const path = join(dir, 'journal.jsonl')
    await writeFile(path, `${JSON.stringify(entry('a', 'start'))}\n{"time":"2026-`)
    expect(await readJournal(path)).toEqual([entry('a', 'start')])
    const journal = diskJournal({path, report: recordingReport().report, nodeWriter: undefined})
    await journal.record(entry('b', 'start'), undefined)
    await appendFile(path, '{"event":"do')
    expect(await readJournal(path)).toEqual([entry('a', 'start'), entry('b', 'start')])
  })
})

test('no journal reads as an empty one', async () => {
  await withTempFolder(async (dir) => {
    expect(await readJournal(join(dir, 'journal.jsonl'))).toEqual([])
  })
})

test('a journal that cannot be written here fails the record', async () => {
  await withTempFolder(async (dir) => {
    await writeFile(join(dir, 'demo'), '')
    const journal = diskJournal({
      path: join(dir, 'demo', 'journal.jsonl'),
      report: recordingReport().report,
      nodeWriter: undefined,
    })
    await expect(journal.record(entry('a', 'start'), undefined)).rejects.toMatchObject({
      code: 'STATE_UNWRITABLE',
    })
  })
})

test('the end of a step travels to the node with the start of the next, and flush brings the rest', async () => {
  await withTempFolder(async (dir) => {
    const path = join(dir, 'journal.jsonl')
    const writes: string[][] = []
    const journal = diskJournal({
      path,
      report: recordingReport().report,
      nodeWriter: (_host, lines) => {
        writes.push(stepsOf(lines))
        return Promise.resolve()
      },
    })
    const host = namedHost('cp-1')
    for (const step of ['a', 'b', 'c']) {
      await journal.record(entry(step, 'start'), host)
      await journal.record(entry(step, 'done'), host)
    }
    await journal.flush()
    expect(writes).toEqual([['start a'], ['done a', 'start b'], ['done b', 'start c'], ['done c']])
    await journal.flush()
    expect(writes).toHaveLength(4)
  })
})

test('a slow node holds up no step, and its lines go in one write', async () => {
  await withTempFolder(async (dir) => {
    const release = Promise.withResolvers<undefined>()
    const writes: string[][] = []
    const journal = diskJournal({
      path: join(dir, 'journal.jsonl'),
      report: recordingReport().report,
      nodeWriter: async (_host, lines) => {
        writes.push(stepsOf(lines))
        await release.promise
      },
    })
    const host = namedHost('cp-1')
    for (const step of ['a', 'b']) {
      await journal.record(entry(step, 'start'), host)
      await journal.record(entry(step, 'done'), host)
    }
    expect(writes).toEqual([['start a']])
    release.resolve(undefined)
    await journal.flush()
    expect(writes).toEqual([['start a'], ['done a', 'start b', 'done b']])
  })
})

test('a node that takes nothing is one note, loses no line, and fails nothing', async () => {
  await withTempFolder(async (dir) => {
    const path = join(dir, 'journal.jsonl')
    const told = recordingReport()
    let broken = true
    const writes: string[][] = []
    const journal = diskJournal({
      path,
      report: told.report,
      nodeWriter: (_host, lines) => {
        if (broken) return Promise.reject(new Error('no space left on device'))
        writes.push(stepsOf(lines))
        return Promise.resolve()
      },
    })
    const host = namedHost('cp-1')
    await journal.record(entry('a', 'start'), host)
    await journal.flush()
    await journal.record(entry('a', 'done'), host)
    await journal.flush()
    expect(told.of('note')).toMatchObject([{level: 'warning', host: 'cp-1'}])
    expect(told.of('note')[0]?.text).toContain('no space left on device')
    broken = false
    await journal.flush()
    expect(writes).toEqual([['start a', 'done a']])
    expect(await readJournal(path)).toHaveLength(2)
  })
})

test('on the node, dd appends and syncs; the folder is made when it is missing', async () => {
  const calls: {argv: Argv; stdin: string | undefined}[] = []
  let folder = false
  const host = namedHost('cp-1', {
    exec: (argv: Argv, options?: ExecOptions) => {
      calls.push({argv, stdin: options?.stdin})
      const result = {exitCode: 0, stdout: '', stderr: ''}
      if (argv[0] === 'mkdir') folder = true
      if (folder) return Promise.resolve(result)
      const failed = {host: 'cp-1', command: 'dd', signal: undefined, ...result, exitCode: 1}
      return Promise.reject(new HostCommandError('HOST_COMMAND_FAILED', 'dd exited with code 1', failed))
    },
  })
  await appendOnNode(host, 'one\n')
  await appendOnNode(host, 'two\n')
  expect(calls.map(({argv}) => argv[0])).toEqual(['dd', 'mkdir', 'dd', 'dd'])
  expect(calls.map(({stdin}) => stdin)).toEqual(['one\n', undefined, 'one\n', 'two\n'])
  expect(calls[0]?.argv).toContain('of=/var/lib/clouder/journal.jsonl')
})

test('the command for the node does append when it is run for real', async () => {
  await withTempFolder(async (dir) => {
    const {execFileSync} = await import('node:child_process')
    const target = join(dir, 'journal.jsonl')
    const calls: Argv[] = []
    const host = namedHost('cp-1', {
      exec: (argv, options) => {
        calls.push(argv)
        const [program, ...words] = argv
        execFileSync(
          program,
          words.map((word) => word.replace('/var/lib/clouder/journal.jsonl', target)),
          {input: options?.stdin},
        )
        return Promise.resolve({exitCode: 0, stdout: '', stderr: ''})
      },
    })
    const long = `${'x'.repeat(100_000)}\n`
    await appendOnNode(host, 'one\n')
    await appendOnNode(host, long)
    expect(await readFile(target, 'utf8')).toBe(`one\n${long}`)
  })
})
