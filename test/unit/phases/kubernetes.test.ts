import {expect, test} from 'vitest'
import {kubernetesPhase} from '../../../src/phases/kubernetes.ts'
import {FakeHost} from '../../support/fake-host.ts'
import {fileLines, phaseContext, renderer} from '../../support/phase-context.ts'

const never = new AbortController().signal
const files = [
  {
    path: '/etc/systemd/system/kubelet.service',
    content: renderer.render('kubernetes/kubelet.service', {}),
    mode: 0o644,
  },
  {
    path: '/etc/systemd/system/kubelet.service.d/10-kubeadm.conf',
    content: renderer.render('kubernetes/10-kubeadm.conf', {}),
    mode: 0o644,
  },
]
const good =
  fileLines(files) +
  'folder=/etc/kubernetes\nfolder=/etc/kubernetes/manifests\nfolder=/var/lib/kubelet\n' +
  'UnitFileState=enabled\nNeedDaemonReload=no\n' +
  'version=kubeadm v1.35.4\nversion=kubelet v1.35.4\n'

const reasonsOn = async (stdout: string, role: 'control-plane' | 'worker' = 'worker') => {
  const host = new FakeHost({machine: {role}}).on('kubernetes/probe.sh', stdout)
  return (await kubernetesPhase.plan(phaseContext([host]), never)).map(({reason}) => reason)
}

test('a worker with unit and versions as wanted needs nothing', async () => {
  expect(await reasonsOn(good)).toEqual([])
})

test('a control plane needs kubectl too', async () => {
  expect(await reasonsOn(good, 'control-plane')).toEqual(['kubectl is absent, v1.35.4 is wanted'])
})

test('another version than the one asked for is named', async () => {
  expect(await reasonsOn(good.replace('kubelet v1.35.4', 'kubelet v1.34.4'))).toEqual([
    'kubelet is v1.34.4, v1.35.4 is wanted',
  ])
})

test('a bare machine answers with everything that is absent', async () => {
  const [reason] = await reasonsOn('UnitFileState=\n')
  expect(reason).toContain('/etc/systemd/system/kubelet.service absent')
  expect(reason).toContain('kubelet.service is not enabled')
})
