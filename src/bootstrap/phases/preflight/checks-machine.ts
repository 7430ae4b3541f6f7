import {eachHost, eachNewHost, isControlPlane, type Check, type CheckedHost, type Problem} from './check.ts'

const SUPPORTED: Readonly<Record<string, readonly string[]>> = {
  debian: ['12', '13'],
  ubuntu: ['22.04', '24.04'],
}
const SUPPORTED_TEXT = 'Debian 12 or 13, Ubuntu 22.04 or 24.04'

const factsOf = (host: CheckedHost) => host.reader.facts
const onHost = (host: CheckedHost, command: string): string => `on ${host.reader.name}: ${command}`

const operatingSystem: Check = {
  name: 'OperatingSystem',
  title: `the operating system is ${SUPPORTED_TEXT}`,
  run: eachHost((host) => {
    const {osId, osVersion, osPrettyName} = factsOf(host)
    if (SUPPORTED[osId]?.includes(osVersion) === true) return []
    return [
      {
        problem: `${osPrettyName || `${osId} ${osVersion}`} is not supported`,
        fix: `install ${SUPPORTED_TEXT} on ${host.reader.name}`,
      },
    ]
  }),
}

const architecture: Check = {
  name: 'Architecture',
  title: 'the architecture is amd64 or arm64',
  run: eachHost((host) => {
    const {arch} = factsOf(host)
    if (arch === 'amd64' || arch === 'arm64') return []
    return [
      {
        problem: `architecture ${arch} is not supported`,
        fix: `replace ${host.reader.name} with an amd64 or arm64 machine`,
      },
    ]
  }),
}

const initSystem: Check = {
  name: 'InitSystem',
  title: 'systemd runs the machine',
  run: eachHost((host) =>
    factsOf(host).systemd
      ? []
      : [{problem: 'systemd is not running', fix: onHost(host, 'apt-get install systemd-sysv && reboot')}],
  ),
}

const sudo: Check = {
  name: 'Sudo',
  title: 'commands run as root',
  run: eachHost((host) => {
    const {uid} = host.observed
    if (uid === '0') return []
    const {user} = host.reader.machine.ssh
    return [
      {
        problem: `commands of ${user} run as UID ${uid ?? 'unknown'}, not as root`,
        fix: onHost(host, `echo '${user} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/${user}`),
      },
    ]
  }),
}

const apiForwarding: Check = {
  name: 'ApiForwarding',
  title: 'sshd of control planes forwards connections to the API server',
  run: eachHost((host) => {
    if (!isControlPlane(host) || factsOf(host).apiForwarded) return []
    return [
      {
        // It works all the same, by a command that carries each connection.
        severity: 'warning',
        problem:
          'sshd does not forward to 127.0.0.1:6443 (AllowTcpForwarding, DisableForwarding or PermitOpen): connections to the API server are relayed through commands, which is slower',
        fix: onHost(
          host,
          'set AllowTcpForwarding local and, where PermitOpen is set, PermitOpen 127.0.0.1:6443 in /etc/ssh/sshd_config, then systemctl reload ssh; the key must have neither restrict nor no-port-forwarding in authorized_keys',
        ),
      },
    ]
  }),
}

const kernelVersion: Check = {
  name: 'KernelVersion',
  title: 'the kernel is 5.10 or newer',
  run: eachHost((host) => {
    const {kernel} = factsOf(host)
    const [major = 0, minor = 0] = kernel.split(/[.-]/).map(Number)
    if (major > 5 || (major === 5 && minor >= 10)) return []
    return [
      {
        problem: `kernel ${kernel} is older than 5.10`,
        fix: onHost(host, `apt-get install linux-image-${factsOf(host).arch} && reboot`),
      },
    ]
  }),
}

const kernelModules: Check = {
  name: 'KernelModules',
  title: 'overlay, br_netfilter and, for flannel, vxlan are available',
  run: eachHost((host, spec) => {
    const wanted = ['overlay', 'br_netfilter', ...(spec.network.cni === 'flannel' ? ['vxlan'] : [])]
    const {container, kernel} = factsOf(host)
    return wanted
      .filter((module) => !host.observed.modules.includes(module))
      .map((module): Problem =>
        container
          ? {
              // Inside a container modules of the machine around it cannot be seen for sure.
              severity: 'warning',
              problem: `kernel module ${module} is not available`,
              fix: `on the machine that runs ${host.reader.name}:  modprobe ${module}`,
            }
          : {
              problem: `kernel ${kernel} has no module ${module}`,
              fix: onHost(host, `apt-get install linux-modules-extra-$(uname -r); modprobe ${module}`),
            },
      )
  }),
}

const cgroupVersion: Check = {
  name: 'CgroupVersion',
  title: 'cgroup v2 is in use, with the controllers cpu, cpuset, memory and pids',
  run: eachHost((host) => {
    const {container, cgroupVersion: version} = factsOf(host)
    const fix = onHost(
      host,
      `add systemd.unified_cgroup_hierarchy=1 to GRUB_CMDLINE_LINUX in /etc/default/grub, update-grub && reboot`,
    )
    if (version === 1) {
      // A container takes what the machine around it has; the kubelet is told so.
      if (container) return []
      return [{problem: 'cgroup v1 is in use, which the kubelet does not support from 1.35 on', fix}]
    }
    const there = host.observed.controllers ?? []
    const missing = ['cpu', 'cpuset', 'memory', 'pids'].filter((name) => !there.includes(name))
    return missing.length === 0
      ? []
      : [{problem: `cgroup controllers are missing: ${missing.join(', ')}`, fix}]
  }),
}

const cpu: Check = {
  name: 'CPU',
  title: 'control planes have 2 CPUs',
  run: eachHost((host) => {
    const {cpus} = factsOf(host)
    if (!isControlPlane(host) || cpus >= 2) return []
    return [{problem: `${cpus} CPU, a control plane needs 2`, fix: `give ${host.reader.name} 2 CPUs or more`}]
  }),
}

const memory: Check = {
  name: 'Memory',
  title: 'control planes have 1700 MiB of memory, workers 700 MiB',
  run: eachHost((host) => {
    const wantedMiB = isControlPlane(host) ? 1700 : 700
    const {memoryMiB} = factsOf(host)
    if (memoryMiB >= wantedMiB) return []
    return [
      {
        problem: `${memoryMiB} MiB of memory, ${wantedMiB} MiB are required`,
        fix: `give ${host.reader.name} ${wantedMiB} MiB or more`,
      },
    ]
  }),
}

/** Free MiB before an install, and what a running node must keep. */
const FREE_MIB: Readonly<Record<string, {install: number; running: number}>> = {
  '/opt': {install: 1024, running: 64},
  '/var/lib': {install: 4096, running: 512},
}

/** By its defaults the kubelet takes no more pods below this (`imagefs.available`). */
const FREE_SHARE = 0.15

const disk: Check = {
  name: 'Disk',
  title: 'there is enough disk space in /opt and /var/lib, also for the kubelet to accept pods',
  run: eachHost((host) =>
    Object.entries(FREE_MIB).flatMap(([path, wanted]) => {
      const room = host.observed.disks.get(path)
      if (room === undefined) return []
      const {freeMiB, sizeMiB} = room
      const hasShare = path === '/var/lib' && !factsOf(host).container
      const needed = Math.max(
        host.joined ? wanted.running : wanted.install,
        hasShare ? Math.ceil(sizeMiB * FREE_SHARE) : 0,
      )
      if (freeMiB >= needed) return []
      return [
        {
          problem: `${freeMiB} of ${sizeMiB} MiB are free in ${path}, ${needed} MiB are required`,
          fix: onHost(
            host,
            `du -xm ${path} | sort -n | tail -20, then remove what is not needed or grow the disk`,
          ),
        },
      ]
    }),
  ),
}

/** etcd's own advice: the 99th percentile of its disk syncs below 10 ms. */
const FSYNC_WARN_MS = 10
const FSYNC_FAIL_MS = 100

const etcdDiskLatency: Check = {
  name: 'EtcdDiskLatency',
  title: `99 of 100 small writes reach the disk of a control plane within ${FSYNC_FAIL_MS} ms`,
  run: eachNewHost((host) => {
    const sorted = host.observed.fsyncMs.toSorted((a, b) => a - b)
    const p99 = sorted[Math.ceil(sorted.length * 0.99) - 1]
    // The disk of a container is shared with everything on the machine around it.
    const {container} = factsOf(host)
    const bearableMs = container ? FSYNC_FAIL_MS : FSYNC_WARN_MS
    if (!isControlPlane(host) || p99 === undefined || p99 <= bearableMs) return []
    return [
      {
        severity: p99 > FSYNC_FAIL_MS && !container ? 'error' : 'warning',
        problem: `a 4 KiB write takes up to ${Math.round(p99)} ms to reach the disk, etcd needs ${FSYNC_WARN_MS} ms or less`,
        fix: `put /var/lib/etcd of ${host.reader.name} on a local SSD`,
      },
    ]
  }),
}

const swap: Check = {
  name: 'Swap',
  title: 'swap is off, or can be turned off',
  run: eachHost((host) => {
    // On a machine of its own the kernel phase turns it off.
    if (!factsOf(host).container || host.observed.swaps.length === 0) return []
    return [
      {
        severity: 'warning',
        problem: `the machine that runs this container host swaps to ${host.observed.swaps.join(', ')}`,
        fix: `on the machine that runs ${host.reader.name}:  swapoff -a`,
      },
    ]
  }),
}

const criu: Check = {
  name: 'Criu',
  title: 'the kernel can checkpoint processes, and criu check passes once CRIU is installed',
  run: eachHost((host, spec) => {
    if (!spec.checkpoint.enabled) return []
    const {kernelConfig, criu: verdict} = host.observed
    if (kernelConfig.size > 0 && kernelConfig.get('CHECKPOINT_RESTORE') !== 'y') {
      return [
        {
          problem: `kernel ${factsOf(host).kernel} is built without CONFIG_CHECKPOINT_RESTORE`,
          fix: 'install a kernel of the distribution, or set spec.checkpoint.enabled to false',
        },
      ]
    }
    if (verdict === undefined || verdict === 'ok') return []
    return [{problem: `criu check fails: ${verdict}`, fix: onHost(host, 'criu check --all')}]
  }),
}

/** What each machine must be by itself. */
export const machineChecks: readonly Check[] = [
  operatingSystem,
  architecture,
  initSystem,
  sudo,
  apiForwarding,
  kernelVersion,
  kernelModules,
  cgroupVersion,
  cpu,
  memory,
  disk,
  etcdDiskLatency,
  swap,
  criu,
]
