import {tarOfFiles} from '../../bundle/stream.ts'
import type {Bundle, FileItem} from '../../bundle/types.ts'
import type {HostStep} from '../engine/types.ts'
import type {HostReader} from '../hosts/host.ts'
import type {Renderer} from '../../base/renderer.ts'
import type {ClouderPhase} from './context.ts'
import {fileOf, RESTORE_HANDLER, ROOT, STORE, storeKey, storePath} from './node-store.ts'
import {probeHosts, type Observed} from './probe.ts'

const BINARIES = [
  'kubeadm',
  'kubelet',
  'kubectl',
  'containerd',
  'containerd-shim-runc-v2',
  'ctr',
  'runc',
] as const
const HANDLER = 'clouder-restore'
const PACKER = 'clouder-files'
const ARCHIVES = ['cni-plugins', 'criu', 'host-tools'] as const

interface Link {
  readonly path: string
  readonly target: string
}

/** A folder that gets a link for each program of an unpacked archive. */
interface LinkFolder {
  readonly name: string
  readonly folder: string
  readonly contents: string
  /** Leave out what the operating system has itself. */
  readonly onlyMissing: boolean
}

export interface WantedArtifacts {
  readonly items: readonly FileItem[]
  readonly links: readonly Link[]
  readonly folders: readonly LinkFolder[]
}

/** What of the bundle a machine of a role holds, and under which names; pure. */
export function wantedArtifacts(bundle: Bundle, role: 'control-plane' | 'worker'): WantedArtifacts {
  const binaries = BINARIES.filter((name) => name !== 'kubectl' || role === 'control-plane')
  const path = (name: string): string => storePath(fileOf(bundle, name))
  return {
    items: [...binaries, HANDLER, PACKER, ...ARCHIVES].map((name) => fileOf(bundle, name)),
    links: [
      ...binaries.map((name) => ({path: `/usr/local/bin/${name}`, target: path(name)})),
      {path: RESTORE_HANDLER, target: path(HANDLER)},
      {path: `${ROOT}/${PACKER}`, target: path(PACKER)},
      {path: `${ROOT}/criu`, target: path('criu')},
      // runc looks `criu` up in the PATH of containerd's unit.
      {path: '/usr/local/sbin/criu', target: `${ROOT}/criu/criu`},
    ],
    folders: [
      // A folder of its own, not a link: CNI add-ons write their plugins beside ours.
      {name: 'cni-plugins', folder: '/opt/cni/bin', contents: path('cni-plugins'), onlyMissing: false},
      {name: 'host-tools', folder: '/usr/local/sbin', contents: path('host-tools'), onlyMissing: true},
    ],
  }
}

export interface ArtifactsObserved {
  readonly has: ReadonlySet<string>
  /** Target of each link that is there. */
  readonly links: ReadonlyMap<string, string>
  readonly unlinked: readonly string[]
}

export interface ArtifactsDecision {
  readonly missing: readonly FileItem[]
  readonly links: readonly Link[]
  /** Why the link step is needed; empty: it is not. */
  readonly linkReasons: readonly string[]
}

/** What is to be brought and linked, from what was seen; pure. */
export function decideArtifacts(wanted: WantedArtifacts, observed: ArtifactsObserved): ArtifactsDecision {
  const missing = wanted.items.filter((item) => !observed.has.has(storeKey(item)))
  const links = wanted.links.filter((link) => observed.links.get(link.path) !== link.target)
  const bringsFolder = wanted.folders.some((folder) => missing.some((item) => item.name === folder.name))
  return {
    missing,
    links,
    linkReasons: [
      ...links.map(({path}) => {
        const target = observed.links.get(path)
        return target === undefined ? `${path} absent` : `${path} is ${target}`
      }),
      ...observed.unlinked.map((path) => `${path} differs from the bundle`),
      ...(bringsFolder ? ['copied programs need their links'] : []),
    ],
  }
}

function readArtifacts(observed: Observed): ArtifactsObserved {
  const links = observed.all('link').map((line): [string, string] => {
    const at = line.indexOf(' ')
    return [line.slice(0, at), line.slice(at + 1)]
  })
  return {has: new Set(observed.all('has')), links: new Map(links), unlinked: observed.all('unlinked')}
}

const megabytes = (bytes: number): string => `${Math.max(1, Math.round(bytes / 1_000_000))} MB`

function bringStep(
  host: HostReader,
  bundle: Bundle,
  items: readonly FileItem[],
  renderer: Renderer,
): HostStep {
  const sizeBytes = items.reduce((sum, item) => sum + item.sizeBytes, 0)
  const text = renderer.render('artifacts/receive.sh', {root: ROOT, store: STORE, keys: items.map(storeKey)})
  return {
    summary: `copy ${items.length} ${items.length === 1 ? 'file' : 'files'} of the bundle (${megabytes(sizeBytes)})`,
    reason: `not on the node: ${items.map(({name, version}) => `${name} ${version}`).join(', ')}`,
    on: host,
    run: async (changeable, step) => {
      await changeable.pipe({name: 'artifacts/receive.sh', text}, tarOfFiles(bundle, items), {
        signal: step.signal,
        onProgress: (sentBytes) => {
          step.progress(`${megabytes(sentBytes)} of ${megabytes(sizeBytes)}`)
        },
      })
    },
  }
}

function linkStep(
  host: HostReader,
  wanted: WantedArtifacts,
  decision: ArtifactsDecision,
  renderer: Renderer,
): HostStep {
  const text = renderer.render('artifacts/link.sh', {
    store: STORE,
    links: decision.links,
    folders: wanted.folders,
  })
  return {
    summary: 'link the programs of the bundle',
    reason: decision.linkReasons.join('; '),
    on: host,
    run: async (changeable, {signal}) => {
      await changeable.runScript({name: 'artifacts/link.sh', text}, {signal})
    },
  }
}

/** Everything a node runs, in a store on the node named by digest, with links where programs are looked for. */
export const artifactsPhase: ClouderPhase = {
  id: 'artifacts',
  title: 'Copying the bundle to the nodes',
  async plan({hosts, bundles, renderer}, signal) {
    const wantedOn = (host: HostReader): WantedArtifacts =>
      wantedArtifacts(bundles(host.facts.arch), host.machine.role)
    const script = (host: HostReader) => {
      const wanted = wantedOn(host)
      const text = renderer.render('artifacts/probe.sh', {
        store: STORE,
        keys: wanted.items.map(storeKey),
        links: wanted.links.map(({path}) => path),
        folders: wanted.folders,
      })
      return {name: 'artifacts/probe.sh', text}
    }
    const found = await probeHosts('artifacts', hosts, script, readArtifacts, signal)
    return found.flatMap(({host, observed}) => {
      const wanted = wantedOn(host)
      const decision = decideArtifacts(wanted, observed)
      return [
        ...(decision.missing.length > 0
          ? [bringStep(host, bundles(host.facts.arch), decision.missing, renderer)]
          : []),
        ...(decision.linkReasons.length > 0 ? [linkStep(host, wanted, decision, renderer)] : []),
      ]
    })
  },
}
