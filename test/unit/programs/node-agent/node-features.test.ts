import {expect, test} from 'vitest'
import {cpuOf} from '../../../../src/programs/node-agent/node-features.ts'

test('of a CPU counts what programs come to use, not what the kernel tells of itself', () => {
  const x86 =
    'processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu avx2 sse4_2 aes constant_tsc hypervisor ibpb\nbugs\t\t: spectre_v1\n'
  expect(cpuOf(x86)).toEqual({cpuFeatures: ['aes', 'avx2', 'sse4_2'], cpuModel: 'AMD EPYC'})
  const arm = 'processor\t: 0\nFeatures\t: fp asimd sve\nCPU implementer\t: 0x41\n'
  expect(cpuOf(arm)).toEqual({cpuFeatures: ['asimd', 'fp', 'sve'], cpuModel: '0x41'})
})
