import {PassThrough} from 'node:stream'
import {expect, test} from 'vitest'
import {runCommand} from '../../../../src/bootstrap/hosts/command.ts'
import type {Channel, ChannelEnd, Link} from '../../../../src/bootstrap/hosts/link.ts'

interface Played {
  readonly link: Link
  readonly opened: string[]
  readonly closed: () => number
}

/** A link whose channels say what `play` lets them say. */
function playedLink(
  play: (channel: Channel & {end(end: ChannelEnd): void}) => void,
  beforeOpen?: () => void,
): Played {
  const opened: string[] = []
  let closed = 0
  return {
    opened,
    closed: () => closed,
    link: {
      open(line) {
        opened.push(line)
        beforeOpen?.()
        const {promise: ended, resolve: end} = Promise.withResolvers<ChannelEnd>()
        const channel = {
          stdin: new PassThrough().resume(),
          stdout: new PassThrough(),
          stderr: new PassThrough(),
          ended,
          end: (how: ChannelEnd) => void setImmediate(() => end(how)),
          close() {
            closed += 1
            end({exitCode: undefined, signal: undefined})
          },
        }
        setImmediate(() => play(channel))
        return Promise.resolve(channel)
      },
    },
  }
}

const request = {body: 'exec -- true', elevation: {kind: 'none'}, timeoutMs: 5_000} as const
const gone = {exitCode: undefined, signal: undefined}

test('an end without exit code and signal is a lost link, not a success', async () => {
  const {link} = playedLink((channel) => {
    channel.stderr.push('clouder-started 7\n')
    channel.end(gone)
  })
  expect(await runCommand(link, request)).toMatchObject({kind: 'lost', stdout: ''})
})

test('what comes before the markers is no output, wherever the chunks break', async () => {
  const {link} = playedLink((channel) => {
    for (const part of ['welcome\nclouder-', 'output\no', 'ut\n']) channel.stdout.push(part)
    for (const part of ['hi\nclouder-sta', 'rted 7\n', 'err\n']) channel.stderr.push(part)
    channel.end({exitCode: 0, signal: undefined})
  })
  expect(await runCommand(link, request)).toMatchObject({
    kind: 'ended',
    exitCode: 0,
    stdout: 'out\n',
    stderr: 'err\n',
  })
})

test('a command that sudo kept from starting is refused, and a second prompt ends it', async () => {
  const refusing = playedLink((channel) => {
    channel.stderr.push('clouder-shell\nsudo: a password is required\n')
    channel.end({exitCode: 1, signal: undefined})
  })
  expect(await runCommand(refusing.link, {...request, elevation: {kind: 'sudo'}})).toMatchObject({
    kind: 'refused',
  })
  const asking = playedLink((channel) => {
    channel.stderr.push('clouder-shell\nclouder-sudo-password:')
    setImmediate(() => channel.stderr.push('Sorry, try again.\nclouder-sudo-password:'))
  })
  const elevation = {kind: 'sudo-password', password: 'canary'} as const
  const outcome = await runCommand(asking.link, {...request, elevation})
  expect(outcome).toMatchObject({kind: 'refused', askedPassword: true, stderr: 'Sorry, try again.\n'})
  expect(asking.opened.join('\n')).not.toContain('canary')
})

test('a login that starts no shell is told with what it said, a sudo that hangs as that', async () => {
  const forced = playedLink((channel) => {
    channel.stdout.push('Please login as the user "admin" rather than the user "root".\n')
    channel.end({exitCode: 142, signal: undefined})
  })
  for (const elevation of [{kind: 'none'}, {kind: 'sudo'}] as const) {
    const outcome = await runCommand(forced.link, {...request, elevation})
    expect(outcome.kind).toBe('no-shell')
    expect(outcome.stderr).toContain('the user "admin"')
  }
  const hanging = playedLink((channel) => channel.stderr.push('clouder-shell\n'))
  const patient = {...request, timeoutMs: 20, graceMs: 20, elevation: {kind: 'sudo'}} as const
  expect((await runCommand(hanging.link, patient)).kind).toBe('sudo-hung')
})

test('a signal that comes while the channel opens stops the command', async () => {
  const abort = new AbortController()
  const reason = new Error('stopped by the test')
  let opens = 0
  const played = playedLink(
    (channel) => {
      opens += 1
      channel.stderr.push(`clouder-started ${opens}\n`)
      if (opens > 1) channel.end({exitCode: 0, signal: undefined})
    },
    () => abort.abort(reason),
  )
  await expect(runCommand(played.link, {...request, signal: abort.signal})).rejects.toBe(reason)
  expect([opens, played.closed()]).toEqual([2, 1])
})
