import {expect, test} from 'vitest'
import {kubernetesPhase} from '../../../../src/bootstrap/phases/kubernetes.ts'
import {fileOf, storePath} from '../../../../src/bootstrap/phases/node-store.ts'
import {FakeHost} from '../../../support/fake-host.ts'
import {fileLines, phaseContext, plannedBundle, renderer} from '../../../support/phase-context.ts'

const never = new AbortController().signal
const files = [
  {
    path: '/etc/systemd/system/kubelet.service',
    content: renderer.render('kubernetes/kubelet.service', {}),
    mode: 0o644,
  },
  {
    path: '/etc/systemd/system/kubelet.service.d/10-kubeadm.conf',
    content: renderer.render('kubernetes/10-kubeadm.conf', {proxy: []}),
    mode: 0o644,
  },
]
const good =
  fileLines(files) +
  'folder=/etc/kubernetes\nfolder=/etc/kubernetes/manifests\nfolder=/var/lib/kubelet\n' +
  'UnitFileState=enabled\nNeedDaemonReload=no\n' +
  ['kubeadm', 'kubelet']
    .map((name) => `program=/usr/local/bin/${name} ${storePath(fileOf(plannedBundle, name))}\n`)
    .join('')

const reasonsOn = async (stdout: string, role: 'control-plane' | 'worker' = 'worker') => {
  const host = new FakeHost({machine: {role}}).on('kubernetes/probe.sh', stdout)
  return (await kubernetesPhase.plan(phaseContext([host]), never)).map(({reason}) => reason)
}

test('a worker with unit and versions as wanted needs nothing', async () => {
  expect(await reasonsOn(good)).toEqual([])
})

test('a control plane needs kubectl too', async () => {
  expect(await reasonsOn(good, 'control-plane')).toEqual([
    '/usr/local/bin/kubectl is not version 1.0.0 of the bundle',
  ])
})

test('a program of somebody else is named', async () => {
  expect(await reasonsOn(good.replace(/(kubelet) \/opt.*/, '$1 /usr/bin/kubelet'))).toEqual([
    '/usr/local/bin/kubelet is not version 1.0.0 of the bundle',
  ])
})

test('a bare machine answers with everything that is absent', async () => {
  const [reason] = await reasonsOn('UnitFileState=\n')
  expect(reason).toContain('/etc/systemd/system/kubelet.service absent')
  expect(reason).toContain('kubelet.service is not enabled')
})
