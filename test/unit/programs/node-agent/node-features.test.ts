import {writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {withTempFolder} from '../../../support/temp-folder.ts'
import {copyFeaturesOf, cpuOf} from '../../../../src/programs/node-agent/node-features.ts'

test('of a CPU counts what programs come to use, not what the kernel tells of itself', () => {
  const x86 =
    'processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu avx2 sse4_2 aes constant_tsc hypervisor ibpb\nbugs\t\t: spectre_v1\n'
  expect(cpuOf(x86)).toEqual({cpuFeatures: ['aes', 'avx2', 'sse4_2'], cpuModel: 'AMD EPYC'})
  const arm = 'processor\t: 0\nFeatures\t: fp asimd sve\nCPU implementer\t: 0x41\n'
  expect(cpuOf(arm)).toEqual({cpuFeatures: ['asimd', 'fp', 'sve'], cpuModel: '0x41'})
})

test.for([
  ['all of it', {smaps: 'VmFlags: rd mr sd \n', userfaultfd: '0\n', pipe: '4194304\n'}, [true, true]],
  [
    'no tracking of writes',
    {smaps: 'VmFlags: rd mr \n', userfaultfd: '1\n', pipe: '4194304\n'},
    [false, true],
  ],
  ['small pipes', {smaps: 'VmFlags: rd mr sd \n', userfaultfd: '0\n', pipe: '1048576\n'}, [true, false]],
  ['a kernel without userfaultfd', {smaps: '', pipe: '4194304\n'}, [false, false]],
  ['nothing to read', {}, [false, false]],
] as const)('how memory can be copied, of %s', async ([, files, [precopy, postcopy]]) => {
  await withTempFolder(async (folder) => {
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text)
    const place = (name: string): string => join(folder, name)
    const copyFiles = {smaps: place('smaps'), userfaultfd: place('userfaultfd'), pipeMaxSize: place('pipe')}
    expect(await copyFeaturesOf(copyFiles)).toEqual({precopy, postcopy})
  })
})
