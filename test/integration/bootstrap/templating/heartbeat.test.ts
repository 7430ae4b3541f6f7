import {spawnSync} from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {expect, onTestFinished, test} from 'vitest'
import {createRenderer} from '../../../../src/bootstrap/templating/render.ts'
import {templatesDir} from '../../../templates/golden.ts'

const MADE_S = 1_800_000_000
const DAY_S = 24 * 3600

/** As the API server makes them; `~` and `?` in the name give both letters in which base64url differs from base64. */
const tokenOf = (iat: number, exp = iat + DAY_S, name = 'lab~~~???'): string =>
  `e30.${Buffer.from(JSON.stringify({aud: ['https://a'], exp, iat, sub: name})).toString('base64url')}.c2ln`
const answerOf = (token: string): string =>
  JSON.stringify({kind: 'TokenRequest', spec: {}, status: {token, expirationTimestamp: '…'}}, undefined, 2)

interface Scene {
  /** Of the script itself. */
  readonly token: string
  /** What an earlier run has kept. */
  readonly kept?: string
  readonly nowS: number
  /** Status of the answer to a heartbeat. */
  readonly status?: number
  /** Answer to a renewal; none: it is refused. */
  readonly answer?: string
  /** The pause is killed, as when all processes of the service are told to stop. */
  readonly pauseKilled?: boolean
}

/** Sends two heartbeats with stubs for curl and the clock, in the shell that the script names. */
function beat({token, kept, nowS, status = 200, answer, pauseKilled = false}: Scene) {
  const dir = mkdtempSync(join(tmpdir(), 'clouder-heartbeat-'))
  onTestFinished(() => rmSync(dir, {recursive: true, force: true}))
  const folder = join(dir, 'with space')
  const bin = join(dir, 'bin')
  for (const path of [bin, folder]) mkdirSync(path)
  const tokenFile = join(folder, 'lab-1.sh.token')
  if (kept !== undefined) writeFileSync(tokenFile, `authorization: Bearer ${kept}\n`, {mode: 0o644})
  if (answer !== undefined) writeFileSync(join(dir, 'answer'), answer)
  const stubs = {
    curl: [
      // Who is asked with which token.
      `for word in "$@"; do case $word in @*) sent=$(cat "\${word#@}");; https:*) url=$word;; esac; done`,
      `echo "$url $sent" >>'${dir}/calls'`,
      `case $url in *token) cat '${dir}/answer';; *) printf ${status}; [ ${status} -lt 300 ];; esac`,
    ],
    date: [`case $* in *%s) echo ${nowS};; *) echo 2027-01-15T08:00:00Z;; esac`],
    sleep: [
      `if [ -e '${dir}/paused' ]; then kill $PPID; fi`,
      `: >'${dir}/paused'`,
      pauseKilled ? 'kill $$' : '',
    ],
  }
  for (const [name, lines] of Object.entries(stubs)) {
    writeFileSync(join(bin, name), ['#!/bin/sh', ...lines, ''].join('\n'))
    chmodSync(join(bin, name), 0o755)
  }
  const script = join(folder, 'lab-1.sh')
  const view = {
    name: 'lab-1',
    statusUrl: 'https://api.test/status',
    tokenUrl: 'https://api.test/token',
    tokenRequest: '{}',
    ca: 'PEM',
    token,
  }
  writeFileSync(script, createRenderer(templatesDir).render('byoc/heartbeat.sh', view))
  const env = {PATH: `${bin}:/usr/bin:/bin`, TMPDIR: dir}
  const run = spawnSync('/bin/sh', [script], {encoding: 'utf8', env})
  expect(run.status, run.stderr).toBe(0)
  return {
    calls: readFileSync(join(dir, 'calls'), 'utf8')
      .replaceAll('authorization: Bearer ', '')
      .trim()
      .split('\n'),
    kept: existsSync(tokenFile) ? readFileSync(tokenFile, 'utf8') : undefined,
    mode: statSync(tokenFile).mode & 0o777,
    files: readdirSync(folder).toSorted(),
    stderr: run.stderr,
  }
}

const header = (token: string): string => `authorization: Bearer ${token}\n`
const FIRST = tokenOf(MADE_S)
const SECOND = tokenOf(MADE_S + DAY_S / 2)

test('a token with more than half of its time is sent as it is', () => {
  const {calls, kept, stderr} = beat({token: FIRST, nowS: MADE_S + DAY_S / 2 - 1, answer: answerOf(SECOND)})
  expect(calls).toEqual([`https://api.test/status ${FIRST}`, `https://api.test/status ${FIRST}`])
  expect(kept).toBe(header(FIRST))
  expect(stderr).toBe('')
})

test('at half of its time it is renewed once, into a file for its owner alone, and nothing else is left there', () => {
  const {calls, kept, mode, files, stderr} = beat({
    token: FIRST,
    kept: tokenOf(MADE_S - DAY_S),
    nowS: MADE_S + DAY_S / 2,
    answer: answerOf(SECOND),
  })
  expect(calls).toEqual([
    `https://api.test/status ${FIRST}`,
    `https://api.test/token ${FIRST}`,
    `https://api.test/status ${SECOND}`,
  ])
  expect(kept).toBe(header(SECOND))
  expect(mode).toBe(0o600)
  expect(files).toEqual(['lab-1.sh', 'lab-1.sh.token'])
  expect(stderr).toBe('')
})

test('after a restart the renewed token is sent, and that of a script from a later registration instead of it', () => {
  const nowS = MADE_S + DAY_S / 2
  expect(beat({token: FIRST, kept: SECOND, nowS}).calls[0]).toBe(`https://api.test/status ${SECOND}`)
  const third = tokenOf(MADE_S + DAY_S / 2 + 1)
  expect(beat({token: third, kept: SECOND, nowS}).calls[0]).toBe(`https://api.test/status ${third}`)
})

for (const [what, answer] of [
  ['is refused', undefined],
  ['has no token', '{"kind": "Status", "status": {}}'],
  ['has a token that would be two headers', '{"status": {"token": "a\\r\\nx: y"}}'],
] as const)
  test(`when the renewal ${what} the token is kept, and the renewal tried again`, () => {
    const {calls, kept, files, stderr} = beat({
      token: FIRST,
      nowS: MADE_S + DAY_S / 2,
      ...(answer === undefined ? {} : {answer}),
    })
    expect(calls).toEqual([
      `https://api.test/status ${FIRST}`,
      `https://api.test/token ${FIRST}`,
      `https://api.test/status ${FIRST}`,
      `https://api.test/token ${FIRST}`,
    ])
    expect(kept).toBe(header(FIRST))
    expect(files).toEqual(['lab-1.sh', 'lab-1.sh.token'])
    expect(stderr).toContain('lab-1: its token cannot be renewed, trying again')
  })

test('a token that is no longer accepted is not renewed: what to run is said', () => {
  const {calls, stderr} = beat({token: FIRST, nowS: MADE_S + 2 * DAY_S, status: 401})
  expect(calls).toEqual([`https://api.test/status ${FIRST}`, `https://api.test/status ${FIRST}`])
  expect(stderr).toContain('clouder byoc register lab-1')
})

test('an API server that is away is no reason to register again', () => {
  const {stderr} = beat({token: FIRST, nowS: MADE_S, status: 503})
  expect(stderr).toContain('lab-1: the cluster does not answer, trying again')
  expect(stderr).not.toContain('clouder byoc register')
})

test('a pause that is killed is followed by the next heartbeat, and nothing is said of it', () => {
  const {calls, stderr} = beat({token: FIRST, nowS: MADE_S, pauseKilled: true})
  expect(calls).toHaveLength(2)
  expect(stderr).toBe('')
})
