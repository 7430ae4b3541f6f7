import {expect, test} from 'vitest'
import {imagesPhase} from '../../../../src/bootstrap/phases/images.ts'
import {FakeHost} from '../../../support/fake-host.ts'
import {phaseContext, plannedBundle} from '../../../support/phase-context.ts'

const never = new AbortController().signal
const PINNED = 'pinned=registry.k8s.io/pause:3.10.1\n'
const all =
  plannedBundle.lock.images
    .map(({reference, manifestDigest}) => `image=${reference} ${manifestDigest}\n`)
    .join('') + PINNED

const planOn = async (role: 'control-plane' | 'worker', stdout: string) => {
  const host = new FakeHost({machine: {role}}).on('images/probe.sh', stdout)
  const steps = await imagesPhase.plan(phaseContext([host]), never)
  return steps.map(({summary, reason}) => `${summary}; ${reason}`)
}

test('a worker without containerd needs the images of its role, in one import', async () => {
  expect(await planOn('worker', '')).toEqual([
    'import 2 images (4 MB); not on the node: registry.k8s.io/kube-proxy:v1.35.4, registry.k8s.io/pause:3.10.1',
  ])
})

test('a control plane with all of them needs none', async () => {
  expect(await planOn('control-plane', all)).toEqual([])
})

test('an image of the right name with another digest is imported again', async () => {
  const other = all.replace(/(pause:3.10.1 sha256:)./, '$1x')
  expect(await planOn('worker', other)).toEqual([
    'import 1 image (2 MB); not on the node: registry.k8s.io/pause:3.10.1',
  ])
})

test('a pause image that the kubelet may remove is brought again, pinned', async () => {
  const [step] = await planOn('worker', all.replace(PINNED, ''))
  expect(step).toContain('registry.k8s.io/pause:3.10.1')
})

test('a containerd that was stopped is not taken for an empty one', async () => {
  expect(await planOn('worker', 'stopped=yes\n')).toEqual([])
})
