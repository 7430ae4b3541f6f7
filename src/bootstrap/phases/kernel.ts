import type {HostStep} from '../engine/types.ts'
import type {HostReader} from '../hosts/host.ts'
import type {Renderer} from '../../base/renderer.ts'
import type {ClouderPhase} from './context.ts'
import {describeDrift, driftOf, filesView, type ManagedFile} from './managed-files.ts'
import {probeHosts, type Observed} from './probe.ts'

const MODULES = ['overlay', 'br_netfilter'] as const
const MODULES_PATH = '/etc/modules-load.d/clouder.conf'
const SYSCTL_PATH = '/etc/sysctl.d/90-clouder.conf'

interface WantedSysctl {
  readonly name: string
  readonly value: number
  /** `floor`: a higher value stays. */
  readonly rule: 'exact' | 'floor'
  /** The last ones are what the kubelet sets itself; on a container host they belong to the machine around it. */
  readonly ownKernelOnly: boolean
}

const SYSCTLS: readonly WantedSysctl[] = [
  {name: 'net.ipv4.ip_forward', value: 1, rule: 'exact', ownKernelOnly: false},
  {name: 'net.bridge.bridge-nf-call-iptables', value: 1, rule: 'exact', ownKernelOnly: false},
  {name: 'net.bridge.bridge-nf-call-ip6tables', value: 1, rule: 'exact', ownKernelOnly: false},
  {name: 'fs.inotify.max_user_instances', value: 8192, rule: 'floor', ownKernelOnly: false},
  {name: 'fs.inotify.max_user_watches', value: 524_288, rule: 'floor', ownKernelOnly: false},
  // For CRIU's page server, which serves the memory of a process after its restore: src/checkpoint/copy-features.ts.
  {name: 'fs.pipe-max-size', value: 4_194_304, rule: 'floor', ownKernelOnly: false},
  {name: 'vm.overcommit_memory', value: 1, rule: 'exact', ownKernelOnly: true},
  {name: 'kernel.panic', value: 10, rule: 'exact', ownKernelOnly: true},
  {name: 'kernel.panic_on_oops', value: 1, rule: 'exact', ownKernelOnly: true},
]

export interface KernelObserved {
  readonly modules: ReadonlyMap<string, string>
  readonly sysctls: ReadonlyMap<string, {readonly value: number; readonly writable: boolean}>
  /** What our own file says now. */
  readonly configured: ReadonlyMap<string, number>
  readonly swapDevices: readonly string[]
  readonly fstabSwaps: readonly string[]
  readonly files: Observed
}

export interface KernelDecision {
  readonly files: readonly ManagedFile[]
  readonly modules: readonly string[]
  /** `name=value`, to set now. */
  readonly sysctls: readonly string[]
  readonly swapOff: boolean
  /** Why; empty: nothing to do. */
  readonly reasons: readonly string[]
  /** What cannot be had on this host and is left. */
  readonly notes: readonly string[]
}

/** What is to be changed, from what was seen; pure. */
export function decideKernel(
  container: boolean,
  observed: KernelObserved,
  renderer: Renderer,
): KernelDecision {
  const notes: string[] = []
  const loadable = MODULES.filter((module) => isLoadable(observed.modules.get(module)))
  const missing = MODULES.filter((module) => observed.modules.get(module) === 'available')
  const sysctls = SYSCTLS.flatMap((wanted) => {
    if (container && wanted.ownKernelOnly) return []
    const there = observed.sysctls.get(wanted.name)
    // br_netfilter brings its settings when it is loaded, by this very step.
    if (!there && !wanted.name.startsWith('net.bridge.')) return []
    if (!there && !missing.includes('br_netfilter')) return []
    const value = sysctlValue(wanted, there?.value, observed.configured.get(wanted.name))
    const unmet = there === undefined || isUnmet(wanted, there.value, value)
    if (unmet && container && there?.writable === false) {
      notes.push(`${wanted.name} stays ${there.value}, expected ${value}: a container host cannot set it`)
      return []
    }
    return [{name: wanted.name, value, unmet}]
  })
  const swapOff = !container && (observed.swapDevices.length > 0 || observed.fstabSwaps.length > 0)
  if (container && observed.swapDevices.length > 0)
    notes.push('swap is on and stays on, on the machine that runs this container host')
  const files: ManagedFile[] = [
    ...(loadable.length > 0
      ? [
          {
            path: MODULES_PATH,
            content: renderer.render('kernel/modules.conf', {modules: loadable}),
            mode: 0o644,
          },
        ]
      : []),
    {
      path: SYSCTL_PATH,
      content: renderer.render('kernel/sysctl.conf', {
        sysctls: sysctls.map(({name, value}) => ({name, value})),
      }),
      mode: 0o644,
    },
  ]
  const drift = driftOf(files, observed.files)
  const unmet = sysctls.filter((sysctl) => sysctl.unmet)
  const swaps = [...new Set([...observed.swapDevices, ...observed.fstabSwaps])]
  return {
    files: drift.map(({file}) => file),
    modules: missing,
    sysctls: unmet.map(({name, value}) => `${name}=${value}`),
    swapOff,
    reasons: [
      ...describeDrift(drift),
      ...missing.map((module) => `module ${module} is not loaded`),
      ...unmet.map(({name}) => `${name} is ${observed.sysctls.get(name)?.value ?? 'absent'}`),
      ...(swapOff ? [`swap is on: ${swaps.join(', ')}`] : []),
    ],
    notes,
  }
}

const isLoadable = (state: string | undefined): boolean => state === 'loaded' || state === 'available'

const isUnmet = (wanted: WantedSysctl, current: number, value: number): boolean =>
  wanted.rule === 'exact' ? current !== value : current < value

function sysctlValue(wanted: WantedSysctl, current = 0, configured = 0): number {
  if (wanted.rule === 'exact') return wanted.value
  // What our file says already is kept, so that a value raised by hand at run time is no drift.
  return configured >= wanted.value ? configured : Math.max(wanted.value, current)
}

export function readKernel(observed: Observed): KernelObserved {
  const pairs = (key: string): readonly (readonly string[])[] =>
    observed.all(key).map((line) => line.split(' '))
  return {
    modules: new Map(pairs('module').map(([name = '', state = 'absent']) => [name, state])),
    sysctls: new Map(
      pairs('sysctl').map(([name = '', value, writable]) => [
        name,
        {value: Number(value), writable: writable === 'yes'},
      ]),
    ),
    configured: new Map(pairs('configured').map(([name = '', value]) => [name, Number(value)])),
    swapDevices: observed.all('swap'),
    fstabSwaps: observed.all('fstab'),
    files: observed,
  }
}

function stepFor(host: HostReader, decision: KernelDecision, renderer: Renderer): readonly HostStep[] {
  if (decision.reasons.length === 0) return []
  const text = renderer.render('kernel/apply.sh', {
    files: filesView(decision.files),
    modules: decision.modules,
    sysctls: decision.sysctls,
    swapOff: decision.swapOff,
  })
  return [
    {
      summary: 'load kernel modules, set sysctls' + (decision.swapOff ? ', turn swap off' : ''),
      reason: decision.reasons.join('; '),
      on: host,
      run: async (changeable, {signal}) => {
        await changeable.runScript({name: 'kernel/apply.sh', text}, {signal})
      },
    },
  ]
}

/** Modules, sysctls and swap as Kubernetes networking and the kubelet need them. */
export const kernelPhase: ClouderPhase = {
  id: 'kernel',
  title: 'Preparing the kernel',
  async plan({hosts, renderer, note}, signal) {
    const text = renderer.render('kernel/probe.sh', {
      paths: [MODULES_PATH, SYSCTL_PATH],
      modules: MODULES,
      sysctls: SYSCTLS.map(({name}) => name),
      sysctlPath: SYSCTL_PATH,
    })
    const found = await probeHosts(
      'kernel',
      hosts,
      () => ({name: 'kernel/probe.sh', text}),
      readKernel,
      signal,
    )
    return found.flatMap(({host, observed}) => {
      const decision = decideKernel(host.facts.container, observed, renderer)
      for (const text of decision.notes) note(text, host.name)
      return stepFor(host, decision, renderer)
    })
  },
}
