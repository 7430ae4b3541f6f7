import {statfs} from 'node:fs/promises'
import {availableParallelism} from 'node:os'
import {dirname, join} from 'node:path'
import {Registry} from 'prom-client'
import {z} from 'zod'
import {
  AGENT_SOCKET,
  ARCHIVE_DIR,
  DUMP_DIR,
  KUBELET_CHECKPOINT_DIR,
  MEMORY_DIR,
  NODE_STORE_DIR,
  OUTGOING_DIR,
  RESTORE_DIR,
  SYSTEM_NAMESPACE,
} from '../../api/names.ts'
import {answeringKey, peerKeyOf} from '../../operator/peer-tls.ts'
import type {NodeFeatures} from '../../api/sealed-checkpoint.ts'
import type {BlobStore} from '../../checkpoint/stores/blob-store.ts'
import {openStore} from '../../checkpoint/stores/open.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import {openInClusterKube} from '../../kubernetes/in-cluster.ts'
import type {KubeClient} from '../../kubernetes/types.ts'
import {pauseQuietly} from '../../base/waiting.ts'
import {publishNodeFeatures, readNodeFeatures, type NodeFeaturesOptions} from './node-features.ts'
import {startAgent} from './agent.ts'
import {answerRestore} from './restore-decision.ts'
import {diskArchives} from './archives.ts'
import {openCgroups} from './cgroups.ts'
import {criCheckpoint} from './container-checkpoint.ts'
import {criExec} from './container-exec.ts'
import {directDump} from './direct-dump.ts'
import type {DumpWay} from './dump-place.ts'
import {dumpFolder} from './dump-folder.ts'
import {explainFailure} from './explain.ts'
import {kubeletArchives} from './former-archives.ts'
import {dumpWatcher} from './freeze.ts'
import {collectGarbage} from './garbage.ts'
import {memoryPlace} from './memory-place.ts'
import {nodeLimits} from './limits.ts'
import {inspectArchive} from './inspect.ts'
import {dumpMeter} from './upper-layer.ts'
import {watchInterruptions} from './interruption.ts'
import {clusterKeys} from './key-ring.ts'
import {containerdCommands} from './host-command.ts'
import {incomingPages} from './lazy/incoming-pages.ts'
import {hostPageServers} from './lazy/page-servers.ts'
import {requestPages} from './lazy/request-pages.ts'
import {pageUpgrade} from './lazy/serve-pages.ts'
import {serveHttp} from '../../operator/http-server.ts'
import type {Log} from '../../operator/log.ts'
import type {Program} from '../../operator/program.ts'
import {agentMetrics} from './metrics.ts'
import {peerStore, servePeer} from './peer.ts'
import {threadedCiphers} from './piece-threads.ts'
import {sealsAhead, withSealsAhead} from './seal-ahead.ts'
import {parsePod} from '../../kubernetes/pod.ts'
import {PodLocks} from './pod-locks.ts'
import {diskPreparations, SPARE_BYTES} from './prepare.ts'
import {remembered} from '../../operator/ttl-cache.ts'
import {hostRunc} from './runc.ts'
import {readContainer} from './runtime-container.ts'
import {containerdTasks} from './runtime-tasks.ts'
import {runningReports} from './running-reports.ts'
import {serveRestores} from './serve.ts'
import {containerdShims} from './shims.ts'
import {clusterStores} from './stores.ts'
import {
  containerdImages,
  containerdImport,
  containerdNames,
  containerdRemoval,
  FILES_PROGRAM,
  packChanges,
  packFolder,
  storeTools,
} from './tools-of-host.ts'
import type {AgentTools} from './tools.ts'
import {DATA_PREAMBLE, dataConnections} from './transfer/data-connections.ts'
import {incomingDumps} from './transfer/incoming.ts'
import {outgoingDumps, withOutgoing} from './transfer/outgoing.ts'
import {dumpPulls} from './transfer/pull.ts'
import type {StartTransfer} from './transfer/program.ts'
import {requestDump, type DumpRequest} from './transfer/request.ts'
import type {WantedDump} from './transfer/wanted-dump.ts'
import {dumpServer} from './transfer/serve-dumps.ts'
import {serveUsage} from './usage.ts'
import {podVolumes} from './volumes.ts'

/** Programs that the node installed. */
const HOST_TOOLS = '/opt/clouder'
const CGROUP_DIR = '/sys/fs/cgroup'
const CONTAINERD_SOCKET = '/run/containerd/containerd.sock'
/** One folder for each container: of its shim, and its root file system. */
const TASK_DIR = '/run/containerd/io.containerd.runtime.v2.task/k8s.io'
const PODS_DIR = '/var/lib/kubelet/pods'
const PUBLISH_EVERY_MS = 60_000
const COLLECT_EVERY_MS = 6 * 3_600_000
const AGENT_SELECTOR = 'app.kubernetes.io/name=clouder-node-agent'

/** What the DaemonSet gives. */
const environmentSchema = z.object({
  NODE_NAME: z.string().min(1),
  PORT: z.coerce.number().int(),
  CLAIM_DIR: z.string().startsWith('/'),
  VOLUME_LIMIT_BYTES: z.coerce.number().int().min(0),
  /** Where the cloud tells a machine about itself. */
  METADATA_URL: z.string().default('http://169.254.169.254'),
  KUBERNETES_SERVICE_HOST: z.string().min(1),
  KUBERNETES_SERVICE_PORT: z.coerce.number().int(),
})

/** The node agent, until the signal is aborted. */
export const run: Program = async ({environment: variables, threads, now, log, signal}) => {
  const environment = environmentSchema.parse(variables)
  const {NODE_NAME: node, PORT: port} = environment
  const kube = await openInClusterKube({
    host: environment.KUBERNETES_SERVICE_HOST,
    port: environment.KUBERNETES_SERVICE_PORT,
    signal,
  })
  const cgroups = await openCgroups({
    root: CGROUP_DIR,
    proc: '/proc',
    kill: (pid) => killIfThere(pid),
  })
  const hostTools = storeTools(HOST_TOOLS)
  const tasks = containerdTasks(CONTAINERD_SOCKET)
  const commands = containerdCommands(CONTAINERD_SOCKET, {
    program: join(HOST_TOOLS, FILES_PROGRAM),
    root: join(dirname(AGENT_SOCKET), 'command'),
  })
  const dumpWay = async (): Promise<DumpWay> =>
    (await hostTools.has(FILES_PROGRAM)) && (await tasks.isServed(signal)) ? 'Direct' : 'Runtime'
  const nodeFeaturesOptions: NodeFeaturesOptions = {
    node,
    kube,
    tools: hostTools,
    cgroupVersion: cgroups.version,
    cpuinfoFile: '/proc/cpuinfo',
    copyFiles: {
      smaps: '/proc/self/smaps',
      userfaultfd: '/proc/sys/vm/unprivileged_userfaultfd',
      pipeMaxSize: '/proc/sys/fs/pipe-max-size',
    },
    configFile: '/etc/containerd/config.toml',
    dumpWay,
    signal,
  }
  // As new as what the node tells of itself; reading it starts two programs, while a pod would stand still.
  const nodeFeatures = remembered(() => readNodeFeatures(nodeFeaturesOptions), {
    maxAgeMs: 2 * PUBLISH_EVERY_MS,
    now,
  })
  const blobs = blobOpener(environment.CLAIM_DIR)
  const stores = clusterStores({
    kube,
    node,
    openBlobs: blobs,
    openPeer: (from) => openPeer(from, port, kube),
  })
  const registry = new Registry()
  const metrics = agentMetrics(registry)
  const dumped = diskArchives(ARCHIVE_DIR, {former: [KUBELET_CHECKPOINT_DIR], memory: MEMORY_DIR})
  const outgoing = outgoingDumps(OUTGOING_DIR, dumped)
  const freeBytes = async (): Promise<number> => {
    const {bavail, bsize} = await statfs(RESTORE_DIR)
    return bavail * bsize
  }
  const memory = memoryPlace(MEMORY_DIR, {proc: '/proc'})
  const startTransfer: StartTransfer = (words, options) => hostTools.start(FILES_PROGRAM, words, options)
  const incoming = incomingDumps({
    start: startTransfer,
    memory: {...memory, folder: join(MEMORY_DIR, 'incoming')},
    disk: {folder: join(RESTORE_DIR, 'incoming'), roomBytes: async () => (await freeBytes()) - SPARE_BYTES},
    log,
  })
  const ciphers = threadedCiphers(threads, availableParallelism())
  const ahead = sealsAhead({stores, ciphers, dumps: dumped, log, signal})
  const pageServers = hostPageServers({
    commands,
    folder: dirname(AGENT_SOCKET),
    program: join(HOST_TOOLS, FILES_PROGRAM),
  })
  const tools: AgentTools = {
    node,
    kube,
    cgroups,
    shims: containerdShims(TASK_DIR),
    podLocks: new PodLocks(),
    checkpoint: criCheckpoint(CONTAINERD_SOCKET),
    directDump: directDump({
      tasks,
      runc: hostRunc(commands),
      cgroups,
      pageServers,
      readContainer: (target, ended) => readContainer(CONTAINERD_SOCKET, target, ended),
      packChanges: packChanges(hostTools),
      rootfsOf: (id) => join(TASK_DIR, id, 'rootfs'),
      nowMs: () => performance.now(),
    }),
    runc: hostRunc(commands),
    dumpWay,
    memory,
    exec: criExec(CONTAINERD_SOCKET),
    watchDump: dumpWatcher(threads),
    measure: dumpMeter({proc: '/proc', folder: dirname(ARCHIVE_DIR)}),
    volumes: podVolumes({
      podsDir: PODS_DIR,
      taskDir: TASK_DIR,
      limitBytes: environment.VOLUME_LIMIT_BYTES,
      pack: packFolder(hostTools),
    }),
    dumps: dumpFolder(DUMP_DIR, log),
    ahead,
    archives: withSealsAhead(withOutgoing(dumped, outgoing), ahead),
    outgoing,
    incoming,
    pulls: dumpPulls({
      ...{kube, node, incoming, now, log, signal},
      openDump: async (wanted, headersOf, until) =>
        requestDump({
          ...(await askOf(wanted, headersOf, {port, kube, signal: until})),
          checkpointUid: wanted.checkpointUid,
        }),
    }),
    pageServers,
    incomingPages: incomingPages(dirname(AGENT_SOCKET), log),
    openPages: async (wanted, headersOf, until) =>
      requestPages({...(await askOf(wanted, headersOf, {port, kube, signal: until})), wanted}),
    formerArchives: kubeletArchives(KUBELET_CHECKPOINT_DIR),
    stores,
    ciphers,
    nodeFeatures: nodeFeatures.value,
    inspect: inspectArchive,
    explain: explainFailure,
    importImage: containerdImport(hostTools),
    removeImage: containerdRemoval(hostTools),
    listImages: containerdNames(hostTools),
    imageDigests: containerdImages(hostTools, signal),
    limits: nodeLimits(),
    freeBytes,
    metrics,
    now,
    log,
    signal,
  }
  const preparations = diskPreparations(RESTORE_DIR, {...tools, memoryFolder: join(MEMORY_DIR, 'restore')})
  const sockets = await serveRestores(AGENT_SOCKET, {
    answer: async (request) => {
      const answer = await answerRestore(request, {...tools, preparations})
      metrics.answered(answer.action)
      return answer
    },
    restored: runningReports(tools),
  })
  // Before anything is received anew.
  await incoming.clean()
  const agent = startAgent(tools, preparations, registry)
  const data = dataConnections()
  const serveDumps = dumpServer({...tools, data, start: startTransfer})
  const web = await serveHttp(port, {
    registry,
    health: agent,
    peers: {
      key: answeringKey(async () => (await clusterKeys(kube))['peer-key'], now),
      answer: async (request, response) =>
        (await serveUsage(request, response, {cgroupRoot: CGROUP_DIR, now})) ||
        (await serveDumps(request, response)) ||
        servePeer(request, response, {store: () => blobs({node: {}}, undefined), signal}),
      upgrade: pageUpgrade(tools),
    },
    others: {firstByte: DATA_PREAMBLE, take: data.take},
    log,
  })
  const interruptions = watchInterruptions({node, kube, metadataUrl: environment.METADATA_URL, log, signal})
  log('info', 'started', {node, cgroupVersion: cgroups.version})
  // Not all agents at the same time, where they share a disk.
  let collectAtMs = now() + Math.random() * COLLECT_EVERY_MS
  const keepUp = async (): Promise<void> => {
    while (!signal.aborted) {
      await publish(nodeFeatures.renew, nodeFeaturesOptions, log)
      // Those of an agent that was killed end some time after it.
      await commands
        .clean(signal)
        .catch((error: unknown) => log('warn', 'removing ended commands failed', {error: String(error)}))
      if (now() >= collectAtMs) {
        collectAtMs = now() + COLLECT_EVERY_MS
        await collectGarbage(tools).catch((error: unknown) =>
          log('warn', 'deleting unused data failed', {error: String(error)}),
        )
      }
      await pauseQuietly(PUBLISH_EVERY_MS, signal)
    }
  }
  // Without its watches it does nothing: the process ends, and the kubelet starts another one.
  await Promise.all([keepUp(), agent.ended])
  await interruptions
  sockets.close()
  web.close()
  kube.close()
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}

async function publish(
  read: () => Promise<NodeFeatures>,
  options: NodeFeaturesOptions,
  log: Log,
): Promise<void> {
  try {
    if (await publishNodeFeatures(await read(), options)) log('info', 'published the node features')
  } catch (error) {
    if (!options.signal.aborted) log('warn', 'could not publish the node features', {error: String(error)})
  }
}

const blobOpener =
  (claimDir: string): Parameters<typeof clusterStores>[0]['openBlobs'] =>
  (spec, credentials, patience) =>
    openStore(spec, {
      nodeDir: NODE_STORE_DIR,
      patience,
      ...(credentials === undefined ? {} : {credentials}),
      ...(spec.persistentVolumeClaim === undefined
        ? {}
        : {claimDir: join(claimDir, spec.persistentVolumeClaim.claimName)}),
    })

async function openPeer(node: string, port: number, kube: KubeClient): Promise<BlobStore> {
  const host = await agentAddress(node, kube)
  if (host === undefined)
    throw new CheckpointError(
      'STORE_UNREACHABLE',
      `node ${node}, whose disk contains the checkpoint, has no node agent`,
    )
  return peerStore({node, host, port, key: peerKeyOf((await clusterKeys(kube))['peer-key'])})
}

/** A request to the agent of the node that has a dump. */
async function askOf(
  wanted: WantedDump,
  headersOf: (channel: Buffer) => Readonly<Record<string, string>>,
  {port, kube, signal}: {readonly port: number; readonly kube: KubeClient; readonly signal: AbortSignal},
): Promise<Omit<DumpRequest, 'checkpointUid'>> {
  const host = await agentAddress(wanted.source, kube)
  if (host === undefined)
    throw new CheckpointError('TRANSFER_FAILED', `node ${wanted.source} has no node agent`)
  const key = peerKeyOf((await clusterKeys(kube))['peer-key'])
  return {host, port, key, headersOf, signal}
}

async function agentAddress(node: string, kube: KubeClient): Promise<string | undefined> {
  const found = await kube.list({
    apiVersion: 'v1',
    kind: 'Pod',
    namespace: SYSTEM_NAMESPACE,
    labelSelector: AGENT_SELECTOR,
  })
  return found.map(parsePod).find(({spec}) => spec.nodeName === node)?.status.podIP
}
