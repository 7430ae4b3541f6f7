import fc from 'fast-check'
import {expect, test} from 'vitest'
import {ociSpecSchema} from '../../../../src/checkpoint/archive/oci-spec.ts'
import {privilegesOf, widerThan} from '../../../../src/checkpoint/archive/privileges.ts'
import {privilegesSchema, type Privileges} from '../../../../src/api/sealed-checkpoint.ts'
import {SPEC} from '../../../support/kubelet-archive.ts'
import {ORDINARY} from '../../../support/sealed-checkpoint.ts'

const names = fc.array(fc.stringMatching(/^[A-Z]{1,3}$/))
const paths = fc.array(fc.stringMatching(/^\/[a-c]{1,2}$/))
const ids = fc.integer({min: 0, max: 3})
const privileges: fc.Arbitrary<Privileges> = fc.record(
  {
    uid: ids,
    gid: ids,
    additionalGids: fc.array(ids),
    noNewPrivileges: fc.boolean(),
    capabilities: names.map((list) => list.map((name) => `CAP_${name}`)),
    seccompSha256: fc.constantFrom('a', 'b'),
    apparmorProfile: fc.constantFrom('runtime/default', 'other'),
    selinuxLabel: fc.constantFrom('system_u:system_r:container_t:s0:c1,c2', 'system_u:system_r:spc_t:s0'),
    devices: names,
    readonlyRootfs: fc.boolean(),
    maskedPaths: paths,
    readonlyPaths: paths,
    hostNamespaces: fc.subarray(['ipc', 'network', 'pid']),
    mounts: fc.uniqueArray(
      fc.record(
        {
          destination: fc.stringMatching(/^\/[a-c]{1,2}$/),
          type: fc.constant('bind'),
          readonly: fc.boolean(),
          hostPath: fc.constantFrom('/', '/etc'),
        },
        {requiredKeys: ['destination', 'type', 'readonly']},
      ),
      {selector: ({destination}) => destination},
    ),
  },
  {
    requiredKeys: [
      'uid',
      'gid',
      'additionalGids',
      'noNewPrivileges',
      'capabilities',
      'devices',
      'readonlyRootfs',
      'maskedPaths',
      'readonlyPaths',
      'hostNamespaces',
      'mounts',
    ],
  },
)

test('nothing may do more than it may itself', () => {
  fc.assert(
    fc.property(privileges, (some) => {
      expect(widerThan(some, some)).toEqual([])
    }),
  )
})

test('a capability that the pod lacks is always found', () => {
  fc.assert(
    fc.property(privileges, privileges, (dumped, target) => {
      const more = {...dumped, capabilities: [...dumped.capabilities, 'CAP_SYS_ADMIN']}
      expect(widerThan(more, target)).toContain('they have CAP_SYS_ADMIN, which the pod does not get')
    }),
  )
})

const WIDER: readonly (readonly [string, Partial<Privileges>, RegExp])[] = [
  ['root', {uid: 0}, /run as user 0, and the pod as user 1000/],
  ['another user', {uid: 1001}, /run as user 1001/],
  ['a further group', {additionalGids: [1000, 999]}, /in group 999/],
  ['set-user-ID programs', {noNewPrivileges: false}, /allowPrivilegeEscalation/],
  ['another seccomp filter', {seccompSha256: 'b'.repeat(64)}, /another seccomp filter/],
  ['a device', {devices: ['/dev/fuse c 10:229']}, /\/dev\/fuse c 10:229/],
  ['a writable root', {readonlyRootfs: false}, /write to their root file system/],
  ['a path that is hidden', {maskedPaths: []}, /see \/proc\/kcore/],
  ['a path that is read-only', {readonlyPaths: []}, /write to \/proc\/sys/],
  ["the host's network", {hostNamespaces: ['network']}, /host's network namespace/],
  [
    "the host's files",
    {mounts: [{destination: '/data', type: 'bind', readonly: false, hostPath: '/etc'}]},
    /\/etc of the host at \/data/,
  ],
  ['a further mount', {mounts: [{destination: '/x', type: 'bind', readonly: true}]}, /mount at \/x/],
]
test.each(WIDER)('%s is more than the pod may', (_, change, sentence) => {
  const found = widerThan({...ORDINARY, ...change}, ORDINARY)
  expect(found).toHaveLength(1)
  expect(found[0]).toMatch(sentence)
})

test('without a seccomp filter is more than with one, and not the other way round', () => {
  const {seccompSha256, ...unconfined} = ORDINARY
  expect(seccompSha256).toBeDefined()
  expect(widerThan(unconfined, ORDINARY)).toEqual([
    'they run without a seccomp filter, and the pod has one of its own',
  ])
  expect(widerThan(ORDINARY, unconfined)).toEqual([])
})

test('a mount that the pod may only read is found', () => {
  const readonly = {...ORDINARY, mounts: [{destination: '/data', type: 'bind', readonly: true}]}
  expect(widerThan(ORDINARY, readonly)).toEqual(['they may write to the mount at /data, and the pod may not'])
  expect(widerThan(readonly, ORDINARY)).toEqual([])
})

test('an SELinux label differs by its type, not by the level that is of each pod its own', () => {
  const labelled = (selinuxLabel: string) => ({...ORDINARY, selinuxLabel})
  const pod = labelled('system_u:system_r:container_t:s0:c1,c2')
  expect(widerThan(labelled('system_u:system_r:container_t:s0:c8,c9'), pod)).toEqual([])
  expect(widerThan(labelled('system_u:system_r:spc_t:s0'), pod)).toHaveLength(1)
})

test('a runtime spec tells what its processes may do', () => {
  const found = privilegesOf(ociSpecSchema.parse(SPEC))
  expect(privilegesSchema.parse(found)).toMatchObject({
    uid: 0,
    noNewPrivileges: false,
    capabilities: ['CAP_CHOWN', 'CAP_KILL'],
    devices: [],
    readonlyRootfs: false,
    maskedPaths: ['/proc/kcore'],
    hostNamespaces: ['user'],
    mounts: [
      {destination: '/proc', type: 'proc', readonly: false},
      {destination: '/etc/hosts', type: 'bind', readonly: false},
      {destination: '/dev/shm', type: 'bind', readonly: false},
    ],
  })
  expect(found.seccompSha256).toMatch(/^[0-9a-f]{64}$/)
})

test("the host's network of a pod is not in its containers' specs, and told by the pod's", () => {
  const {hostNamespaces} = privilegesOf(ociSpecSchema.parse(SPEC), {hostNetwork: true, hostPID: true})
  expect(hostNamespaces).toEqual(['network', 'pid', 'user', 'uts'])
})

test('a hostPath, devices and all devices of a privileged container are privileges', () => {
  const spec = ociSpecSchema.parse({
    ...SPEC,
    mounts: [{destination: '/host', type: 'bind', source: '/etc', options: ['rbind', 'ro']}],
    linux: {
      ...SPEC.linux,
      devices: [
        {path: '/dev/null', type: 'c', major: 1, minor: 3},
        {path: '/dev/fuse', type: 'c', major: 10, minor: 229},
      ],
      resources: {devices: [{allow: true, access: 'rwm'}]},
    },
  })
  expect(privilegesOf(spec)).toMatchObject({
    devices: ['/dev/fuse c 10:229', 'any node a *:* rwm'],
    mounts: [{destination: '/host', type: 'bind', readonly: true, hostPath: '/etc'}],
  })
})

test('a seccomp section written in another order is the same', () => {
  const {defaultAction, architectures} = SPEC.linux.seccomp
  const turned = {...SPEC, linux: {...SPEC.linux, seccomp: {architectures, defaultAction}}}
  const digest = (spec: unknown) => privilegesOf(ociSpecSchema.parse(spec)).seccompSha256
  expect(digest(turned)).toBe(digest(SPEC))
})
