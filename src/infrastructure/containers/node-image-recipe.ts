import {createHash} from 'node:crypto'
import type {Renderer} from '../../base/renderer.ts'
import type {EngineFile} from './container-engine.ts'

export type NodeOs = 'debian-12' | 'debian-13'

/** Label of a node image, the recipe's hash its value. */
export const NODE_IMAGE_LABEL = 'clouder.dev/node-image'
/** First process of a node, inside the image. */
export const NODE_INIT = '/usr/local/sbin/node-init'

const suites: Readonly<Record<NodeOs, string>> = {'debian-12': 'bookworm', 'debian-13': 'trixie'}

/** An operating system as a cloud image has it: what kubeadm's checks and the CNI expect of a distribution, nothing of Kubernetes. */
const packages = (
  'systemd systemd-sysv dbus openssh-server iproute2 iputils-ping iptables nftables conntrack ethtool socat ipset kmod ' +
  'procps sudo curl ca-certificates python3-minimal'
).split(' ')

/** Units that a container has no hardware, console or privilege for, and timers that would change a node behind our back. */
const maskedUnits = (
  'systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udev-trigger.service ' +
  'systemd-udev-settle.service getty.target console-getty.service getty-static.service systemd-logind.service ' +
  'systemd-timesyncd.service systemd-networkd.service systemd-networkd.socket systemd-networkd-wait-online.service ' +
  'systemd-resolved.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer ' +
  'e2scrub_reap.service fstrim.timer man-db.timer sys-kernel-debug.mount sys-kernel-tracing.mount ' +
  'sys-kernel-config.mount dev-hugepages.mount dev-mqueue.mount systemd-firstboot.service systemd-remount-fs.service ' +
  'systemd-binfmt.service proc-sys-fs-binfmt_misc.automount'
).split(' ')

export interface NodeImageRecipe {
  readonly os: NodeOs
  readonly suite: string
  readonly packages: readonly string[]
  /** Name of the public image that the Dockerfile starts from. */
  readonly base: string
  readonly dockerfile: EngineFile
  /** Turns an installed system into a node image; runs inside it. */
  readonly customise: EngineFile
  readonly nodeInit: EngineFile
  /** Hex sha256 of everything above. */
  readonly hash: string
  /** `clouder-node:<os>-<first 12 of hash>`. */
  readonly tag: string
}

/** How the node image of an operating system is made; equal recipes, equal hash and tag. */
export function nodeImageRecipe(os: NodeOs, renderer: Renderer): NodeImageRecipe {
  const suite = suites[os]
  const base = `debian:${os.replace('debian-', '')}`
  const script = (path: string, name: string) => ({
    path,
    content: renderer.render(name, {maskedUnits}),
    mode: 0o755,
  })
  const recipe = {
    os,
    suite,
    packages,
    base,
    dockerfile: {
      path: 'Dockerfile',
      content: renderer.render('node-image/Dockerfile', {base, packages}),
      mode: 0o644,
    },
    customise: script('customise.sh', 'node-image/customise.sh'),
    nodeInit: script('node-init', 'node-image/node-init.sh'),
  }
  const hash = createHash('sha256').update(JSON.stringify(recipe)).digest('hex')
  return {...recipe, hash, tag: `clouder-node:${os}-${hash.slice(0, 12)}`}
}
