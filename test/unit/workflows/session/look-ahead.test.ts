import {expect, test} from 'vitest'
import type {HostReader} from '../../../../src/bootstrap/hosts/host.ts'
import type {PhaseContext} from '../../../../src/bootstrap/phases/context.ts'
import {lookAhead} from '../../../../src/workflows/session/look-ahead.ts'
import {fakeFacts, fakeMachine} from '../../../support/fake-host.ts'
import {phaseContext} from '../../../support/phase-context.ts'

/** A host that counts what it is asked. */
function counted(): {readonly host: HostReader; readonly asked: string[]} {
  const asked: string[] = []
  const answer = (question: string) => {
    asked.push(question)
    return Promise.resolve({exitCode: 0, stdout: `${asked.length}`, stderr: ''})
  }
  const host: HostReader = {
    name: 'cp-1',
    machine: fakeMachine('cp-1'),
    facts: fakeFacts(),
    query: (argv) => answer(argv.join(' ')),
    queryScript: ({name}) => answer(name),
    readFile: async (path) => (await answer(path)).stdout,
  }
  return {host, asked}
}

function contextOf(host: HostReader, notes: string[]): PhaseContext {
  return {...phaseContext([host]), note: (text) => void notes.push(text)}
}

const hostOf = (context: PhaseContext): HostReader => {
  const [host] = context.hosts
  if (host === undefined) throw new TypeError('no host')
  return host
}

test('what two phases ask of a host in one round is asked once', async () => {
  const {host, asked} = counted()
  const round = lookAhead(contextOf(host, []))
  const [one, other] = [hostOf(round.forPhase().context), hostOf(round.forPhase().context)]
  const script = {name: 'probe.sh', text: 'true'}
  const answers = await Promise.all([
    one.readFile('/a'),
    other.readFile('/a'),
    one.queryScript(script),
    other.queryScript(script),
  ])
  expect(answers[0]).toBe(answers[1])
  expect(answers[2]).toBe(answers[3])
  expect(asked).toEqual(['/a', 'probe.sh'])
})

test('another text, other words and other options are another question', async () => {
  const {host, asked} = counted()
  const reader = hostOf(lookAhead(contextOf(host, [])).forPhase().context)
  await Promise.all([
    reader.queryScript({name: 'probe.sh', text: 'true'}),
    reader.queryScript({name: 'probe.sh', text: 'false'}),
    reader.query(['cat', 'a b']),
    reader.query(['cat', 'a', 'b']),
    reader.query(['cat', 'a', 'b'], {stdin: 'x'}),
  ])
  expect(asked).toHaveLength(5)
})

test('when a round is over, steps that hold its readers read anew', async () => {
  const {host} = counted()
  const round = lookAhead(contextOf(host, []))
  const reader = hostOf(round.forPhase().context)
  expect([await reader.readFile('/a'), await reader.readFile('/a')]).toEqual(['1', '1'])
  round.end()
  expect([await reader.readFile('/a'), await reader.readFile('/a')]).toEqual(['2', '3'])
})

test('notes wait until they are told', () => {
  const notes: string[] = []
  const round = lookAhead(contextOf(counted().host, notes))
  const [first, second] = [round.forPhase(), round.forPhase()]
  second.context.note('two')
  first.context.note('one')
  expect(notes).toEqual([])
  first.tell()
  second.tell()
  first.context.note('later')
  expect(notes).toEqual(['one', 'two', 'later'])
})
