import {pack} from 'tar-stream'

/** A runtime spec of an ordinary pod's container, as containerd 2.3 writes it, shortened. */
export const SPEC = {
  ociVersion: '1.3.0',
  process: {
    user: {uid: 0, gid: 0, additionalGids: [0]},
    args: ['/smoke', 'serve'],
    cwd: '/',
    capabilities: {bounding: ['CAP_CHOWN', 'CAP_KILL'], effective: ['CAP_KILL'], permitted: ['CAP_KILL']},
    oomScoreAdj: 1000,
  },
  root: {path: 'rootfs'},
  mounts: [
    {destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev']},
    {
      destination: '/etc/hosts',
      type: 'bind',
      source: '/var/lib/kubelet/pods/59002284-99ba-40ea-be82-c5dfb31d88b6/etc-hosts',
      options: ['rbind', 'rprivate', 'rw'],
    },
    {
      destination: '/dev/shm',
      type: 'bind',
      source: '/run/containerd/io.containerd.grpc.v1.cri/sandboxes/ac951c/shm',
      options: ['rbind', 'rprivate', 'rw'],
    },
  ],
  annotations: {'io.kubernetes.cri.container-name': 'smoke'},
  linux: {
    resources: {devices: [{allow: false, access: 'rwm'}], memory: {}, cpu: {shares: 2}},
    namespaces: [
      {type: 'pid'},
      {type: 'ipc', path: '/proc/1603/ns/ipc'},
      {type: 'uts', path: '/proc/1603/ns/uts'},
      {type: 'mount'},
      {type: 'network', path: '/proc/1603/ns/net'},
    ],
    seccomp: {defaultAction: 'SCMP_ACT_ERRNO', architectures: ['SCMP_ARCH_X86_64']},
    maskedPaths: ['/proc/kcore'],
    readonlyPaths: ['/proc/sys'],
  },
}

/** The members of a kubelet's archive, but for CRIU's images. */
export const MEMBERS: Readonly<Record<string, string | Uint8Array>> = {
  'config.dump': JSON.stringify({
    id: '993419b95dbc',
    rootfsImageName: 'clouder.dev/smoke:1',
    rootfsImageRef: `sha256:${'ad'.repeat(32)}`,
  }),
  'spec.dump': JSON.stringify(SPEC),
  'status.dump': JSON.stringify({metadata: {name: 'smoke'}, state: 1}),
  'dump.log': '(00.000000) Dumping finished successfully\n',
}

export type Member = {
  readonly name: string
  readonly type?: 'symlink' | 'link' | 'character-device' | 'directory'
}

/** A tar of these files, and of members that are not files. */
export async function tarOf(
  files: Readonly<Record<string, string | Uint8Array>>,
  besides: readonly Member[] = [],
): Promise<Buffer> {
  const archive = pack()
  const bytes = bytesOf(archive)
  for (const {name, type} of besides) archive.entry({name, type: type ?? 'file', linkname: '/etc/passwd'}, '')
  for (const [name, content] of Object.entries(files)) {
    archive.entry({name, mode: 0o644, mtime: new Date(0)}, Buffer.from(content))
  }
  archive.finalize()
  return bytes
}

async function bytesOf(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const part of stream) if (part instanceof Uint8Array) parts.push(part)
  return Buffer.concat(parts)
}
