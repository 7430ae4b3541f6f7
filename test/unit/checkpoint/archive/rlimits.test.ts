import {readFile} from 'node:fs/promises'
import fc from 'fast-check'
import {expect, test} from 'vitest'
import {recordsOf} from '../../../../src/checkpoint/archive/criu-images.ts'
import {changedFields} from '../../../../src/checkpoint/archive/protobuf.ts'
import {
  beyondLimits,
  hardLimits,
  limitsOf,
  usedResources,
  withLimits,
  type NewLimits,
} from '../../../../src/checkpoint/archive/rlimits.ts'
import {ociSpecSchema} from '../../../../src/checkpoint/archive/oci-spec.ts'
import {image, message, type Fields} from '../../../support/criu-images.ts'
import {SPEC} from '../../../support/kubelet-archive.ts'

const NOFILE = 7
const UNLIMITED = 2n ** 64n - 1n
/** A process whose limits are 10 of 10, and its open files 100 of so many. */
function core(hard: number | bigint, score?: number, soft: number | bigint = 100): Uint8Array {
  const limits = Array.from({length: 16}, (_, index): Fields[number] => {
    const own = index === NOFILE ? [soft, hard] : [10, 10]
    return [
      1,
      message([
        [1, own[0] ?? 0],
        [2, own[1] ?? 0],
      ]),
    ]
  })
  return image(0x55053847, [
    [1, 62],
    [3, message([[6, 'app'], [8, message(limits)], ...(score === undefined ? [] : [[14, score] as const])])],
    [5, message([[10, message([[3, 1000]])]])],
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
const nofile = (hard: number) => new Map([['RLIMIT_NOFILE', hard]])

/** The limits and scores of images after they were lowered. */
function lowered(images: readonly Uint8Array[], limits: NewLimits) {
  const named = new Map(images.map((bytes, index) => [`core-${index + 1}.img`, bytes]))
  const changed = withLimits(named, limits)
  return [...named].map(([name, bytes]) => {
    const task = recordsOf(name, changed.get(name) ?? bytes)[0]?.message(3)
    const limit = task?.message(8)?.messages(1)[NOFILE]
    return {soft: limit?.number(1), hard: limit?.number(2), score: task?.int32(14)}
  })
}

test.for([
  ['named', spec(512), 512],
  ['not named: that of the node', spec(undefined), 1024],
  ['named above that of the node', spec(4096), 4096],
  ['one that it may raise', spec(512, ['CAP_SYS_RESOURCE']), undefined],
] as const)('the hard limit of a new container is the one %s', ([, of, hard]) => {
  expect(limitsOf(of, nofile(1024)).get('RLIMIT_NOFILE')).toBe(hard)
})

test.for([
  ['a hard limit above', 2048, 100, {soft: 100, hard: 1024}],
  ['a soft limit above', 2048, 2000, {soft: 1024, hard: 1024}],
  ['unlimited ones', UNLIMITED, UNLIMITED, {soft: 1024, hard: 1024}],
  ['equal ones, which stay', 1024, 1024, {soft: 1024, hard: 1024}],
  ['lower ones, which stay', 512, 100, {soft: 100, hard: 512}],
] as const)('limits are lowered, never raised: %s', ([, hard, soft, expected]) => {
  expect(lowered([core(hard, 0, soft)], {rlimits: nofile(1024)})).toMatchObject([expected])
})

test('a limit that is unlimited where it goes is left byte for byte', () => {
  const images = new Map([['core-1.img', core(UNLIMITED, -997, UNLIMITED)]])
  expect(withLimits(images, {rlimits: nofile(2 ** 64), oomScoreAdj: -997}).size).toBe(0)
})

test.for<
  readonly [string, readonly (number | undefined)[], number | undefined, readonly (number | undefined)[]]
>([
  ['protected processes of a pod without that', [-997, -997], 1000, [1000, 1000]],
  ['unprotected ones of a pod with it', [1000, 1000], -997, [-997, -997]],
  ['one that had raised its own', [-997, 500], 100, [100, 500]],
  ['one that had raised its own to less than the container has now', [0, 500], 900, [900, 900]],
  ['none in the image', [undefined, undefined], 300, [300, 300]],
  ['none in the spec', [-5, 3], undefined, [-5, 3]],
])('oom_score_adj is that of the new container: %s', ([, dumped, oomScoreAdj, expected]) => {
  const scores = lowered(
    dumped.map((score) => core(10, score)),
    {rlimits: new Map(), oomScoreAdj},
  ).map(({score}) => score)
  expect(scores).toEqual(expected)
})

test('what is no image of a process is not restored unchanged', () => {
  const good = core(2048)
  for (const bad of [good.subarray(0, -1), Buffer.concat([good, Buffer.alloc(2)]), Buffer.from('none')])
    expect(() => withLimits(new Map([['core-1.img', bad]]), {rlimits: nofile(1)})).toThrow('core-1.img')
})

test('a message whose fields are changed to what they were is the same, whatever it holds', () => {
  const field = fc.tuple(
    fc.integer({min: 1, max: 2000}),
    fc.oneof(fc.maxSafeNat(), fc.uint8Array({maxLength: 300})),
  )
  fc.assert(
    fc.property(fc.array(field), (fields) => {
      const bytes = message(fields)
      const same = Object.fromEntries(
        fields.map(([number]) => [number, (value: Uint8Array | bigint) => value]),
      )
      expect(Buffer.compare(changedFields(bytes, same), bytes)).toBe(0)
    }),
  )
})

test('the limits of a running process are read', async () => {
  const own = hardLimits(await readFile('/proc/self/limits', 'utf8'))
  expect(own.get('RLIMIT_NICE')).toBeGreaterThanOrEqual(0)
  const text = await readFile('/proc/self/limits', 'utf8')
  const set = hardLimits(
    text.replace(/^Max open files.*$/m, 'Max open files            20      65536     files '),
  )
  expect(set.get('RLIMIT_NOFILE')).toBe(65_536)
  expect(() => hardLimits('Max cpu time')).toThrow(RangeError)
})

test('more in use than is allowed is told', () => {
  const images = new Map([
    ['pstree.img', image(0x50273030, [[1, 1]], [[1, 7]])],
    ['ids-1.img', image(0x54432030, [[2, 5]])],
    ['ids-7.img', image(0x54432030, [[2, 6]])],
    ['fdinfo-5.img', image(0x56213732, [[4, 0]])],
    ['fdinfo-6.img', image(0x56213732, [[4, 0]], [[4, 9]])],
    [
      'mm-1.img',
      image(0x57492820, [
        [
          14,
          message([
            [1, 4096],
            [2, 12_288],
          ]),
        ],
        [
          14,
          message([
            [1, 20_480],
            [2, 24_576],
          ]),
        ],
      ]),
    ],
  ])
  const used = usedResources(images)
  expect(used).toEqual({openFiles: 2, addressBytes: 12_288})
  expect(
    beyondLimits(
      used,
      new Map([
        ['RLIMIT_NOFILE', 2],
        ['RLIMIT_AS', 12_288],
      ]),
    ),
  ).toEqual([])
  expect(
    beyondLimits(
      used,
      new Map([
        ['RLIMIT_NOFILE', 1],
        ['RLIMIT_AS', 12_287],
      ]),
    ),
  ).toHaveLength(2)
  expect(beyondLimits(used, new Map())).toEqual([])
})
