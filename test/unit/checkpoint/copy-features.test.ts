import {expect, test} from 'vitest'
import {canServePages, isSupported, tracksWrites} from '../../../src/checkpoint/copy-features.ts'

// Recorded of CRIU 4.2.1 on Linux 6.18 without soft-dirty, and as its source has it for other kernels.
test.for([
  [
    'mem_dirty_track',
    'Warn  (criu/cr-check.c:824): Dirty tracking is OFF. Memory snapshot will not work.',
    false,
  ],
  [
    'mem_dirty_track',
    'Error (criu/tun.c:85): tun: Unable to create tun: No such file or directory\nWarn  (criu/cr-check.c:824): Dirty tracking is OFF. Memory snapshot will not work.',
    false,
  ],
  ['mem_dirty_track', 'mem_dirty_track is supported', true],
  ['uffd-noncoop', 'uffd-noncoop is supported', true],
  ['uffd-noncoop', 'Error (criu/cr-check.c:1225): UFFD is not supported', false],
  ['uffd-noncoop', 'Error (criu/cr-check.c:1238): Non-cooperative UFFD is not supported', false],
  ['uffd-noncoop', 'uffd is supported', false],
  ['lazy_pages', 'Error (criu/cr-check.c:1901): Unknown feature lazy_pages', false],
  [
    'uffd-noncoop',
    'CRIU needs to have the CAP_SYS_ADMIN or the CAP_CHECKPOINT_RESTORE capability: \nsetcap cap_checkpoint_restore+eip criu',
    false,
  ],
  ['uffd-noncoop', "Warn  (criu/kerndat.c:1): Can't load /run/criu.kdat\nuffd-noncoop is supported\n", true],
  ['uffd-noncoop', '', false],
] as const)('%s of %j', ([feature, output, expected]) => {
  expect(isSupported(feature, output)).toBe(expected)
})

test.for([
  ['a pipe of the usual size, and all capabilities', 1_048_576, '000001ffffffffff', true],
  ['a pipe of the usual size, without CAP_SYS_RESOURCE', 1_048_576, '0000003ffeffffff', false],
  ['a large pipe, without CAP_SYS_RESOURCE', 4_194_304, '0000003ffeffffff', true],
  ['a pipe of the usual size, and nothing is known of capabilities', 1_048_576, undefined, false],
  ['what is no set of capabilities', 1_048_576, 'unreadable', false],
  ['CAP_SYS_RESOURCE alone', 0, '1000000', true],
] as const)('%s', ([, pipeMaxBytes, boundingSet, expected]) => {
  const limits = boundingSet === undefined ? {pipeMaxBytes} : {pipeMaxBytes, boundingSet}
  expect(canServePages(limits)).toBe(expected)
})

const smapsOf = (flags: string): string =>
  `7f0000000000-7f0000001000 rw-p 00000000 00:00 0\nSize:                  4 kB\nVmFlags: ${flags}\n`

test('a kernel that tracks writes says so of every area that nobody has cleared', () => {
  // Linux 6.1 of Debian 12, and Linux 6.18 without CONFIG_MEM_SOFT_DIRTY.
  expect(tracksWrites(smapsOf('rd wr mr mw me ac sd '))).toBe(true)
  expect(tracksWrites(smapsOf('rd wr mr mw me ac sd'))).toBe(true)
  expect(tracksWrites(smapsOf('rd wr mr mw me ac '))).toBe(false)
  expect(tracksWrites('')).toBe(false)
})
