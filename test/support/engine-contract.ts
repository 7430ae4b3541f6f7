import {PassThrough} from 'node:stream'
import {pack} from 'tar-stream'
import {expect, test, type TestContext} from 'vitest'
import type {ContainerEngine, ContainerRequest} from '../../src/infrastructure/containers/container-engine.ts'
import {InfrastructureError} from '../../src/infrastructure/errors.ts'

export interface EngineContractOptions {
  /** May skip the test. */
  readonly make: (context: TestContext) => Promise<ContainerEngine>
  /** An image with `cat` and `sleep`. */
  readonly image: (engine: ContainerEngine) => Promise<string>
  readonly capabilities: ContainerRequest['capabilities']
  /** A /24 that nobody has. */
  readonly subnet: (engine: ContainerEngine) => Promise<string>
}

const PREFIX = 'itest-contract'
const labels = {'clouder.dev/cluster': PREFIX}
const signal = AbortSignal.timeout(240_000)

/** What providers rely on; every ContainerEngine passes it, the fake too. */
export function engineContract(name: string, options: EngineContractOptions): void {
  const withEngine = (use: (engine: ContainerEngine) => Promise<void>) => async (context: TestContext) => {
    const engine = await options.make(context)
    await removeAll(engine)
    try {
      await use(engine)
    } finally {
      await removeAll(engine)
    }
  }
  const request = async (engine: ContainerEngine, subnet: string): Promise<ContainerRequest> => ({
    name: `${PREFIX}-a`,
    hostname: 'a',
    labels,
    image: await options.image(engine),
    entrypoint: ['sleep', 'infinity'],
    environment: {container: 'docker'},
    network: {name: PREFIX, address: subnet.replace(/0\/24$/, '2')},
    publishedPorts: {6443: 46443},
    volumes: {[`${PREFIX}-v`]: '/var/lib/etcd'},
    readOnlyFolders: {},
    tmpfs: {'/run': 'exec,mode=755'},
    capabilities: options.capabilities,
    stopSignal: 'SIGKILL',
  })
  const createNetwork = (engine: ContainerEngine, subnet: string) =>
    engine.createNetwork({name: PREFIX, labels, subnet, dynamicRange: subnet.replace('0/24', '128/25')})

  test(
    `${name}: a container lives from made over started and stopped to removed, with its files, address and port`,
    withEngine(async (engine) => {
      const subnet = await options.subnet(engine)
      await createNetwork(engine, subnet)
      await engine.createVolume(`${PREFIX}-v`, labels)
      const wanted = await request(engine, subnet)
      const id = await engine.createContainer(wanted)
      expect(await engine.findContainer(id)).toMatchObject({
        name: wanted.name,
        labels,
        status: 'created',
        everStarted: false,
        addresses: {[PREFIX]: wanted.network.address},
        publishedPorts: {6443: 46443},
        volumes: [`${PREFIX}-v`],
      })
      await engine.putFile(wanted.name, {path: '/root/hello', content: 'from outside\n', mode: 0o600})
      await engine.startContainer(wanted.name)
      await engine.startContainer(wanted.name)
      expect(await engine.findContainer(wanted.name)).toMatchObject({
        id,
        status: 'running',
        everStarted: true,
      })
      expect((await engine.listNetworks(labels))[0]?.addressesInUse).toEqual([wanted.network.address])
      expect(await engine.exec(wanted.name, ['cat', '/root/hello'], signal)).toEqual({
        exitCode: 0,
        stdout: 'from outside\n',
        stderr: '',
      })
      const absent = await engine.exec(wanted.name, ['cat', '/root/absent'], signal)
      expect(absent).toMatchObject({exitCode: 1, stdout: ''})
      expect(absent.stderr).toContain('No such file')
      await engine.stopContainer(wanted.name, 1)
      expect(await engine.findContainer(id)).toMatchObject({status: 'exited', exitCode: 137})
      await engine.startContainer(id)
      expect((await engine.exec(id, ['cat', '/root/hello'], signal)).stdout).toBe('from outside\n')
      expect((await engine.listContainers(labels)).map((container) => container.id)).toEqual([id])
      expect(await engine.listContainers({'clouder.dev/cluster': 'itest-somebody-else'})).toEqual([])
      await engine.removeContainer(wanted.name)
      await engine.removeContainer(wanted.name)
      expect(await engine.findContainer(id)).toBeUndefined()
      expect(
        (await engine.listVolumes(labels)).map((volume) => volume.name),
        'volumes outlive containers',
      ).toEqual([`${PREFIX}-v`])
    }),
  )

  test(
    `${name}: networks and volumes are found by label, made once, and removing an absent one is fine`,
    withEngine(async (engine) => {
      const subnet = await options.subnet(engine)
      await createNetwork(engine, subnet)
      await expectEngineFailed(createNetwork(engine, subnet))
      const [network] = await engine.listNetworks(labels)
      expect(network).toMatchObject({name: PREFIX, labels, subnets: [subnet], addressesInUse: []})
      await engine.createVolume(`${PREFIX}-v`, labels)
      await engine.createVolume(`${PREFIX}-v`, {'clouder.dev/cluster': 'itest-other'})
      expect(await engine.listVolumes(labels), 'a volume keeps its first labels').toEqual([
        {name: `${PREFIX}-v`, labels},
      ])
      await engine.removeVolume(`${PREFIX}-v`)
      await engine.removeVolume(`${PREFIX}-v`)
      await engine.removeNetwork(network?.id ?? '')
      await engine.removeNetwork(network?.id ?? '')
      expect(await engine.listNetworks(labels)).toEqual([])
      expect(await engine.listVolumes(labels)).toEqual([])
    }),
  )

  test(
    `${name}: a taken name, an absent container and a network in use are failures of the engine`,
    withEngine(async (engine) => {
      const subnet = await options.subnet(engine)
      await createNetwork(engine, subnet)
      const wanted = await request(engine, subnet)
      await engine.createContainer(wanted)
      await expectEngineFailed(engine.createContainer(wanted))
      await expectEngineFailed(engine.startContainer(`${PREFIX}-absent`))
      await engine.startContainer(wanted.name)
      await expectEngineFailed(engine.removeNetwork(PREFIX))
      await expectEngineFailed(engine.removeVolume(`${PREFIX}-v`))
    }),
  )

  test(
    `${name}: an imported image is found with its labels until it is removed`,
    withEngine(async (engine) => {
      const tag = `${PREFIX}:1`
      const archive = pack()
      archive.entry({name: 'etc/hello'}, 'hello')
      archive.finalize()
      expect(await engine.findImage(tag)).toBeUndefined()
      await engine.importImage(
        archive.pipe(new PassThrough()),
        tag,
        {'clouder.dev/node-image': 'abc'},
        signal,
      )
      expect(await engine.findImage(tag)).toMatchObject({
        tags: [tag],
        labels: {'clouder.dev/node-image': 'abc'},
      })
      await engine.removeImage(tag)
      await engine.removeImage(tag)
      expect(await engine.findImage(tag)).toBeUndefined()
    }),
  )
}

async function removeAll(engine: ContainerEngine): Promise<void> {
  await engine.removeContainer(`${PREFIX}-a`)
  await engine.removeVolume(`${PREFIX}-v`)
  await engine.removeNetwork(PREFIX)
  await engine.removeImage(`${PREFIX}:1`)
}

async function expectEngineFailed(call: Promise<unknown>): Promise<void> {
  const error: unknown = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(InfrastructureError)
  expect(error).toMatchObject({code: 'ENGINE_FAILED'})
}
