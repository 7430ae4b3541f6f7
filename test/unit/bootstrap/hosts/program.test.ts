import {spawnSync} from 'node:child_process'
import {expect, test} from 'vitest'
import {program, scriptBody} from '../../../../src/bootstrap/hosts/program.ts'

const ENVIRONMENT = {
  PATH: '/nowhere:/usr/bin:/bin',
  HOME: '/root',
  HTTPS_PROXY: 'http://proxy.example:3128',
  no_proxy: 'localhost',
  KUBECONFIG: '/etc/other.conf',
  CONTAINERD_NAMESPACE: 'moby',
  TMPDIR: '/noexec',
  'BASH_FUNC_kubeadm%%': '() { echo hijacked; }',
}

const outputOf = (text: string): string => {
  const {stdout, stderr, status} = spawnSync('bash', ['-s'], {
    env: ENVIRONMENT,
    input: program(scriptBody(text), undefined),
    encoding: 'utf8',
  })
  expect(status, stderr).toBe(0)
  return stdout.slice(stdout.indexOf('clouder-output\n') + 'clouder-output\n'.length)
}

test('commands get a defined environment, whatever the host puts into it', () => {
  const names = outputOf('env')
    .trim()
    .split('\n')
    .map((line) => line.slice(0, line.indexOf('=')))
  expect(names.toSorted()).toEqual(['HOME', 'LC_ALL', 'PATH', 'PWD', 'SHLVL', '_'])
  expect(outputOf('echo "$PATH"')).toBe('/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n')
})

test('a function of the host stands in for no program', () => {
  expect(outputOf('type -t kubeadm || echo none')).not.toContain('function')
})

test('what the shell was started with can still be read by who looks for it', () => {
  expect(outputOf("tr '\\0' '\\n' </proc/$$/environ")).toContain('HTTPS_PROXY=http://proxy.example:3128\n')
})
