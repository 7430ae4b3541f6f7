import {expect, test} from 'vitest'
import {artifactsPhase, wantedArtifacts} from '../../../../src/bootstrap/phases/artifacts.ts'
import {storeKey} from '../../../../src/bootstrap/phases/node-store.ts'
import {FakeHost} from '../../../support/fake-host.ts'
import {phaseContext, plannedBundle} from '../../../support/phase-context.ts'

const never = new AbortController().signal
const worker = wantedArtifacts(plannedBundle, 'worker')

const planOn = async (stdout: string) => {
  const host = new FakeHost().on('artifacts/probe.sh', stdout)
  const steps = await artifactsPhase.plan(phaseContext([host]), never)
  return steps.map(({summary, reason}) => ({summary, reason}))
}

const met =
  worker.items.map((item) => `has=${storeKey(item)}\n`).join('') +
  worker.links.map(({path, target}) => `link=${path} ${target}\n`).join('')

test('only control planes get kubectl', () => {
  const names = (role: 'control-plane' | 'worker') =>
    wantedArtifacts(plannedBundle, role).items.map(({name}) => name)
  expect(names('control-plane')).toContain('kubectl')
  expect(names('worker')).not.toContain('kubectl')
})

test('a bare machine gets every file in one upload, then its links', async () => {
  const steps = await planOn('')
  expect(steps.map(({summary}) => summary)).toEqual([
    'copy 11 files of the bundle (11 MB)',
    'link the programs of the bundle',
  ])
  expect(steps[0]?.reason).toContain('not on the node: kubeadm 1.0.0, kubelet 1.0.0')
})

test('a machine that has everything needs nothing', async () => {
  expect(await planOn(met)).toEqual([])
})

test.each([
  [
    'a removed link',
    met.replace(/^link=\/usr\/local\/bin\/kubelet .*\n/m, ''),
    '/usr/local/bin/kubelet absent',
  ],
  [
    'a program of somebody else',
    met.replace(/^link=\/usr\/local\/bin\/runc .*\n/m, 'link=/usr/local/bin/runc (not a link)\n'),
    '/usr/local/bin/runc is (not a link)',
  ],
  [
    'a removed CNI plugin',
    `${met}unlinked=/opt/cni/bin/bridge\n`,
    '/opt/cni/bin/bridge differs from the bundle',
  ],
])('%s is the only thing put right', async (_what, stdout, reason) => {
  expect(await planOn(stdout)).toEqual([{summary: 'link the programs of the bundle', reason}])
})

test('a damaged folder of the store is brought again, and its programs are linked', async () => {
  const steps = await planOn(met.replace(/^has=[0-9a-f]+-cni-plugins\n/m, ''))
  expect(steps.map(({reason}) => reason)).toEqual([
    'not on the node: cni-plugins 1.0.0',
    'copied programs need their links',
  ])
})

test('a bundle without a file that nodes need is named, not passed over', () => {
  const bundle = {...plannedBundle, lock: {...plannedBundle.lock, files: []}}
  expect(() => wantedArtifacts(bundle, 'worker')).toThrow('the bundle /bundles/test has no kubeadm')
})
