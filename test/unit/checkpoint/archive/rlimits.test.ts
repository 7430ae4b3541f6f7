import {expect, test} from 'vitest'
import {rlimitsOf, widerRlimits} from '../../../../src/checkpoint/archive/rlimits.ts'
import {ociSpecSchema} from '../../../../src/checkpoint/archive/oci-spec.ts'
import {image, message, type Fields} from '../../../support/criu-images.ts'
import {SPEC} from '../../../support/kubelet-archive.ts'

const NOFILE = 7
/** A process whose limits are 10 of 10, and its open files 100 of so many. */
function core(hard: number): Uint8Array {
  const limits = Array.from({length: 16}, (_, index): Fields[number] => {
    const own = index === NOFILE ? [100, hard] : [10, 10]
    return [
      1,
      message([
        [1, own[0] ?? 0],
        [2, own[1] ?? 0],
      ]),
    ]
  })
  return image(0x55053847, [
    [
      3,
      message([
        [6, 'app'],
        [8, message(limits)],
      ]),
    ],
  ])
}
const spec = (hard: number | undefined, capabilities: readonly string[] = ['CAP_KILL']) =>
  ociSpecSchema.parse({
    ...SPEC,
    process: {
      ...SPEC.process,
      capabilities: {bounding: capabilities},
      ...(hard === undefined ? {} : {rlimits: [{type: 'RLIMIT_NOFILE', soft: 50, hard}]}),
    },
  })

test.for([
  ['above', 1024, spec(512), 1],
  ['equal, the soft one raised to it', 1024, spec(1024), 0],
  ['not set by the pod', 1024, spec(undefined), 0],
  ['above, and the pod may raise it', 1024, spec(512, ['CAP_SYS_RESOURCE']), 0],
  ['below an unlimited one', 1024, spec(2 ** 64), 0],
] as const)('a hard limit of dumped processes is compared: %s', ([, hard, target, count]) => {
  const images = new Map([
    ['core-1.img', core(100)],
    ['core-7.img', core(hard)],
  ])
  const wider = widerRlimits(rlimitsOf(images), target)
  expect(wider).toHaveLength(count)
  expect(wider.join()).toMatch(count === 0 ? /^$/ : /RLIMIT_NOFILE may be 1024, and the pod's at most 512/)
})
