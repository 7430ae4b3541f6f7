import {expect, test} from 'vitest'
import {FakeHost} from '../../../support/fake-host.ts'
import {brokenScript, counting, failing, greeting, hostContract} from '../../../support/host-contract.ts'
import {quoteArgv} from '../../../../src/base/quoting.ts'

hostContract('FakeHost', () => {
  const host = new FakeHost()
    .on(quoteArgv(failing), {exitCode: 3, stdout: 'said\n', stderr: 'first line\nthe cause\n'})
    .on('cat', ({stdin}) => stdin)
    .on('true')
    .on(greeting.name, 'one\ntwo\n')
    .on(brokenScript.name, {exitCode: 1})
    .on(counting.name, ({stdin}) => `${stdin.length}\n`)
  return Promise.resolve({host, dir: '/test', log: [], [Symbol.asyncDispose]: () => host.close()})
})

test('a fake host refuses what nobody told it, by name', async () => {
  const host = new FakeHost().on(/^systemctl is-active/, 'active\n')
  expect((await host.query(['systemctl', 'is-active', 'containerd'])).stdout).toBe('active\n')
  await expect(host.exec(['systemctl', 'restart', 'containerd'])).rejects.toThrow(
    'unexpected on node-1: exec systemctl restart containerd',
  )
  expect(host.unexpected).toEqual(['exec systemctl restart containerd'])
})

test('a fake host keeps changes in order and the last answer given counts', async () => {
  const host = new FakeHost({files: {'/etc/a': 'old'}}).on('id', 'first').on('id', 'second')
  expect((await host.exec(['id'])).stdout).toBe('second')
  await host.writeFile('/etc/a', 'new', {mode: 0o600})
  expect(host.changes).toEqual(['exec id', 'write /etc/a'])
  expect(host.files.get('/etc/a')).toEqual({content: 'new', mode: 0o600})
})
