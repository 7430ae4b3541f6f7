import {spawn, type ChildProcess} from 'node:child_process'
import {mkdtemp, rm, writeFile} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {API_VERSION} from '../../src/api/names.ts'
import {kubectl} from './e2e-checkpoints.ts'
import type {E2eCluster} from './e2e-cluster.ts'
import {addressAmong} from './e2e-stores.ts'
import {freePort} from './free-port.ts'
import {ended, saidBy} from './started-server.ts'
import {buildRegistry} from './with-registry.ts'

/** A registry that the nodes of a cluster reach, as the CheckpointStore of that name; it can be away, and keeps what it has. */
export interface NodeStore extends AsyncDisposable {
  readonly name: string
  /** As a crash would. */
  stop(): Promise<void>
  start(): Promise<void>
}

export async function startNodeStore(cluster: E2eCluster, name = 'shelf'): Promise<NodeStore> {
  const program = await buildRegistry()
  const folder = await mkdtemp(join(tmpdir(), 'clouder-store-'))
  const address = await addressAmong(cluster)
  const port = await freePort(address)
  const file = join(folder, 'config.json')
  const configuration = {
    version: '0.1',
    log: {level: 'info', accesslog: {disabled: true}},
    storage: {filesystem: {rootdirectory: join(folder, 'data')}, delete: {enabled: true}},
    http: {addr: `${address}:${port}`},
  }
  await writeFile(file, JSON.stringify(configuration))
  let child: ChildProcess | undefined
  const stop = async (): Promise<void> => {
    if (child !== undefined) await ended(child)
    child = undefined
  }
  const start = async (): Promise<void> => {
    if (child !== undefined) return
    child = spawn(program, ['serve', file], {
      env: {PATH: process.env['PATH'], OTEL_TRACES_EXPORTER: 'none'},
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    await saidBy(child, 'the registry', /(listening on )/)
  }
  await start()
  const store = {
    apiVersion: API_VERSION,
    kind: 'CheckpointStore',
    metadata: {name},
    spec: {
      registry: {repository: `${address}:${port}/e2e/${name}`, insecure: true},
      allowedNamespaces: {matchLabels: {}},
    },
  }
  await kubectl(cluster, 'apply -f -', JSON.stringify(store))
  return {
    name,
    stop,
    start,
    [Symbol.asyncDispose]: async () => {
      await stop()
      await rm(folder, {recursive: true, force: true})
    },
  }
}
