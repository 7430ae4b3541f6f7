import {expect, test} from 'vitest'
import {widerThanPod} from '../../../src/checkpoint/pod-privileges.ts'
import type {Privileges} from '../../../src/api/sealed-checkpoint.ts'

/** Of an ordinary container under the runtime's own seccomp filter. */
const ordinary: Privileges = {
  uid: 0,
  gid: 0,
  additionalGids: [0],
  noNewPrivileges: false,
  capabilities: ['CAP_CHOWN', 'CAP_KILL', 'CAP_NET_RAW'],
  seccompSha256: 'ab',
  devices: ['any node c *:* m'],
  readonlyRootfs: false,
  maskedPaths: ['/proc/kcore'],
  readonlyPaths: ['/proc/sys'],
  hostNamespaces: ['user'],
  mounts: [{destination: '/etc/hosts', type: 'bind', readonly: false}],
}
const podOf = (container: object = {}, spec: object = {}) => ({
  ...spec,
  containers: [{name: 'main', ...container}],
})
const secured = (securityContext: object) => podOf({securityContext})

test('an ordinary container goes on in the pod that it was in', () => {
  expect(widerThanPod(ordinary, podOf(), 'main')).toEqual([])
  expect(widerThanPod(ordinary, secured({seccompProfile: {type: 'RuntimeDefault'}}), 'main')).toEqual([])
})

const claimed = {destination: '/claim', type: 'bind', readonly: false, hostPath: '/mnt/volume'}
const hostFolder = {destination: '/logs', type: 'bind', readonly: false, hostPath: '/var/log/app'}
const mountOf = (mount: object, volume: object) =>
  podOf({volumeMounts: [{name: 'v', ...mount}]}, {volumes: [{name: 'v', ...volume}]})

test.for<[string, Partial<Privileges>, object, RegExp | undefined]>([
  ['a capability', {capabilities: ['CAP_NET_ADMIN']}, podOf(), /CAP_NET_ADMIN/],
  [
    'one that the pod adds',
    {capabilities: ['CAP_NET_ADMIN']},
    secured({capabilities: {add: ['NET_ADMIN']}}),
    undefined,
  ],
  ['one that the pod drops', {}, secured({capabilities: {drop: ['NET_RAW']}}), /CAP_NET_RAW/],
  [
    'all that the pod drops',
    {},
    secured({capabilities: {drop: ['ALL'], add: ['CHOWN', 'KILL']}}),
    /^they have CAP_NET_RAW/,
  ],
  ['all that the pod adds', {capabilities: ['CAP_BPF']}, secured({capabilities: {add: ['ALL']}}), undefined],
  [
    'anything in a privileged pod',
    {capabilities: ['CAP_BPF'], devices: ['any node a *:* rwm'], maskedPaths: []},
    secured({privileged: true}),
    undefined,
  ],
  ['every device', {devices: ['any node a *:* rwm']}, podOf(), /any node a/],
  ['a device', {devices: ['/dev/fuse c 10:229']}, podOf(), /\/dev\/fuse/],
  ['all of /proc', {maskedPaths: []}, podOf(), /\/proc/],
  ['all of /proc where the pod may', {maskedPaths: []}, secured({procMount: 'Unmasked'}), undefined],
  ['root', {}, secured({runAsNonRoot: true}), /as root/],
  ['root, by the pod', {}, podOf({}, {securityContext: {runAsNonRoot: true}}), /as root/],
  ['another user', {uid: 7}, secured({runAsUser: 1000}), /user 7.* user 1000/],
  ['another group', {uid: 7, gid: 7}, secured({runAsUser: 7, runAsGroup: 8}), /group 7.* group 8/],
  ['anybody in a pod of root', {uid: 7}, secured({runAsUser: 0}), undefined],
  ['set-user-ID programs', {}, secured({allowPrivilegeEscalation: false}), /allowPrivilegeEscalation/],
  ['its root file system', {}, secured({readOnlyRootFilesystem: true}), /root file system/],
  [
    'every system call',
    {seccompSha256: ''},
    secured({seccompProfile: {type: 'RuntimeDefault'}}),
    /without a seccomp filter/,
  ],
  [
    'every system call where the pod may',
    {seccompSha256: ''},
    secured({seccompProfile: {type: 'Unconfined'}}),
    undefined,
  ],
  ["the host's users", {}, podOf({}, {hostUsers: false}), /user namespace/],
  ["the host's network", {hostNamespaces: ['network', 'uts']}, podOf(), /network namespace/],
  [
    "the host's network with the pod",
    {hostNamespaces: ['network', 'uts']},
    podOf({}, {hostNetwork: true}),
    undefined,
  ],
  ['a folder of the host', {mounts: [hostFolder]}, podOf(), /\/var\/log\/app of the host at \/logs/],
  [
    'the same folder',
    {mounts: [hostFolder]},
    mountOf({mountPath: '/logs/'}, {hostPath: {path: '/var/log'}}),
    undefined,
  ],
  [
    'another folder',
    {mounts: [hostFolder]},
    mountOf({mountPath: '/logs'}, {hostPath: {path: '/var/lo'}}),
    /of the host/,
  ],
  [
    'a folder to write to',
    {mounts: [hostFolder]},
    mountOf({mountPath: '/logs', readOnly: true}, {hostPath: {path: '/var/log'}}),
    /may write to the mount/,
  ],
  [
    'what a claim is on',
    {mounts: [claimed]},
    mountOf({mountPath: '/claim'}, {persistentVolumeClaim: {claimName: 'c'}}),
    undefined,
  ],
])('processes with %s', ([, more, pod, problem]) => {
  const {seccompSha256 = '', ...rest} = {...ordinary, ...more}
  const dumped = {...rest, ...(seccompSha256 === '' ? {} : {seccompSha256})}
  const wider = widerThanPod(dumped, pod, 'main').join('; ')
  if (problem === undefined) expect(wider).toBe('')
  else expect(wider).toMatch(problem)
})
