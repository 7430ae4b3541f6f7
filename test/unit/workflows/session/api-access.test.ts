import {expect, test} from 'vitest'
import {KubernetesError} from '../../../../src/kubernetes/errors.ts'
import {LazyKube} from '../../../../src/workflows/session/api-access.ts'
import {FakeKube} from '../../../support/fake-kube.ts'
import {FakeHost, fakeMachine} from '../../../support/fake-host.ts'

const machine = fakeMachine('cp-1', {role: 'control-plane'})

const silent = new FakeKube()
silent.down = 'connect ECONNREFUSED'
const tools = {signal: new AbortController().signal, openKube: () => Promise.resolve(silent)}

async function refusalOf(kube: LazyKube): Promise<KubernetesError> {
  const error: unknown = await kube.required().catch((failure: unknown) => failure)
  if (error instanceof KubernetesError) return error
  throw new Error(`expected a KubernetesError, got ${String(error)}`)
}

test('the advice for an API server that does not answer leads to its cause, not to another command that advises', async () => {
  const running = new FakeHost({name: 'cp-1', machine, files: {'/etc/kubernetes/admin.conf': 'kubeconfig'}})
  const fresh = new FakeHost({name: 'cp-1', machine})
  const cases = [
    {
      hosts: [],
      problem: 'no control plane can be reached (cp-1)',
      fix: 'clouder ssh cp-1 --cluster demo -- true',
    },
    {hosts: [fresh], problem: 'the cluster was never set up', fix: 'clouder kubeadm init demo'},
    {hosts: [running], problem: 'connect ECONNREFUSED', fix: '-- journalctl -u kubelet'},
  ]
  for (const {hosts, problem, fix} of cases) {
    const kube = new LazyKube('demo', [machine], hosts, tools)
    const error = await refusalOf(kube)
    expect(error.message).toContain(problem)
    expect(error.suggestions.join('\n')).toContain(fix)
    expect(error.suggestions.join('\n')).not.toContain('clouder doctor')
    expect(kube.problem.fix).toBe(error.suggestions[0])
  }
})

test('whoever asks at the same time shares one attempt, and a later one begins another', async () => {
  const host = new FakeHost({name: 'cp-1', machine, files: {'/etc/kubernetes/admin.conf': 'kubeconfig'}})
  let opened = 0
  const kube = new FakeKube()
  kube.down = 'connect ECONNREFUSED'
  const openKube = () => {
    opened += 1
    return Promise.resolve(kube)
  }
  const lazy = new LazyKube('demo', [machine], [host], {...tools, openKube})
  expect(await Promise.all([lazy.ifThere(), lazy.ifThere(), lazy.ifThere()])).toEqual([
    undefined,
    undefined,
    undefined,
  ])
  expect(opened).toBe(1)
  kube.down = undefined
  expect(await Promise.all([lazy.ifThere(), lazy.ifThere()])).toEqual([kube, kube])
  expect(await lazy.ifThere()).toBe(kube)
  expect(opened).toBe(2)
})
