import {caOf} from './simulated-cluster.ts'
import {sha256Of, type SimulatedMachine} from './simulated-machine.ts'
import {
  failed,
  lines,
  removeFiles,
  seenFiles,
  words,
  wordsAfter,
  writeFiles,
  type Behaviour,
} from './simulated-shell.ts'

const CRIU_VERSION = '4.2.1'
const CA_PATH = '/etc/kubernetes/pki/ca.crt'

const isServing = (machine: SimulatedMachine): boolean =>
  machine.kubelet.active && machine.has('/etc/kubernetes/manifests/kube-apiserver.yaml')

const criuWorks = (machine: SimulatedMachine): boolean => {
  const target = machine.links.get('/opt/clouder/criu') ?? ''
  return machine.store.has(target.slice(target.lastIndexOf('/') + 1))
}

const kubeconfigLines = (machine: SimulatedMachine, name: string): readonly string[] => {
  const file = machine.files.get(`/etc/kubernetes/${name}.conf`)
  if (file === undefined) return []
  const cluster = /^ {4}cluster: (.*)$/m.exec(file.content)?.[1] ?? ''
  return [`${name}=yes`, `${name}Ca=${caOf(file.content)}`, `${name}Cluster=${cluster}`]
}

const preflightProbe: Behaviour = (machine, text) => {
  const joined = machine.has('/etc/kubernetes/kubelet.conf')
  const ca = machine.files.get(CA_PATH)
  const ports = [
    ...(machine.kubelet.active ? [10250] : []),
    ...(isServing(machine) ? [6443, 2379, 2380] : []),
  ]
  return lines(
    [
      'uid=0',
      'config=OVERLAY_FS m',
      'config=BRIDGE_NETFILTER m',
      'config=VXLAN m',
      'config=CHECKPOINT_RESTORE y',
    ],
    ['module=overlay', 'module=br_netfilter', 'module=vxlan'],
    ['controllers=cpuset cpu io memory hugetlb pids', 'disk=/opt 40000 80000', 'disk=/var/lib 40000 80000'],
    ports.map((port) => `listen=${port} ${port === 10250 ? 'kubelet' : 'kube-apiserver'}`),
    [`address=eth0 ${machine.machine.privateAddress}/8`, 'route=eth0 192.168.0.0/16'],
    // A bridge without an address of its own: which part of the pod network a simulated node got, nobody says.
    machine.kubelet.active ? ['route=cni0 10.244.1.0/24'] : [],
    ca === undefined ? [] : [`ca=${sha256Of(ca.content)}`],
    kubeconfigLines(machine, 'kubelet'),
    kubeconfigLines(machine, 'admin'),
    machine.has('/etc/kubernetes/bootstrap-kubelet.conf') ? ['bootstrap=yes'] : [],
    joined && text.includes('criu check') && criuWorks(machine) ? ['criu=ok'] : [],
    !joined && text.includes('oflag=dsync') ? Array.from({length: 50}, () => 'fsync=0.0012') : [],
  )
}

/** Programs of an unpacked archive: the simulated ones hold one each. */
const programsOf = (machine: SimulatedMachine, contents: string): readonly string[] =>
  machine.store.has(contents.slice(contents.lastIndexOf('/') + 1))
    ? [`${contents.replace(/.*-/, '')}-program`]
    : []

const linkFolders = (text: string): readonly {folder: string; contents: string}[] => {
  const contents = wordsAfter(text, /^contents=(.*)$/)
  return wordsAfter(text, /^folder=(.*)$/).map((folder, index) => ({folder, contents: contents[index] ?? ''}))
}

const artifactsProbe: Behaviour = (machine, text) =>
  lines(
    wordsAfter(text, /^for key in (.*); do$/)
      .filter((key) => machine.store.has(key))
      .map((key) => `has=${key}`),
    wordsAfter(text, /^for path in (.*); do$/).flatMap((path) => {
      const target = machine.links.get(path)
      return target === undefined ? [] : [`link=${path} ${target}`]
    }),
    linkFolders(text).flatMap(({folder, contents}) =>
      programsOf(machine, contents)
        .filter((program) => machine.links.get(`${folder}/${program}`) !== `${contents}/${program}`)
        .map((program) => `unlinked=${folder}/${program}`),
    ),
  )

const artifactsLink: Behaviour = (machine, text) => {
  for (const [line] of text.matchAll(/^link '.*$/gm)) {
    const [path = '', target = ''] = words(line)
    machine.links.set(path, target)
  }
  for (const {folder, contents} of linkFolders(text))
    for (const program of programsOf(machine, contents))
      machine.links.set(`${folder}/${program}`, `${contents}/${program}`)
  return ''
}

const artifactsReceive: Behaviour = (machine, text) => {
  for (const key of wordsAfter(text, /^for key in (.*); do$/)) machine.store.add(key)
  return ''
}

const kernelProbe: Behaviour = (machine, text) =>
  lines(
    seenFiles(machine, text),
    wordsAfter(text, /^for module in (.*); do$/).map(
      (module) => `module=${module} ${machine.modules.has(module) ? 'loaded' : 'available'}`,
    ),
    wordsAfter(text, /^for name in (.*); do$/).flatMap((name) => {
      const value = machine.sysctls.get(name)
      return value === undefined ? [] : [`sysctl=${name} ${value} yes`]
    }),
    [
      ...(machine.files.get('/etc/sysctl.d/90-clouder.conf')?.content ?? '').matchAll(
        /^([a-z]\S*) *= *(\d+)$/gm,
      ),
    ].map(([, name, value]) => `configured=${name} ${value}`),
  )

const kernelApply: Behaviour = (machine, text) => {
  writeFiles(machine, text)
  for (const module of wordsAfter(text, /^modprobe -- (.*)$/)) machine.load(module)
  for (const setting of wordsAfter(text, /^sysctl -q -w (.*)$/)) {
    const [name = '', value = ''] = setting.split('=')
    if (!machine.sysctls.has(name)) return failed(`sysctl: cannot stat ${name}: No such file or directory`)
    machine.sysctls.set(name, Number(value))
  }
  return ''
}

const containerdDump = (machine: SimulatedMachine): readonly string[] =>
  (machine.files.get('/etc/containerd/config.toml')?.content ?? '')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => `dump=${line}`)

const containerdProbe: Behaviour = (machine, text) => {
  const {active, enabled, binary} = machine.containerd
  const hasUnit = machine.has('/etc/systemd/system/containerd.service')
  return lines(
    seenFiles(machine, text),
    [...machine.files.keys()].filter((path) => path.endsWith('/hosts.toml')).map((path) => `mirror=${path}`),
    [`ActiveState=${active ? 'active' : 'inactive'}`, `UnitFileState=${enabled ? 'enabled' : ''}`],
    ['NeedDaemonReload=no', `FragmentPath=${hasUnit ? '/etc/systemd/system/containerd.service' : ''}`],
    [`binary=${machine.program('containerd') ?? ''}`],
    active ? [`running=${binary}`] : [],
    containerdDump(machine),
  )
}

const containerdApply: Behaviour = (machine, text) => {
  writeFiles(machine, text)
  removeFiles(machine, text)
  const binary = machine.program('containerd')
  if (text.includes('systemctl restart containerd.service')) {
    if (binary === undefined || !machine.has('/etc/systemd/system/containerd.service'))
      return failed('Failed to restart containerd.service: Unit containerd.service not found.')
    machine.containerd = {active: true, enabled: true, binary}
  }
  return lines(containerdDump(machine))
}

const MEMORY_UNIT_PATH = '/etc/systemd/system/var-lib-clouder-memory.mount'

const criuProbe: Behaviour = (machine, text) =>
  lines(
    seenFiles(machine, text),
    wordsAfter(text, /^for folder in (.*); do$/).flatMap((path) => {
      const mode = machine.folders.get(path)
      return mode === undefined ? [] : [`folder=${mode.toString(8)} ${path}`]
    }),
    [`memory=${machine.files.has(MEMORY_UNIT_PATH) ? 'enabled active' : 'not-found inactive'}`],
    criuWorks(machine) ? [`version=${CRIU_VERSION}`, 'check=ok'] : [],
  )

const criuApply: Behaviour = (machine, text) => {
  writeFiles(machine, text)
  removeFiles(machine, text)
  for (const folder of wordsAfter(text, /^chmod 700 (.*)$/)) machine.folders.set(folder, 0o700)
  return text.includes('criu check') && !criuWorks(machine) ? failed('criu: command not found') : ''
}

const imagesProbe: Behaviour = (machine) => {
  if (!machine.containerd.active) return machine.images.size > 0 ? 'stopped=yes\n' : ''
  return lines(
    [...machine.images].map(([reference, digest]) => `image=${reference} ${digest}`),
    [...machine.pinned].map((reference) => `pinned=${reference}`),
  )
}

const imagesImport: Behaviour = (machine, text) => {
  if (!machine.containerd.active) return failed('ctr: cannot access socket /run/containerd/containerd.sock')
  for (const [line] of text.matchAll(/^verify '.*$/gm)) {
    const [reference = '', digest = ''] = words(line)
    machine.images.set(reference, digest)
  }
  for (const [reference] of [...text.matchAll(/^ctr -n k8s\.io images label (.*) io\.cri/gm)].map(([line]) =>
    words(line),
  ))
    if (reference !== undefined) machine.pinned.add(reference)
  return ''
}

const kubernetesProbe: Behaviour = (machine, text) => {
  const hasUnit = machine.has('/etc/systemd/system/kubelet.service')
  return lines(
    seenFiles(machine, text),
    [`UnitFileState=${machine.kubelet.enabled ? 'enabled' : ''}`, 'NeedDaemonReload=no'],
    [`FragmentPath=${hasUnit ? '/etc/systemd/system/kubelet.service' : ''}`],
    wordsAfter(text, /^for folder in (.*); do$/)
      .filter((path) => machine.has(path))
      .map((path) => `folder=${path}`),
    wordsAfter(text, /^for program in (.*); do$/).map(
      (path) => `program=${path} ${machine.program(path.slice(path.lastIndexOf('/') + 1)) ?? ''}`,
    ),
  )
}

const kubernetesApply: Behaviour = (machine, text) => {
  writeFiles(machine, text)
  for (const folder of wordsAfter(text, /^install -d -m 755 (.*)$/)) machine.folders.set(folder, 0o755)
  machine.kubelet = {...machine.kubelet, enabled: true}
  const absent = wordsAfter(text, /^version ('[^']*').*$/).filter(
    (path) => machine.program(path.slice(path.lastIndexOf('/') + 1)) === undefined,
  )
  return absent.length > 0 ? failed(`${absent.join(', ')}: No such file or directory`) : ''
}

/** The unit that keeps pods from the cloud's metadata: once it is written and started, its rules are in place. */
const metadataProbe: Behaviour = (machine, text) =>
  lines(
    seenFiles(machine, text),
    machine.files.has('/etc/systemd/system/clouder-metadata.service')
      ? [
          'UnitFileState=enabled',
          'refused=441 169.254.169.254',
          'refused=443 168.63.129.16',
          'refused=445 168.63.129.16',
        ]
      : [],
  )

const metadataApply: Behaviour = (machine, text) => {
  writeFiles(machine, text)
  return ''
}

/** The scripts that look at a machine, and those that change it, up to where kubeadm comes in. */
export const nodeProbes: Readonly<Record<string, Behaviour>> = {
  'preflight/probe.sh': preflightProbe,
  'artifacts/probe.sh': artifactsProbe,
  'kernel/probe.sh': kernelProbe,
  'metadata/probe.sh': metadataProbe,
  'containerd/probe.sh': containerdProbe,
  'criu/probe.sh': criuProbe,
  'images/probe.sh': imagesProbe,
  'kubernetes/probe.sh': kubernetesProbe,
  'going-down.sh': ({facts}) => `running\n${facts.bootId}\n`,
}

export const nodeChanges: Readonly<Record<string, Behaviour>> = {
  'artifacts/receive.sh': artifactsReceive,
  'artifacts/link.sh': artifactsLink,
  'kernel/apply.sh': kernelApply,
  'metadata/apply.sh': metadataApply,
  'containerd/apply.sh': containerdApply,
  'criu/apply.sh': criuApply,
  'images/import.sh': imagesImport,
  'kubernetes/apply.sh': kubernetesApply,
}
