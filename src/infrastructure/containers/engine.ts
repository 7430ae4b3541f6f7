import type {Readable} from 'node:stream'
import {PassThrough} from 'node:stream'
import {finished} from 'node:stream/promises'
import Docker from 'dockerode'
import pLimit from 'p-limit'
import {pack} from 'tar-stream'
import type {
  ContainerEngine,
  ContainerRequest,
  EngineContainer,
  EngineFile,
  EngineImage,
  EngineInfo,
  Labels,
} from './container-engine.ts'
import {endFrozen} from './frozen.ts'
import {attemptUntil, untilAborted, type Attempt} from './engine-call.ts'
import {
  containerSchema,
  imageSchema,
  networkSchema,
  progressSchema,
  versionSchema,
  volumesSchema,
} from './engine-schemas.ts'

const INSPECTIONS_AT_ONCE = 8

// The published types do not know the field yet.
type HostConfig = Docker.HostConfig & {CgroupnsMode?: 'private' | 'host'}
type CreateOptions = Docker.ContainerCreateOptions & {HostConfig: HostConfig}

/**
 * The engine behind a unix socket: docker's API, which podman speaks too. The only importer of dockerode.
 * Throws what the socket answers; `connectEngine` tells what that means.
 */
export async function openEngine(
  socketPath: string,
  {signal, answerTimeoutMs}: {signal: AbortSignal; answerTimeoutMs: number},
): Promise<ContainerEngine> {
  const docker = new Docker({socketPath})
  const version = versionSchema.parse(
    await untilAborted(
      () => docker.version(),
      AbortSignal.any([signal, AbortSignal.timeout(answerTimeoutMs)]),
    ),
  )
  const podman = (version.Components ?? []).some(({Name}) => Name.startsWith('Podman'))
  const info: EngineInfo = {kind: podman ? 'podman' : 'docker', version: version.Version, socketPath}
  return engineOf(docker, info, attemptUntil(signal))
}

function engineOf(docker: Docker, info: EngineInfo, attempt: Attempt): ContainerEngine {
  const limit = pLimit(INSPECTIONS_AT_ONCE)

  const findContainer = (name: string): Promise<EngineContainer | undefined> =>
    attempt(
      `inspecting container ${name}`,
      async () => containerSchema.parse(await docker.getContainer(name).inspect()),
      [404],
    )

  const exec: ContainerEngine['exec'] = (container, argv, signal) =>
    attempt(`running ${argv[0]} in container ${container}`, async () => {
      const exec = await docker
        .getContainer(container)
        .exec({Cmd: [...argv], AttachStdout: true, AttachStderr: true})
      const stream = await exec.start({hijack: false, stdin: false, abortSignal: signal})
      const stdout = collector()
      const stderr = collector()
      docker.modem.demuxStream(stream, stdout.stream, stderr.stream)
      await finished(stream, {signal, writable: false})
      const {ExitCode} = await exec.inspect()
      return {exitCode: ExitCode ?? -1, stdout: stdout.text(), stderr: stderr.text()}
    })
  const endFrozenIn = (name: string) => endFrozen((argv, signal) => exec(name, argv, signal))

  return {
    info,
    ...networks(docker, attempt),
    ...volumes(docker, attempt),
    ...images(docker, attempt),
    findContainer,

    async listContainers(labels) {
      const found = await attempt('listing containers', () =>
        docker.listContainers({all: true, filters: {label: labelFilter(labels)}}),
      )
      // One that went away between the list and the look is not there.
      const containers = await Promise.all(found.map(({Id}) => limit(() => findContainer(Id))))
      return containers.filter((container) => container !== undefined)
    },
    async createContainer(request) {
      const made = await attempt(`creating container ${request.name}`, () =>
        docker.createContainer(createOptions(request)),
      )
      return made.id
    },
    async startContainer(name) {
      await attempt(`starting container ${name}`, () => docker.getContainer(name).start(), [304])
    },
    async restartContainer(name, graceSeconds) {
      await endFrozenIn(name)
      await attempt(`restarting container ${name}`, () =>
        docker.getContainer(name).restart({t: graceSeconds}),
      )
    },
    async stopContainer(name, graceSeconds) {
      await endFrozenIn(name)
      await attempt(
        `stopping container ${name}`,
        () => docker.getContainer(name).stop({t: graceSeconds}),
        [304],
      )
    },
    async removeContainer(name) {
      await endFrozenIn(name)
      // 409: a removal that somebody else began.
      await attempt(
        `removing container ${name}`,
        () => docker.getContainer(name).remove({force: true, v: true}),
        [404, 409],
      )
    },
    exec,
    async putFile(container, file) {
      const slash = file.path.lastIndexOf('/')
      const named = {...file, path: file.path.slice(slash + 1)}
      await attempt(`writing ${file.path} in container ${container}`, async () => {
        await docker
          .getContainer(container)
          .putArchive(tarOf([named]), {path: file.path.slice(0, slash) || '/'})
      })
    },
    async lastLines(container, lines) {
      const log = await attempt(`reading the log of container ${container}`, () =>
        docker.getContainer(container).logs({stdout: true, stderr: true, tail: lines}),
      )
      return withoutFrames(log)
    },
  }
}

function networks(
  docker: Docker,
  attempt: Attempt,
): Pick<ContainerEngine, 'listNetworks' | 'createNetwork' | 'removeNetwork'> {
  return {
    async listNetworks(labels) {
      const found = await attempt('listing networks', () =>
        docker.listNetworks({filters: {label: labelFilter(labels)}}),
      )
      const inspected = await Promise.all(
        found.map(({Id}) =>
          attempt(
            `inspecting network ${Id}`,
            async () => networkSchema.parse(await docker.getNetwork(Id).inspect()),
            [404],
          ),
        ),
      )
      return inspected.filter((network) => network !== undefined)
    },
    async createNetwork({name, labels, subnet, dynamicRange}) {
      await attempt(`creating network ${name} (${subnet})`, () =>
        docker.createNetwork({
          Name: name,
          CheckDuplicate: true,
          Driver: 'bridge',
          Labels: {...labels},
          IPAM: {Driver: 'default', Config: [{Subnet: subnet, IPRange: dynamicRange}]},
        }),
      )
    },
    async removeNetwork(id) {
      await attempt(`removing network ${id}`, () => docker.getNetwork(id).remove(), [404])
    },
  }
}

function volumes(
  docker: Docker,
  attempt: Attempt,
): Pick<ContainerEngine, 'listVolumes' | 'createVolume' | 'removeVolume'> {
  return {
    async listVolumes(labels) {
      const found = await attempt('listing volumes', () =>
        docker.listVolumes({filters: {label: labelFilter(labels)}}),
      )
      return volumesSchema.parse(found)
    },
    async createVolume(name, labels) {
      await attempt(`creating volume ${name}`, () => docker.createVolume({Name: name, Labels: {...labels}}))
    },
    async removeVolume(name) {
      await attempt(`removing volume ${name}`, () => docker.getVolume(name).remove(), [404])
    },
  }
}

type ImageCalls = 'findImage' | 'importImage' | 'pullImage' | 'buildImage' | 'removeImage'

function images(docker: Docker, attempt: Attempt): Pick<ContainerEngine, ImageCalls> {
  const follow = (answer: NodeJS.ReadableStream, onLine: (line: string) => void): Promise<void> =>
    new Promise((resolve, reject) => {
      docker.modem.followProgress(
        answer,
        (error: Error | null) => (error === null ? resolve() : reject(error)),
        (event: unknown) => {
          const parsed = progressSchema.safeParse(event)
          const line = parsed.success ? (parsed.data.stream ?? parsed.data.status ?? '').trim() : ''
          if (line !== '') onLine(line)
        },
      )
    })

  return {
    findImage: (tag): Promise<EngineImage | undefined> =>
      attempt(
        `inspecting image ${tag}`,
        async () => imageSchema.parse(await docker.getImage(tag).inspect()),
        [404],
      ),
    async importImage(rootfs: Readable, tag, labels, signal) {
      const [repo, version] = splitTag(tag)
      // One instruction with all labels: the client library would send a list as JSON text.
      const changes = `LABEL ${Object.entries(labels)
        .map(([key, value]) => `${JSON.stringify(key)}=${JSON.stringify(value)}`)
        .join(' ')}`
      await attempt(`importing image ${tag}`, async () => {
        const answer = await docker.importImage(rootfs, {repo, tag: version, changes, abortSignal: signal})
        await follow(answer, () => undefined)
      })
    },
    async pullImage(reference, signal) {
      await attempt(`pulling image ${reference}`, async () => {
        await follow(await docker.pull(reference, {abortSignal: signal}), () => undefined)
      })
    },
    async buildImage(files, {tag, labels, signal, onLine}) {
      await attempt(`building image ${tag}`, async () => {
        const answer = await docker.buildImage(tarOf(files), {
          t: tag,
          labels: {...labels},
          forcerm: true,
          abortSignal: signal,
        })
        await follow(answer, onLine)
      })
    },
    async removeImage(tag) {
      await attempt(`removing image ${tag}`, () => docker.getImage(tag).remove(), [404])
    },
  }
}

function createOptions(request: ContainerRequest): CreateOptions {
  const ports = Object.entries(request.publishedPorts)
  return {
    name: request.name,
    Hostname: request.hostname,
    Image: request.image,
    Entrypoint: [...request.entrypoint],
    Env: Object.entries(request.environment).map(([key, value]) => `${key}=${value}`),
    Labels: {...request.labels},
    StopSignal: request.stopSignal,
    ExposedPorts: Object.fromEntries(ports.map(([port]) => [`${port}/tcp`, {}])),
    HostConfig: {
      ...confinement(request.capabilities),
      CgroupnsMode: 'private',
      RestartPolicy: {Name: 'unless-stopped'},
      NetworkMode: request.network.name,
      PortBindings: Object.fromEntries(
        ports.map(([port, published]) => [
          `${port}/tcp`,
          [{HostIp: '127.0.0.1', HostPort: String(published)}],
        ]),
      ),
      Tmpfs: {...request.tmpfs},
      Binds: Object.entries(request.readOnlyFolders).map(([from, to]) => `${from}:${to}:ro`),
      Mounts: Object.entries(request.volumes).map(([name, folder]) => ({
        Type: 'volume',
        Source: name,
        Target: folder,
        ReadOnly: false,
      })),
    },
    NetworkingConfig: {
      EndpointsConfig: {[request.network.name]: {IPAMConfig: {IPv4Address: request.network.address}}},
    },
  }
}

/** `--privileged`, or by hand what it is made of where some capability is missing: the engine would refuse to start. */
function confinement(capabilities: ContainerRequest['capabilities']): HostConfig {
  if (capabilities === 'all') return {Privileged: true}
  return {
    CapAdd: [...capabilities],
    SecurityOpt: ['seccomp=unconfined', 'apparmor=unconfined'],
    // What the docker CLI sends for `--security-opt systempaths=unconfined`.
    MaskedPaths: [],
    ReadonlyPaths: [],
    DeviceCgroupRules: ['a *:* rwm'],
  }
}

function tarOf(files: readonly EngineFile[]): Readable {
  const archive = pack()
  for (const file of files) archive.entry({name: file.path, mode: file.mode, uid: 0, gid: 0}, file.content)
  archive.finalize()
  return archive.pipe(new PassThrough())
}

function splitTag(tag: string): readonly [string, string] {
  const colon = tag.lastIndexOf(':')
  return [tag.slice(0, colon), tag.slice(colon + 1)]
}

function labelFilter(labels: Labels): string[] {
  return Object.entries(labels).map(([key, value]) => (value === '' ? key : `${key}=${value}`))
}

function collector(): {stream: PassThrough; text: () => string} {
  const chunks: Buffer[] = []
  const stream = new PassThrough()
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  return {stream, text: () => Buffer.concat(chunks).toString('utf8')}
}

/** Log frames of a container without a terminal: 8 bytes of header, the last four of them the length. */
function withoutFrames(log: Buffer): string {
  const parts: Buffer[] = []
  for (let at = 0; at + 8 <= log.length;) {
    const length = log.readUInt32BE(at + 4)
    parts.push(log.subarray(at + 8, at + 8 + length))
    at += 8 + length
  }
  return Buffer.concat(parts).toString('utf8')
}
