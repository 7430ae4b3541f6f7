import {readFile} from 'node:fs/promises'
import {z} from 'zod'
import {isMissing, unlessMissing} from '../../base/system-errors.ts'
import {BACKEND_LABELS, NODE_FEATURES_ANNOTATION, RESTORE_RUNTIME} from '../../api/names.ts'
import {nodeFeaturesSchema, type NodeFeatures} from '../../api/sealed-checkpoint.ts'
import {canServePages, tracksWrites, type CopyFeatures} from '../../checkpoint/copy-features.ts'
import type {KubeClient} from '../../kubernetes/types.ts'
import type {DumpWay} from './dump-place.ts'
import type {HostTools} from './tools-of-host.ts'

const nodeSchema = z.looseObject({
  metadata: z.looseObject({
    labels: z.record(z.string(), z.string()).optional(),
    annotations: z.record(z.string(), z.string()).optional(),
  }),
  status: z.looseObject({
    nodeInfo: z.looseObject({
      architecture: z.string(),
      kernelVersion: z.string(),
      /** `containerd://2.3.7`. */
      containerRuntimeVersion: z.string(),
    }),
    runtimeHandlers: z.array(z.looseObject({name: z.string().optional()})).optional(),
  }),
})

/** Whether nodes that dump to folders move pods from node to node; if not, every move goes by way of the store. */
const MOVES_DIRECTLY = true as boolean

const nodeRef = (name: string) => ({apiVersion: 'v1', kind: 'Node', name}) as const

export interface NodeFeaturesOptions {
  readonly node: string
  readonly kube: KubeClient
  readonly tools: HostTools
  readonly cgroupVersion: 1 | 2
  readonly cpuinfoFile: string
  readonly copyFiles: CopyFiles
  /** Of containerd. */
  readonly configFile: string
  readonly dumpWay: () => Promise<DumpWay>
  readonly signal: AbortSignal
}

/** What the kernel says of copying memory; CRIU itself checks nothing without CAP_SYS_ADMIN. */
export interface CopyFiles {
  /** Of any process. */
  readonly smaps: string
  /** There where the kernel has userfaultfd. */
  readonly userfaultfd: string
  readonly pipeMaxSize: string
}

/** What this node is, as far as a restore depends on it. */
export async function readNodeFeatures(options: NodeFeaturesOptions): Promise<NodeFeatures> {
  const {node, kube, tools, cgroupVersion, cpuinfoFile, signal} = options
  const {status} = nodeSchema.parse(await kube.get(nodeRef(node)))
  const {architecture, kernelVersion, containerRuntimeVersion} = status.nodeInfo
  const versionOf = async (program: string): Promise<string> => {
    const text = await tools.run(program, ['--version'], signal)
    return /(?:version|Version:)\s+(\S+)/.exec(text)?.[1] ?? text.trim()
  }
  // A runtime that is away just now is asked again, and is no reason to tell nothing.
  const dump = await options.dumpWay().catch(() => undefined)
  const cpuinfo = await readFile(cpuinfoFile, 'utf8')
  return nodeFeaturesSchema.parse({
    arch: architecture,
    kernel: kernelVersion,
    criu: await versionOf('criu'),
    runtime: containerRuntimeVersion.replace('://', ' '),
    runc: await versionOf('runc'),
    cgroupVersion,
    ...cpuOf(cpuinfo),
    ...(await copyFeaturesOf(options.copyFiles)),
    ...(dump === undefined ? {} : {dump}),
    ...(MOVES_DIRECTLY && dump === 'Direct' ? {directMoves: true} : {}),
  })
}

/** How memory could be copied while a process runs. */
export async function copyFeaturesOf({smaps, userfaultfd, pipeMaxSize}: CopyFiles): Promise<CopyFeatures> {
  const textOf = async (path: string): Promise<string> =>
    (await readFile(path, 'utf8').catch(unlessMissing)) ?? ''
  const pipeMaxBytes = Number((await textOf(pipeMaxSize)).trim() || 0)
  return {
    precopy: tracksWrites(await textOf(smaps)),
    postcopy: (await textOf(userfaultfd)) !== '' && canServePages({pipeMaxBytes}),
  }
}

/** Of x86, what a program may come to use; the rest is of the kernel, of mitigations or of how the machine is watched. */
const USED_BY_PROGRAMS =
  /^(mmx|3dnow|sse|ssse|pni|avx|fma|f16c|aes|vaes|pclmul|vpclmul|sha_|sha\d|gfni|bmi|adx|abm|popcnt|lzcnt|tbm|xop|movbe|movdir|cx8|cx16|cmov|clflush|clwb|clzero|cldemote|erms|fsrm|fzrm|fsrs|fsrc|rdrand|rdseed|rdtscp|rdpid|rtm|hle|xsave|fsgsbase|amx|serialize|waitpkg|enqcmd|lahf|prefetchi|pku|ospke|fxsr|lm$|nx$|syscall|user_shstk|arch_perf$)/

/** Features and name of the CPU, from /proc/cpuinfo of either architecture. */
export function cpuOf(cpuinfo: string): {cpuFeatures: string[]; cpuModel: string} {
  const field = (names: string): string =>
    new RegExp(`^(?:${names})\\s*:\\s*(.*)$`, 'm').exec(cpuinfo)?.[1]?.trim() ?? ''
  const words = (name: string): readonly string[] =>
    field(name)
      .split(/\s+/)
      .filter((word) => word !== '')
  const features = new Set([
    ...words('flags').filter((flag) => USED_BY_PROGRAMS.test(flag)),
    ...words('Features'),
  ])
  return {cpuFeatures: [...features].sort(), cpuModel: field('model name|CPU implementer') || 'unknown'}
}

/** Tells on the own Node what it is and which restore backends it offers; writes nothing when it says so already. */
export async function publishNodeFeatures(
  nodeFeatures: NodeFeatures,
  options: NodeFeaturesOptions,
): Promise<boolean> {
  const {node, kube, configFile} = options
  const {metadata, status} = nodeSchema.parse(await kube.get(nodeRef(node)))
  const offers = {
    Handler: status.runtimeHandlers?.some(({name}) => name === RESTORE_RUNTIME) === true,
    CreateImage: await takesCheckpointImages(nodeFeatures.runtime, configFile),
    // Nothing here restores by the API of Kubernetes, whose shape is not settled: src/checkpoint/native.ts looks for it.
    Native: false,
  }
  const labels = Object.fromEntries(
    (['Handler', 'CreateImage', 'Native'] as const).map((backend) => [
      BACKEND_LABELS[backend],
      offers[backend] ? 'true' : null,
    ]),
  )
  const annotation = JSON.stringify(nodeFeatures)
  const isTold =
    metadata.annotations?.[NODE_FEATURES_ANNOTATION] === annotation &&
    Object.entries(labels).every(([key, value]) => (metadata.labels?.[key] ?? null) === value)
  if (isTold) return false
  await kube.patch(nodeRef(node), {
    metadata: {labels, annotations: {[NODE_FEATURES_ANNOTATION]: annotation}},
  })
  return true
}

/** containerd 2.1 to 2.3 restore from an image when their configuration says so; 2.4 does not any more. */
async function takesCheckpointImages(runtime: string, configFile: string): Promise<boolean> {
  if (!/^containerd v?2\.[123]\./.test(runtime)) return false
  try {
    return /^\s*enable_experimental_restore_via_create\s*=\s*true\s*$/m.test(
      await readFile(configFile, 'utf8'),
    )
  } catch (error) {
    if (isMissing(error)) return false
    throw error
  }
}
