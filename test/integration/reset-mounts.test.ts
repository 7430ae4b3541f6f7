import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {join} from 'node:path'
import {text} from 'node:stream/consumers'
import {expect, test, type TestContext} from 'vitest'
import {createRenderer} from '../../src/bootstrap/templating/render.ts'

const renderer = createRenderer(join(import.meta.dirname, '../../templates'))
const reset = (keepCheckpoints: boolean): string =>
  renderer.render('kubeadm/reset.sh', {criSocket: 'unix:///run/containerd/containerd.sock', keepCheckpoints})
const uninstall = renderer.render('kubeadm/uninstall.sh', {})

/** A root of its own in a namespace of its own: the programs of this machine, and nothing else of it can be reached. */
const PRIVATE_ROOT = String.raw`set -euo pipefail
mount --make-rprivate /
mount -t tmpfs none /mnt
cd /mnt
mkdir -p usr proc dev tmp var/lib run etc root opt programs data
for dir in usr proc dev; do mount --rbind "/$dir" "$dir"; done
for link in bin sbin lib lib64; do if [ -L "/$link" ]; then cp -a "/$link" .; fi; done
printf '#!/bin/bash\necho "${'$'}{0##*/} $1" >> /ran\n' > programs/kubeadm
chmod +x programs/kubeadm
for name in systemctl ip pkill {iptables,ip6tables}-{save,restore}; do ln -s kubeadm "programs/$name"; done
export PATH=/programs:/usr/sbin:/usr/bin
exec chroot . /bin/bash -c "$SCENE"
`

/** A node with memory of processes on it, and places for volumes, one with a space and one with a line end in it. */
const NODE = String.raw`exec 2>&1
pods=/var/lib/kubelet/pods
space="$pods/a/my volume"
line="$pods/"$'b\nc'/volume
mkdir -p "$space" "$line" /var/lib/clouder/{dumps,restore,store} /var/lib/kubelet/checkpoints /var/lib/{etcd,containerd}
for dir in /var/lib/clouder/{dumps,restore,store} /var/lib/kubelet/checkpoints; do echo memory > $dir/archive; done
echo precious > /data/file
run() { bash -c "$SCRIPT" && echo done || echo stopped; }
`

/** What the scene printed. */
async function play(context: TestContext, script: string, scene: string): Promise<readonly string[]> {
  const flag = process.getuid?.() === 0 ? '-m' : '-rm'
  const child = spawn('unshare', [flag, 'bash', '-c', PRIVATE_ROOT], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {PATH: process.env['PATH'], SCENE: `${NODE}${scene}`, SCRIPT: script},
  })
  const [out, problems] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  if (/^unshare: /m.test(problems) && process.env['CLOUDER_REQUIRE_E2E'] !== '1')
    return context.skip(`no mounts can be made here: ${problems.trim()}`)
  expect(problems).toBe('')
  return out.trimEnd().split('\n')
}

test.for<readonly [string, string]>([
  ['reset', reset(false)],
  ['uninstall', uninstall],
])('%s names a mount that is in use and who uses it, and deletes nothing', async ([, script], context) => {
  const lines = await play(
    context,
    script,
    String.raw`
mount --bind /data "$space"
mount -t tmpfs none "$line"
mount --bind /data "$line/../"
sleep 1000 9< "$space/file" &
holder=$!
echo "holder $holder"
run
ls /var/lib/clouder/store /data
grep -c kubeadm /ran
kill "$holder"; wait "$holder" 2>/dev/null
run
cat /data/file
find /var/lib -path '*/kubelet/*' -type f
`,
  )
  const holder = /\d+/.exec(lines[0] ?? '')?.[0] ?? ''
  expect(lines.slice(1, 6)).toEqual([
    `/var/lib/kubelet/pods/a/my\\ volume is still mounted and used by sleep (${holder})`,
    'nothing was deleted: unmount what is named above, or end who uses it, and run the same command again',
    'stopped',
    '/data:',
    'file',
  ])
  expect(lines).toContain('archive')
  expect(lines.slice(-2)).toEqual(['done', 'precious'])
})

test.for<readonly [string, string, string]>([
  ['reset', '/var/lib/etcd/backup', reset(false)],
  ['reset', '/var/lib/clouder/nfs', reset(false)],
  ['uninstall', '/var/lib/clouder/store/shared', uninstall],
  ['uninstall', '/opt/clouder/mine', uninstall],
])('%s leaves what somebody mounted at %s', async ([, path, script], context) => {
  const lines = await play(
    context,
    script,
    `mkdir -p ${path}\nmount --bind /data ${path}\nrun\ncat /data/file ${path}/file\n`,
  )
  expect(lines).toEqual([
    `${path} is still mounted`,
    expect.stringMatching(/^nothing was deleted/),
    'stopped',
    'precious',
    'precious',
  ])
})

test('what is mounted over and over, and in each other, is unmounted from the deepest', async (context) => {
  const scene = String.raw`
mount -t tmpfs none "$line"
mkdir "$line/in"
mount --bind /data "$line/in"
mount -t tmpfs none "$space"
mount --bind /data "$space"
run
cat /data/file
grep -c /var/lib/kubelet/ /proc/self/mountinfo
`
  expect(await play(context, reset(false), scene)).toEqual(['done', 'precious', '0'])
})

test('what is mounted behind a link to another disk is found, however deep', async (context) => {
  const scene = String.raw`
mkdir /disk
mv /var/lib/kubelet /disk/kubelet
ln -s /disk/kubelet /var/lib/kubelet
deep=/disk/kubelet/pods
for name in 1 2 3 4 5; do
  deep="$deep/$name"
  mkdir -p "$deep"
  mount -t tmpfs none "$deep"
done
mkdir "$deep/data"
mount --bind /data "$deep/data"
run
cat /data/file
grep -c /disk/kubelet/ /proc/self/mountinfo
`
  expect(await play(context, reset(false), scene)).toEqual(['done', 'precious', '0'])
})

test('a disk of its own for etcd and the kubelet is emptied and stays mounted', async (context) => {
  const scene = String.raw`
for dir in etcd kubelet; do mount -t tmpfs none /var/lib/$dir; mkdir /var/lib/$dir/member; done
run
find /var/lib/etcd /var/lib/kubelet
`
  expect(await play(context, uninstall, scene)).toEqual(['done', '/var/lib/etcd', '/var/lib/kubelet'])
})

test.for<readonly [boolean, readonly string[]]>([
  [false, []],
  [true, ['/var/lib/clouder/store/archive']],
])('memory of processes does not outlive a reset; checkpoints kept: %s', async ([keep, kept], context) => {
  const scene =
    'mkdir -p /run/clouder/restored\necho 1 > /run/clouder/restored/id\nrun\nfind /var/lib/clouder /var/lib/kubelet/checkpoints /run/clouder -type f\n'
  expect(await play(context, reset(keep), scene)).toEqual(['done', ...kept])
})

const UNIT = String.raw`
mkdir -p /etc/systemd/system /var/lib/containerd/content /run/containerd /etc/containerd
echo "# Written by clouder." > /etc/systemd/system/containerd.service
touch /var/lib/containerd/content/layer /etc/containerd/config.toml
stub() { rm -f "/programs/$1"; printf '#!/bin/bash\n%s\n' "$2" > "/programs/$1"; chmod +x "/programs/$1"; }
unit_is() { stub systemctl '[ "$1 $4" = "show containerd" ] && echo '"$1"'; exit 0'; }
unit_is /etc/systemd/system/containerd.service
`
const KEPT = 'ls /var/lib/containerd/content /etc/containerd /etc/systemd/system\n'

test.for<readonly [string, string, string]>([
  [
    'a container that runs',
    'mkdir -p {/run,/var/lib}/containerd/io.containerd.runtime.v2.task/{moby,k8s.io}/one',
    'namespace moby has container one',
  ],
  [
    'an image',
    String.raw`touch /run/containerd/containerd.sock
stub ctr 'case "$*" in "namespaces list -q") echo moby; echo k8s.io;; "-n moby images list -q") echo one; echo two;; "-n k8s.io"*) echo pause;; esac'`,
    'namespace moby has 2 images',
  ],
])('uninstall leaves a containerd in which others have %s', async ([, others, told], context) => {
  expect(await play(context, uninstall, `${UNIT}${others}\nrun\n${KEPT}`)).toEqual([
    'containerd is used by others than Kubernetes:',
    told,
    expect.stringMatching(/^nothing of it was deleted: /),
    'stopped',
    ...['/etc/containerd:', 'config.toml', '', '/etc/systemd/system:', 'containerd.service', ''],
    ...['/var/lib/containerd/content:', 'layer'],
  ])
})

test.for<readonly [string, string]>([
  ['that came with another unit', 'unit_is /usr/lib/systemd/system/containerd.service'],
  ['whose unit somebody wrote', 'echo "[Unit]" > /etc/systemd/system/containerd.service'],
])('uninstall leaves a containerd %s', async ([, change], context) => {
  const lines = await play(context, uninstall, `${UNIT}${change}\nrun\n${KEPT}`)
  expect(lines[0]).toBe('done')
  expect(lines).toEqual(expect.arrayContaining(['config.toml', 'containerd.service', 'layer']))
})

test('uninstall removes a containerd of its own with nothing but pods in it', async (context) => {
  const pods = 'mkdir -p /run/containerd/io.containerd.runtime.v2.task/k8s.io/one'
  expect(
    await play(
      context,
      uninstall,
      `${UNIT}${pods}\nrun\nfind /var/lib/containerd /run/containerd 2>/dev/null`,
    ),
  ).toEqual(['done'])
})
