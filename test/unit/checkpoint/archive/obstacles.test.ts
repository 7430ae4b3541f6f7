import fc from 'fast-check'
import {expect, test} from 'vitest'
import {heldPaths} from '../../../../src/checkpoint/archive/criu-held.ts'
import {imageContents} from '../../../../src/checkpoint/archive/criu-images.ts'
import {obstaclesOf, storageObstacles} from '../../../../src/checkpoint/archive/obstacles.ts'
import {withoutPacked, type PackedVolume} from '../../../../src/checkpoint/archive/volumes.ts'
import {ociSpecSchema} from '../../../../src/checkpoint/archive/oci-spec.ts'
import {
  image,
  IMAGES,
  imagesHolding,
  message,
  RESET_CONNECTION,
  type Held,
} from '../../../support/criu-images.ts'
import {SPEC} from '../../../support/kubelet-archive.ts'

const VOLUMES = '/var/lib/kubelet/pods/59002284-99ba-40ea-be82-c5dfb31d88b6/volumes'
const bind = (destination: string, source: string) => ({
  destination,
  source,
  type: 'bind',
  options: ['rbind', 'rprivate', 'rw'],
})
const OCI = ociSpecSchema.parse({
  ...SPEC,
  mounts: [
    ...SPEC.mounts,
    bind('/logs', `${VOLUMES}/kubernetes.io~empty-dir/logs`),
    bind('/config', `${VOLUMES}/kubernetes.io~configmap/config`),
    bind('/claim', `${VOLUMES}/kubernetes.io~csi/pvc-1/mount`),
    bind('/host', '/srv/host'),
    bind('/dev/termination-log', '/var/lib/kubelet/pods/59002284/containers/main/0c1f'),
    // The image has a link: /var/run is /run.
    bind(
      '/var/run/secrets/kubernetes.io/serviceaccount',
      `${VOLUMES}/kubernetes.io~projected/kube-api-access-x`,
    ),
    bind('/unknown', '/var/lib/somewhere'),
  ],
})
const TOKEN = '/run/secrets/kubernetes.io/serviceaccount'
const MOUNTS = [
  '/logs',
  '/config',
  '/claim',
  '/host',
  '/dev/shm',
  '/dev/termination-log',
  '/etc/hosts',
  TOKEN,
  '/unknown',
]
const POD = {
  volumes: [
    {name: 'logs', emptyDir: {}},
    {name: 'config', configMap: {name: 'config'}},
    {name: 'data', persistentVolumeClaim: {claimName: 'data'}},
    {name: 'node', hostPath: {path: '/srv/host'}},
  ],
  containers: [
    {
      name: 'main',
      volumeMounts: [
        {name: 'logs', mountPath: '/logs/'},
        {name: 'config', mountPath: '/config'},
        {name: 'data', mountPath: '/claim'},
        {name: 'node', mountPath: '/host'},
      ],
    },
  ],
}

const verdictOf = (held: Held, pod: object = POD): string => {
  const images = new Map(Object.entries(imagesHolding([held], MOUNTS)))
  const found = obstaclesOf('main', heldPaths(images), OCI, pod)
  return found.map(({verdict}) => verdict).join() || 'restored'
}

test.for<[string, Held]>([
  ['restored', {how: 'open', path: '/var/log/app.log', on: '/'}],
  ['restored', {how: 'fifo', path: '/tmp/in', on: '/'}],
  ['Impossible', {how: 'open', path: '/logs/app.log', on: '/logs'}],
  ['Impossible', {how: 'mapped', path: '/logs/data', on: '/logs'}],
  ['Impossible', {how: 'fifo', path: '/logs/in', on: '/logs'}],
  ['Impossible', {how: 'folder', path: '/logs/sub', on: '/logs', mode: 0o40755}],
  ['restored', {how: 'unlinked', path: '/logs/app.log', on: '/logs'}],
  ['restored', {how: 'folder', path: '/logs', on: '/logs', mode: 0o42777}],
  ['Impossible', {how: 'folder', path: '/logs', on: '/logs', mode: 0o40700}],
  ['restored', {how: 'socket', path: '/logs/app.sock', on: '/logs'}],
  ['Impossible', {how: 'socket', path: '/logs/sub/app.sock', on: '/logs'}],
  ['restored', {how: 'accepted', path: '/logs/sub/app.sock', on: '/logs'}],
  ['restored', {how: 'watch', path: '/config', on: '/config'}],
  ['Impossible', {how: 'watch', path: '/logs/sub', on: '/logs'}],
  ['Impossible', {how: 'watch', on: '/'}],
  ['Impossible', {how: 'open', path: '/config/..2026_11_29_21_00_00.1/key', on: '/config'}],
  ['Impossible', {how: 'open', path: `${TOKEN}/..2026_11_29_21_00_00.1/token`, on: TOKEN}],
  ['restored', {how: 'open', path: '/claim/journal', on: '/claim'}],
  ['restored', {how: 'socket', path: '/claim/sub/app.sock', on: '/claim'}],
  ['Unproven', {how: 'open', path: '/host/lib.so', on: '/host'}],
  ['Impossible', {how: 'open', path: '/dev/shm/segment', on: '/dev/shm'}],
  ['restored', {how: 'open', path: '/dev/termination-log', on: '/dev/termination-log', sizeBytes: 0}],
  ['Impossible', {how: 'open', path: '/dev/termination-log', on: '/dev/termination-log'}],
  ['Unproven', {how: 'open', path: '/etc/hosts', on: '/etc/hosts'}],
  ['Unproven', {how: 'open', path: '/unknown/file', on: '/unknown'}],
])('%s: %o', ([verdict, held]) => {
  expect(verdictOf(held)).toBe(verdict)
})

/** A word of an address as it lies in memory. */
const word = (bytes: readonly number[]): number => Buffer.from(bytes).readUInt32LE()
const [TCP, UDP] = [6, 17]
const [ESTABLISHED, CLOSE, LISTEN] = [1, 7, 10]

test.for<[string, string, number, number, number, readonly number[], object]>([
  ['Impossible', 'TCP that listens on the address of the pod', TCP, LISTEN, 8080, [10, 244, 1, 5], POD],
  ['Impossible', 'UDP from the address of the pod', UDP, CLOSE, 40_000, [10, 244, 1, 5], POD],
  ['restored', 'TCP that is connected, which is closed', TCP, ESTABLISHED, 40_000, [10, 244, 1, 5], POD],
  ['restored', 'TCP on all addresses', TCP, LISTEN, 8080, [0, 0, 0, 0], POD],
  ['restored', 'TCP on loopback', TCP, LISTEN, 8080, [127, 0, 0, 2], POD],
  ['Impossible', 'TCP that is bound and not used yet', TCP, CLOSE, 8080, [10, 244, 1, 5], POD],
  ['restored', 'TCP that is not bound yet', TCP, CLOSE, 0, [10, 244, 1, 5], POD],
  [
    'Unproven',
    'TCP on an address of the node',
    TCP,
    LISTEN,
    8080,
    [10, 0, 0, 5],
    {...POD, hostNetwork: true},
  ],
])('%s: %s', ([verdict, , protocol, state, port, bytes, pod]) => {
  const socket = message([
    [3, 2],
    [4, 1],
    [5, protocol],
    [6, state],
    [7, port],
    [8, 0],
    [11, word(bytes)],
  ])
  const files = image(0x56303138, [
    [1, 4],
    [2, 100],
    [4, socket],
  ])
  const images = new Map(Object.entries({...imagesHolding([], MOUNTS), 'files.img': files}))
  const found = obstaclesOf('main', heldPaths(images), OCI, pod)
  expect(found.map((one) => one.verdict).join() || 'restored').toBe(verdict)
})

test('a connection that its peer has reset is no address that is bound, as CRIU dumps it', () => {
  const images = new Map([['files.img', RESET_CONNECTION]])
  expect(imageContents(images).sockets).toMatchObject([
    {local: '0.0.0.0:9000', state: 'LISTEN'},
    {local: '10.99.0.1:9000', remote: expect.stringMatching(/^10\.99\.0\.1:\d+$/) as string, state: 'CLOSE'},
  ])
  expect(obstaclesOf('main', heldPaths(images), OCI, POD)).toEqual([])
})

test('what lies in volumes that come back with their contents is no obstacle any more', () => {
  const held: readonly Held[] = [
    {how: 'open', path: '/logs/app.log', on: '/logs'},
    {how: 'open', path: '/dev/shm/segment', on: '/dev/shm'},
    {how: 'open', path: '/host/lib.so', on: '/host'},
  ]
  const images = new Map(Object.entries(imagesHolding(held, MOUNTS)))
  const found = obstaclesOf('main', heldPaths(images), OCI, POD)
  const sourcesWith = (...packed: readonly PackedVolume[]): readonly string[] =>
    withoutPacked(found, new Set(packed)).map(({source}) => source)
  expect(sourcesWith()).toEqual(['EmptyDir', 'SharedMemory', 'HostPath'])
  expect(sourcesWith('emptydir-logs')).toEqual(['SharedMemory', 'HostPath'])
  expect(sourcesWith('emptydir-other', 'shm')).toEqual(['EmptyDir', 'HostPath'])
  expect(sourcesWith('emptydir-logs', 'shm')).toEqual(['HostPath'])
})

test('an init container may put a file of an emptyDir there again; nobody knows', () => {
  const held: Held = {how: 'open', path: '/logs/app.log', on: '/logs'}
  expect(verdictOf(held, {...POD, initContainers: [{name: 'init'}]})).toBe('Unproven')
})

test.for(['hostPID', 'shareProcessNamespace'])('process ids are not proven to be free with %s', (key) => {
  expect(verdictOf({how: 'open', path: '/tmp/x', on: '/'}, {...POD, [key]: true})).toBe('Unproven')
})

test('the message names process, path, volume and its kind, and what to do', () => {
  const images = new Map(
    Object.entries(imagesHolding([{how: 'open', path: '/logs/app.log', on: '/logs'}], MOUNTS)),
  )
  expect(obstaclesOf('main', heldPaths(images), OCI, POD)).toEqual([
    {
      verdict: 'Impossible',
      container: 'main',
      source: 'EmptyDir',
      volume: 'logs',
      path: '/logs/app.log',
      pid: 7,
      message:
        '/logs/app.log on emptyDir volume logs of container main: process 7 (app) has it open as file descriptor 3, but the contents of the volume are not part of the checkpoint, and a new pod starts with an empty one; use a PersistentVolumeClaim or the file system of the container, or close it in a preCheckpoint hook',
    },
  ])
})

test('each way to hold a path is told', () => {
  const how = (held: Held) =>
    heldPaths(new Map(Object.entries(imagesHolding([held], MOUNTS)))).map(({holder}) => holder?.how)
  expect(how({how: 'mapped', path: '/logs/data', on: '/logs'})).toEqual(['has it mapped'])
  expect(how({how: 'folder', path: '/logs/sub', on: '/logs'})).toEqual(['has it as its working directory'])
  expect(how({how: 'fifo', path: '/logs/in', on: '/logs'})).toEqual(['has it open as file descriptor 3'])
})

test('images that are cut off or made of anything hold nobody up', () => {
  const names = fc.constantFrom(...Object.keys({...IMAGES, ...imagesHolding([], [])}))
  fc.assert(
    fc.property(fc.array(fc.tuple(names, fc.uint8Array({maxLength: 200}))), (images) => {
      heldPaths(new Map([...Object.entries(imagesHolding([], MOUNTS)), ...images]))
    }),
  )
})

const MIB = 1024 * 1024
test.for([
  ['restored', 64, 70],
  ['Unproven', 64, 200],
  ['Impossible', 64, 400],
] as const)(
  'changed files are %s: of a limit of %i MiB they take %i MiB, holes included',
  ([verdict, limit, size]) => {
    const resources = {limits: {'ephemeral-storage': `${limit}Mi`}}
    const pod = {containers: [{name: 'main', resources}, {name: 'free'}]}
    expect(storageObstacles('main', size * MIB, pod)[0]?.verdict ?? 'restored').toBe(verdict)
    expect(storageObstacles('free', size * MIB, pod)).toEqual([])
  },
)
