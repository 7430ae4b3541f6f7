import {eachHost, eachNewHost, type Check, type Problem} from './check.ts'

const PROGRAM_FOLDERS = ['/opt', '/usr/local']

const mounts: Check = {
  name: 'Mounts',
  title: '/opt and /usr/local are writable and executable, /etc and /var/lib are writable',
  run: eachHost((host) =>
    [...host.observed.mounts].flatMap(([path, options]): readonly Problem[] => {
      const wrong = options.filter(
        (option) => option === 'ro' || (option === 'noexec' && PROGRAM_FOLDERS.includes(path)),
      )
      if (wrong.length === 0) return []
      return [
        {
          problem: `${path} is mounted ${wrong.join(', ')}`,
          fix: `on ${host.reader.name}: mount -o remount,rw,exec "$(findmnt -no TARGET -T ${path})", and the same in /etc/fstab`,
        },
      ]
    }),
  ),
}

const existingRuntime: Check = {
  name: 'ExistingRuntime',
  title: 'no containerd of another installation would be replaced',
  run: eachNewHost((host) => {
    const {config, unit, containers} = host.observed.otherContainerd
    const told = [
      ...(unit === undefined ? [] : [`the containerd of ${unit} runs ${containers} containers`]),
      ...(config === undefined ? [] : [`${config} was not written by clouder`]),
    ]
    if (told.length === 0) return []
    const aside = config === undefined ? '' : `mv ${config} ${config}.before`
    const removed = unit === undefined ? '' : 'apt-get purge docker-ce docker.io containerd.io containerd'
    return [
      {
        problem: `${told.join(', ')}: clouder installs its own containerd in its place`,
        fix: `on ${host.reader.name}, if nothing there is needed: ${[removed, aside].filter((text) => text !== '').join('; ')}`,
      },
    ]
  }),
}

const swapAtBoot: Check = {
  name: 'SwapAtBoot',
  title: 'swap stays off after a reboot',
  run: eachHost((host) => {
    // The swap of a container is that of the machine around it; lines of /etc/fstab are the kernel phase's.
    if (host.reader.facts.container) return []
    return host.observed.swapUnits.map((unit): Problem => ({
      severity: 'warning',
      problem: `${unit} turns swap on at each boot, which keeps the kubelet from starting`,
      fix: `on ${host.reader.name}: systemctl mask --now ${unit}`,
    }))
  }),
}

const firewall: Check = {
  name: 'Firewall',
  title: 'no firewall on the machines blocks pod traffic',
  run: eachNewHost((host, {network}) =>
    network.cni === 'none'
      ? []
      : host.observed.firewalls.map((program): Problem => ({
          severity: 'warning',
          problem: `${program} is active; only the smoke test shows whether it allows UDP 8472 between nodes and pod traffic`,
          fix:
            program === 'ufw'
              ? `on ${host.reader.name}: ufw allow 8472/udp; ufw allow from ${network.podCidr}; ufw default allow routed`
              : `on ${host.reader.name}: firewall-cmd --permanent --add-port=8472/udp; firewall-cmd --permanent --zone=trusted --add-source=${network.podCidr}; firewall-cmd --reload`,
        })),
  ),
}

/** What is installed and mounted on a machine already. */
export const softwareChecks: readonly Check[] = [mounts, existingRuntime, swapAtBoot, firewall]
