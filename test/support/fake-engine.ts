import {randomBytes} from 'node:crypto'
import type {
  ContainerEngine,
  ContainerRequest,
  ContainerStatus,
  EngineContainer,
  EngineImage,
  EngineNetwork,
  EngineVolume,
  Labels,
} from '../../src/infrastructure/containers/container-engine.ts'
import {InfrastructureError} from '../../src/infrastructure/errors.ts'

interface FakeContainer {
  readonly id: string
  readonly request: ContainerRequest
  readonly files: Map<string, string>
  status: ContainerStatus
  everStarted: boolean
  exitCode: number
}

type Removable<T> = T & {readonly id: string}

export interface FakeEngine extends ContainerEngine {
  /** Calls that change something, in order: `createContainer clouder-demo-cp-1`. */
  readonly changes: readonly string[]
  /** Makes the n-th change from now (0: the next) throw, before or after it was made, as a killed run ends. */
  failAt(change: number, when: 'before' | 'after'): void
  /** Sets what the engine says of a container. */
  setStatus(container: string, status: ContainerStatus): void
  request(container: string): ContainerRequest | undefined
  /** The next network with this subnet meets another one that was made just before. */
  takeSubnetOnce(subnet: string, isListed?: boolean): void
  addImage(tag: string, labels: Labels): void
}

/**
 * A container engine in memory; passes `engineContract`. Containers boot at once: `systemctl is-system-running` says
 * running, a host key lies in /etc/ssh after the first start, `cat` reads what was put. No other program is there.
 */
export function fakeEngine(): FakeEngine {
  const networks = new Map<string, Removable<Omit<EngineNetwork, 'addressesInUse'>>>()
  const containers = new Map<string, FakeContainer>()
  const volumes = new Map<string, EngineVolume>()
  const images = new Map<string, EngineImage>()
  const changes: string[] = []
  let failure: {at: number; when: 'before' | 'after'} | undefined
  let rival: string | undefined
  /** Held for a network that is still being made. */
  const held = new Set<string>()
  let serial = 0

  const change = <T>(what: string, make: () => T): Promise<T> =>
    asPromise(() => {
      const fails = failure?.at === changes.length ? failure.when : undefined
      changes.push(what)
      if (fails === 'before') throw new Error(`killed before ${what}`)
      const made = make()
      if (fails === 'after') throw new Error(`killed after ${what}`)
      return made
    })
  const locate = (name: string) =>
    containers.get(name) ?? [...containers.values()].find(({id}) => id === name)
  const existing = (name: string): FakeContainer => locate(name) ?? failed(`no such container: ${name}`)
  const live = () => [...containers.values()].filter(({status}) => status === 'running')

  return {
    info: {kind: 'docker', version: 'fake', socketPath: '/fake.sock'},
    changes,
    failAt: (at, when) => void (failure = {at: changes.length + at, when}),
    setStatus: (name, status) => void (existing(name).status = status),
    request: (name) => locate(name)?.request,
    takeSubnetOnce: (subnet, isListed = true) => {
      if (isListed) rival = subnet
      else held.add(subnet)
    },
    addImage: (tag, labels) => void images.set(tag, {id: tag, tags: [tag], labels}),

    listNetworks: (labels) =>
      asPromise(() =>
        [...networks.values()].filter(matches(labels)).map((network) => ({
          ...network,
          addressesInUse: live()
            .filter(({request}) => request.network.name === network.name)
            .map(({request}) => request.network.address),
        })),
      ),
    createNetwork: ({name, labels, subnet}) =>
      change(`createNetwork ${name}`, () => {
        if (rival === subnet)
          networks.set('rival', {id: 'rival', name: 'rival', labels: {}, subnets: [subnet]})
        if (held.has(subnet) || [...networks.values()].some(({subnets}) => subnets.includes(subnet))) {
          failed('Pool overlaps with other one on this address space')
        }
        if (networks.has(name)) failed(`network with name ${name} already exists`)
        serial += 1
        networks.set(name, {id: `net${serial}`, name, labels, subnets: [subnet]})
      }),
    removeNetwork: (id) =>
      change(`removeNetwork ${id}`, () => {
        const network = [...networks.values()].find((item) => item.id === id || item.name === id)
        if (network === undefined) return
        if (live().some(({request}) => request.network.name === network.name))
          failed('network has active endpoints')
        networks.delete(network.name)
      }),

    listContainers: (labels) =>
      asPromise(() => [...containers.values()].filter(({request}) => matches(labels)(request)).map(viewOf)),
    findContainer: (name) =>
      asPromise(() => {
        const container = locate(name)
        return container === undefined ? undefined : viewOf(container)
      }),
    createContainer: (request) =>
      change(`createContainer ${request.name}`, () => {
        if (containers.has(request.name)) failed(`the container name ${request.name} is already in use`)
        if (!images.has(request.image)) failed(`no such image: ${request.image}`)
        serial += 1
        const id = `id${serial}`
        for (const name of Object.keys(request.volumes)) {
          if (!volumes.has(name)) volumes.set(name, {name, labels: {}})
        }
        containers.set(request.name, {
          id,
          request,
          files: new Map(),
          status: 'created',
          everStarted: false,
          exitCode: 0,
        })
        return id
      }),
    startContainer: (name) =>
      change(`startContainer ${locate(name)?.request.name ?? name}`, () => {
        const container = existing(name)
        if (container.status === 'running') return
        const {address, name: network} = container.request.network
        if (!networks.has(network)) failed(`network ${network} not found`)
        if (live().some(({request}) => request.network.address === address)) failed('address already in use')
        const key = '/etc/ssh/ssh_host_ed25519_key.pub'
        if (!container.files.has(key))
          container.files.set(key, `ssh-ed25519 ${randomBytes(32).toString('base64')} fake\n`)
        Object.assign(container, {status: 'running', everStarted: true})
      }),
    restartContainer: (name) =>
      change(
        `restartContainer ${name}`,
        () => void Object.assign(existing(name), {status: 'running', everStarted: true}),
      ),
    stopContainer: (name) =>
      change(
        `stopContainer ${name}`,
        () => void Object.assign(existing(name), {status: 'exited', exitCode: 137}),
      ),
    removeContainer: (name) =>
      change(`removeContainer ${locate(name)?.request.name ?? name}`, () => {
        const container = locate(name)
        if (container !== undefined) containers.delete(container.request.name)
      }),
    exec: (name, argv) =>
      asPromise(() => {
        const container = existing(name)
        if (container.status !== 'running') failed(`container ${name} is not running`)
        const [program, word = ''] = argv
        const file = container.files.get(word)
        if (program === 'systemctl') return {exitCode: 0, stdout: 'running\n', stderr: ''}
        if (program === 'cat' && file !== undefined) return {exitCode: 0, stdout: file, stderr: ''}
        return {exitCode: 1, stdout: '', stderr: `${program}: ${word}: No such file or directory\n`}
      }),
    putFile: (name, file) =>
      change(`putFile ${locate(name)?.request.name ?? name} ${file.path}`, () => {
        existing(name).files.set(file.path, file.content)
      }),
    lastLines: () => Promise.resolve('fake log'),

    listVolumes: (labels) => asPromise(() => [...volumes.values()].filter(matches(labels))),
    createVolume: (name, labels) =>
      change(`createVolume ${name}`, () => {
        // As docker does: a volume that is there stays as it is.
        if (!volumes.has(name)) volumes.set(name, {name, labels})
      }),
    removeVolume: (name) =>
      change(`removeVolume ${name}`, () => {
        if ([...containers.values()].some(({request}) => name in request.volumes))
          failed(`volume ${name} is in use`)
        volumes.delete(name)
      }),

    findImage: (tag) => asPromise(() => images.get(tag)),
    importImage: (rootfs, tag, labels) => {
      rootfs.resume()
      return new Promise((resolve, reject) => {
        rootfs.once('end', () => {
          change(`importImage ${tag}`, () => void images.set(tag, {id: tag, tags: [tag], labels})).then(
            resolve,
            reject,
          )
        })
        rootfs.once('error', (error) => reject(new InfrastructureError('ENGINE_FAILED', error.message)))
      })
    },
    pullImage: (reference) => asPromise(() => failed(`pulling image ${reference}: no such host`)),
    buildImage: (_files, {tag, labels}) =>
      change(`buildImage ${tag}`, () => void images.set(tag, {id: tag, tags: [tag], labels})),
    removeImage: (tag) => change(`removeImage ${tag}`, () => void images.delete(tag)),
  }
}

function viewOf({id, request, status, everStarted, exitCode}: FakeContainer): EngineContainer {
  return {
    id,
    name: request.name,
    labels: request.labels,
    status,
    everStarted,
    exitCode,
    addresses: {[request.network.name]: request.network.address},
    publishedPorts: request.publishedPorts,
    volumes: Object.keys(request.volumes),
  }
}

function matches(wanted: Labels): (item: {readonly labels: Labels}) => boolean {
  return ({labels}) => Object.entries(wanted).every(([key, value]) => labels[key] === value)
}

function failed(message: string): never {
  throw new InfrastructureError('ENGINE_FAILED', message)
}

function asPromise<T>(make: () => T): Promise<T> {
  return new Promise((resolve) => resolve(make()))
}
