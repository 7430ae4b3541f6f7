import {randomBytes, randomUUID} from 'node:crypto'
import {mkdtemp, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import type {TestContext} from 'vitest'
import type {ContainerEngine, ExecResult} from '../../src/infrastructure/containers/container-engine.ts'
import {ensureNodeImage} from '../../src/infrastructure/containers/node-image.ts'
import type {NodeOs} from '../../src/infrastructure/containers/node-image-recipe.ts'
import {CLUSTER_LABEL, containerName, networkName} from '../../src/infrastructure/providers/local-decision.ts'
import {readLocalMachine} from '../../src/infrastructure/providers/local-machine.ts'
import {createNetwork} from '../../src/infrastructure/providers/local-create-network.ts'
import {assignAddresses, chooseSubnet} from '../../src/infrastructure/providers/local-network.ts'
import {createNode, waitForNode, type NodeTools} from '../../src/infrastructure/providers/local-node.ts'
import {ensureSshKey} from '../../src/infrastructure/providers/ssh-key.ts'
import {contextIn, specOf} from './local-cluster.ts'
import {localOptions, localProviderHere, needEngine} from './with-engine.ts'

/** Which machine a test wants. */
export interface WantedNode {
  /** Host name. */
  readonly name: string
  /** Default: debian-13. */
  readonly os?: NodeOs
  /** Who logs in; default: root. Another user gets sudo, and a password of its own that sudo asks for or not. */
  readonly login?: {readonly user: string; readonly sudo: 'passwordless' | 'password' | 'refused'}
}

/** A bare machine that answers SSH: an operating system and nothing of Kubernetes. */
export interface BareNode {
  readonly name: string
  readonly address: string
  readonly user: string
  /** Password of `user`, where it is not root. */
  readonly password: string
  /** Private key file that lets `user` in. */
  readonly keyPath: string
  /** `<type> <base64>` */
  readonly hostKeys: readonly string[]
  /** Name of its container. */
  readonly container: string
  /** Runs bash text on the machine as root, beside SSH; any exit code is an answer. */
  run(script: string): Promise<ExecResult>
  /** Standard output of a bash text that must succeed. */
  read(script: string): Promise<string>
  stop(): Promise<void>
  start(): Promise<void>
  /** Off and on again, as a power cut would. */
  restart(): Promise<void>
}

export interface Nodes {
  readonly nodes: readonly BareNode[]
  readonly engine: ContainerEngine
  /** A new CLOUDER_HOME. */
  readonly home: string
  /** A folder for the files of the test. */
  readonly dir: string
}

/** Gives bare machines in a network of their own; removed after, or kept and told about when the test failed. */
export async function withNodes(
  test: TestContext,
  wanted: readonly WantedNode[],
  body: (given: Nodes) => Promise<void>,
): Promise<void> {
  const engine = await needEngine(test)
  const dir = await mkdtemp(join(tmpdir(), 'clouder-nodes-'))
  const cluster = `byon-${randomBytes(3).toString('hex')}`
  const clean = async (): Promise<void> => {
    await localProviderHere().destroy(cluster, contextIn(dir, cluster))
    await rm(dir, {recursive: true, force: true})
  }
  let nodes: readonly BareNode[]
  try {
    nodes = await makeNodes(engine, cluster, wanted, dir)
  } catch (error) {
    await clean()
    throw error
  }
  try {
    await body({nodes, engine, home: join(dir, 'home'), dir})
  } catch (error) {
    if (process.env['CLOUDER_KEEP_NODES'] === '0') await clean()
    else process.stderr.write(keptText(cluster, nodes, dir))
    throw error
  }
  await clean()
}

function keptText(cluster: string, nodes: readonly BareNode[], dir: string): string {
  const lines = nodes.map(
    ({name, address, user, keyPath, container}) =>
      `  ${name}: ssh -i ${keyPath} ${user}@${address}, docker exec -it ${container} bash`,
  )
  const filter = `--filter label=${CLUSTER_LABEL}=${cluster}`
  return [
    `the machines of the failed test are kept, its files in ${dir}:`,
    ...lines,
    `  remove them: docker rm -fv $(docker ps -aq ${filter}); docker volume rm $(docker volume ls -q ${filter}); docker network rm ${networkName(cluster)}`,
    '',
  ].join('\n')
}

async function makeNodes(
  engine: ContainerEngine,
  cluster: string,
  wanted: readonly WantedNode[],
  dir: string,
): Promise<readonly BareNode[]> {
  const context = contextIn(dir, cluster)
  const {signal} = context
  const machine = await readLocalMachine()
  const spec = specOf(cluster, {})
  const {podCidr, serviceCidr} = spec.network
  const subnet = await createNetwork(engine, cluster, (taken) =>
    chooseSubnet([...machine.routes, ...taken, podCidr, serviceCidr]),
  )
  const keyPath = join(dir, 'id_ed25519')
  const publicKey = await ensureSshKey(keyPath)
  const names = wanted.map(({name}) => name)
  const addresses = assignAddresses(names, new Map(), [], subnet)
  const images = new Map<NodeOs, string>()
  for (const os of new Set(wanted.map((node) => node.os ?? 'debian-13'))) {
    const report = (): void => undefined
    images.set(os, await ensureNodeImage({...localOptions(), engine, os, report, signal}))
  }
  return Promise.all(
    wanted.map(async (node): Promise<BareNode> => {
      const image = images.get(node.os ?? 'debian-13') ?? ''
      const tools: NodeTools = {engine, spec, machine, publicKey, image, subnet, context}
      const address = addresses.get(node.name) ?? ''
      const planned = {
        name: node.name,
        role: 'worker' as const,
        pool: undefined,
        labels: {},
        taints: [],
        host: undefined,
        path: [],
      }
      await createNode(
        tools,
        {
          node: planned,
          action: 'create',
          reason: 'a test wants it',
          container: undefined,
          leftoverVolumes: [],
        },
        {address, publishedPorts: {}},
      )
      const hostKeys = await waitForNode(tools, node.name, address)
      return bareNode({engine, cluster, node, address, keyPath, publicKey, hostKeys, tools})
    }),
  )
}

interface Parts {
  readonly engine: ContainerEngine
  readonly cluster: string
  readonly node: WantedNode
  readonly address: string
  readonly keyPath: string
  readonly publicKey: string
  readonly hostKeys: readonly string[]
  readonly tools: NodeTools
}

async function bareNode(parts: Parts): Promise<BareNode> {
  const {engine, cluster, node, address, keyPath, hostKeys, tools} = parts
  const container = containerName(cluster, node.name)
  const run = (script: string): Promise<ExecResult> =>
    engine.exec(container, ['bash', '-c', script], AbortSignal.timeout(60_000))
  const read = async (script: string): Promise<string> => {
    const {exitCode, stdout, stderr} = await run(script)
    if (exitCode !== 0) throw new Error(`${node.name}: ${script} exited with ${exitCode}: ${stderr}`)
    return stdout
  }
  const up = async (): Promise<void> => {
    await waitForNode(tools, node.name, address)
  }
  const password = `canary-${randomUUID()}`
  if (node.login !== undefined) await makeLogin(parts, node.login, password, read)
  return {
    name: node.name,
    address,
    user: node.login?.user ?? 'root',
    password,
    keyPath,
    hostKeys,
    container,
    run,
    read,
    stop: () => engine.stopContainer(container, 0),
    async start() {
      await engine.startContainer(container)
      await up()
    },
    async restart() {
      await engine.restartContainer(container, 0)
      await up()
    },
  }
}

async function makeLogin(
  {engine, cluster, node, publicKey}: Parts,
  {user, sudo}: NonNullable<WantedNode['login']>,
  password: string,
  read: (script: string) => Promise<string>,
): Promise<void> {
  const container = containerName(cluster, node.name)
  // By a file, so that the password is on no command line, not even here.
  const file = (path: string, content: string, mode: number) =>
    engine.putFile(container, {path, content, mode})
  await file('/root/password', `${user}:${password}\n`, 0o600)
  await file('/root/key', `${publicKey}\n`, 0o600)
  await read(
    [
      `useradd --create-home --shell /bin/bash ${user}`,
      'chpasswd < /root/password',
      `install -d -m 700 -o ${user} -g ${user} /home/${user}/.ssh`,
      `install -m 600 -o ${user} -g ${user} /root/key /home/${user}/.ssh/authorized_keys`,
      'rm /root/password /root/key',
    ].join(' && '),
  )
  if (sudo === 'refused') return
  const rule = sudo === 'passwordless' ? 'NOPASSWD: ALL' : 'ALL'
  await file(`/etc/sudoers.d/${user}`, `${user} ALL=(ALL) ${rule}\n`, 0o440)
}
