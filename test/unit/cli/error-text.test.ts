import {expect, test} from 'vitest'
import {errorObject} from '../../../src/cli/error-object.ts'
import {exitCodeOf, renderError} from '../../../src/cli/error-text.ts'
import {palette} from '../../../src/cli/terminal.ts'
import {
  AbortError,
  ConfigError,
  ConnectionError,
  HostsFailedError,
  StateError,
  TimeoutError,
} from '../../../src/base/errors.ts'
import {HostCommandError, PreflightError} from '../../../src/bootstrap/errors.ts'
import {InfrastructureError} from '../../../src/infrastructure/errors.ts'
import {KubernetesError} from '../../../src/kubernetes/errors.ts'
import {BundleError} from '../../../src/bundle/errors.ts'

const options = {
  colours: palette(false),
  columns: undefined,
  version: 'clouder/0.1.0 linux-x64 node-v24.0.0',
  help: 'clouder kubeadm init --help',
}
const shown = (error: unknown, log?: string) => renderError(error, {...options, log})

const failed = {
  host: 'cp-1',
  command: 'kubeadm init --config /etc/kubernetes/clouder/init.yaml',
  exitCode: 1,
  signal: undefined,
  stdout: '',
  stderr: '\n[preflight] Running pre-flight checks\n\t[ERROR Port-6443]: Port 6443 is in use\n',
}
const commandError = new HostCommandError(
  'HOST_COMMAND_FAILED',
  '`kubeadm init` on cp-1 exited with code 1',
  failed,
  {
    suggestions: ["clouder ssh --cluster demo cp-1 -- ss -ltnp 'sport = :6443'"],
  },
)

test('a failed command shows what it said, its code, what to try and the run log', () => {
  expect(shown(commandError, '/c/logs/run.log')).toBe(`Error: \`kubeadm init\` on cp-1 exited with code 1
  [preflight] Running pre-flight checks
  	[ERROR Port-6443]: Port 6443 is in use
Code: HOST_COMMAND_FAILED
Try this:
  * clouder ssh --cluster demo cp-1 -- ss -ltnp 'sport = :6443'
  * full output: /c/logs/run.log
`)
})

test('a wrong configuration lists every problem with path and value', () => {
  const error = new ConfigError('CONFIG_INVALID', 'cluster.yaml is not valid: 2 problems', {
    problems: [
      {path: 'spec.network.podCidr', value: '10.244.0.0/33', problem: 'is not a CIDR'},
      {path: 'spec.wrokers', value: undefined, problem: 'is not a known key'},
    ],
  })
  expect(shown(error)).toBe(`Error: cluster.yaml is not valid: 2 problems
  spec.network.podCidr: "10.244.0.0/33" is not a CIDR
  spec.wrokers: is not a known key
Code: CONFIG_INVALID
`)
})

test('a single problem that the message tells is told once', () => {
  const problems = [{path: 'metadata.name', value: 'A', problem: 'is not a DNS label'}]
  const message = 'cluster.yaml is not valid: metadata.name: "A" is not a DNS label'
  expect(shown(new ConfigError('CONFIG_INVALID', message, {problems})).match(/DNS label/g)).toHaveLength(1)
})

test('preflight findings are a table by host, check, problem and fix', () => {
  const error = new PreflightError([
    {host: 'cp-1', check: 'memory', problem: '1024 MiB, 1700 needed', fix: 'give it more memory'},
    {host: 'worker-1', check: 'swap', problem: 'swap is on', fix: 'swapoff -a'},
  ])
  expect(shown(error)).toBe(`Error: 2 preflight checks failed on 2 hosts
  HOST      CHECK   PROBLEM                FIX
  cp-1      memory  1024 MiB, 1700 needed  give it more memory
  worker-1  swap    swap is on             swapoff -a
Code: PREFLIGHT_FAILED
`)
})

test('every failure of every host is told, with its own evidence and suggestions', () => {
  const unreachable = new ConnectionError('HOST_UNREACHABLE', 'no answer from 192.0.2.9:22', {
    host: 'worker-2',
    address: '192.0.2.9',
    suggestions: ['ping 192.0.2.9'],
    cause: new Error('connect ETIMEDOUT'),
  })
  const error = new HostsFailedError('containerd', [
    {host: 'cp-1', phase: 'containerd', step: 'start containerd', error: commandError},
    {host: 'worker-2', phase: 'containerd', step: undefined, error: unreachable},
  ])
  expect(shown(error)).toBe(`Error: containerd failed on cp-1, worker-2
  cp-1: start containerd: \`kubeadm init\` on cp-1 exited with code 1 (HOST_COMMAND_FAILED)
    [preflight] Running pre-flight checks
    	[ERROR Port-6443]: Port 6443 is in use
  worker-2: no answer from 192.0.2.9:22 (HOST_UNREACHABLE)
    because: connect ETIMEDOUT
Code: HOSTS_FAILED
Try this:
  * clouder ssh --cluster demo cp-1 -- ss -ltnp 'sport = :6443'
  * ping 192.0.2.9
`)
})

test('a failure to connect names its host once', () => {
  const failed = new ConnectionError('HOST_UNREACHABLE', 'cp-1 (192.0.2.1:22) cannot be reached: timed out', {
    host: 'cp-1',
    address: '192.0.2.1',
  })
  const error = new HostsFailedError('connect', [
    {host: 'cp-1', phase: 'connect', step: undefined, error: failed},
  ])
  expect(shown(error).split('\n')[1]).toBe(
    '  cp-1 (192.0.2.1:22) cannot be reached: timed out (HOST_UNREACHABLE)',
  )
})

test('causes are told once each, outermost first', () => {
  const cause = new Error('EACCES: permission denied', {cause: new Error('uid 1000')})
  const error = new StateError('STATE_UNWRITABLE', 'cannot write /c', {cause})
  expect(shown(error)).toBe(`Error: cannot write /c
  because: EACCES: permission denied
  because: uid 1000
Code: STATE_UNWRITABLE
`)
})

test('a refusal and an interruption are one plain line', () => {
  expect(shown(new AbortError('DECLINED', 'nothing was removed'))).toBe('nothing was removed\n')
  expect(shown(new AbortError('INTERRUPTED', 'stopped'), '/c/run.log')).toBe('stopped\n')
})

test('anything else is a bug: stack, version, and where it is written down', () => {
  const text = shown(new TypeError('x is undefined'), '/c/run.log')
  expect(text).toContain('Error: unexpected: x is undefined\nTypeError: x is undefined\n    at ')
  expect(text).toContain(
    `${options.version}\nfull output: /c/run.log\nThis is a bug in clouder: please report it`,
  )
})

test('a wrong flag points to the help of the command', () => {
  const error = Object.assign(new Error('Nonexistent flag: --x\nSee more help with --help'), {
    oclif: {exit: 2},
    skipOclifErrorHandling: false,
  })
  expect(shown(error)).toBe(`Error: Nonexistent flag: --x
Try this:
  * clouder kubeadm init --help
`)
  expect(exitCodeOf(error)).toBe(2)
})

test('every class has its exit code', () => {
  const connection = {host: 'a', address: 'b'}
  const codes = [
    [new ConfigError('FLAG_MISSING', 'm'), 3],
    [new PreflightError([]), 4],
    [new InfrastructureError('ENGINE_MISSING', 'm'), 5],
    [new ConnectionError('AUTH_FAILED', 'm', connection), 6],
    [commandError, 7],
    [new KubernetesError('NOT_READY', 'm'), 8],
    [new TimeoutError('m'), 8],
    [new StateError('LOCKED', 'm'), 9],
    [new BundleError('BUILD_FAILED', 'm'), 10],
    [new AbortError('DECLINED', 'm'), 1],
    [new AbortError('INTERRUPTED', 'm'), 130],
    [new HostsFailedError('p', [{host: 'a', phase: 'p', step: undefined, error: commandError}]), 7],
    [new Error('m'), 1],
    ['text', 1],
  ] as const
  expect(codes.map(([error]) => exitCodeOf(error))).toEqual(codes.map(([, code]) => code))
})

test('JSON keeps the chain of causes, which oclif would drop', () => {
  const root = Object.assign(new Error('connect ECONNREFUSED'), {code: 'ECONNREFUSED'})
  const middle = new ConnectionError('HOST_UNREACHABLE', 'no answer', {host: 'a', address: 'b', cause: root})
  const error = new KubernetesError('API_UNREACHABLE', 'no API server', {
    cause: middle,
    suggestions: ['clouder doctor'],
  })
  expect(errorObject(error)).toEqual({
    code: 'API_UNREACHABLE',
    message: 'no API server',
    exitCode: 8,
    suggestions: ['clouder doctor'],
    causes: [
      {code: 'HOST_UNREACHABLE', message: 'no answer', host: 'a', address: 'b'},
      {code: 'ECONNREFUSED', message: 'connect ECONNREFUSED'},
    ],
    ref: 'docs/errors.md#api_unreachable',
  })
})

test('JSON keeps problems, findings and the failure of every host', () => {
  const finding = {host: 'a', check: 'swap', problem: 'on', fix: 'off'}
  expect(errorObject(new PreflightError([finding]))).toMatchObject({findings: [finding]})
  const problem = {path: 'p', value: 1, problem: 'is wrong'}
  expect(errorObject(new ConfigError('CONFIG_INVALID', 'm', {problems: [problem]}))).toMatchObject({
    problems: [problem],
  })
  const failure = {host: 'cp-1', phase: 'p', step: 's', error: commandError}
  expect(errorObject(new HostsFailedError('p', [failure]))).toMatchObject({
    failures: [{host: 'cp-1', phase: 'p', step: 's', code: 'HOST_COMMAND_FAILED', failed}],
  })
})
