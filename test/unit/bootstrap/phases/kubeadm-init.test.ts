import {expect, test} from 'vitest'
import {parseAllDocuments} from 'yaml'
import {initFile} from '../../../../src/bootstrap/phases/kubeadm-files.ts'
import {
  CERTIFICATE_PATHS,
  KUBECONFIG_PATHS,
  MANIFEST_PATHS,
} from '../../../../src/bootstrap/phases/kubeadm-probe.ts'
import {kubeadmInitPhase} from '../../../../src/bootstrap/phases/kubeadm-init.ts'
import {FakeHost} from '../../../support/fake-host.ts'
import {phaseContext} from '../../../support/phase-context.ts'

const never = new AbortController().signal
const paths = [...CERTIFICATE_PATHS, ...KUBECONFIG_PATHS, ...MANIFEST_PATHS, '/var/lib/kubelet/config.yaml']
const running = `${paths.map((path) => `path=${path}\n`).join('')}kubelet=active\n`

/** What is planned on a control plane that has everything but an API that can be read. */
async function planned(probe: string, readyz: {exitCode: number}): Promise<readonly string[]> {
  const host = new FakeHost({machine: {role: 'control-plane'}})
    .on('kubeadm/probe.sh', probe)
    .on(/^kubectl .*\/readyz$/, readyz)
  return (await kubeadmInitPhase.plan(phaseContext([host]), never)).map(({summary}) => summary)
}

test('an API server that is not ready is waited for', async () => {
  expect(await planned(running, {exitCode: 1})).toContain('wait for the API server')
})

test('an API server that is ready but lets nobody read yet is not waited for again', async () => {
  const steps = await planned(running, {exitCode: 0})
  expect(steps).not.toContain('wait for the API server')
  expect(steps).toContain('upload the configuration')
})

test('a bare machine gets everything, in order', async () => {
  const steps = await planned('kubelet=inactive\n', {exitCode: 1})
  expect(steps.slice(1, 6)).toEqual([
    'create the certificates',
    'create the kubeconfigs of the control plane',
    'write the manifests of etcd and the control plane',
    'configure and start the kubelet',
    'wait for the API server',
  ])
})

test('a cluster that is called as YAML 1.1 calls a truth keeps its name for kubeadm', () => {
  const host = new FakeHost({machine: {role: 'control-plane'}})
  const context = phaseContext([host])
  const {content = ''} = initFile({...context, spec: {...context.spec, name: 'on'}}, host)
  const names = parseAllDocuments(content, {version: '1.1'}).map((document) => document.get('clusterName'))
  expect(names).toContain('on')
})
