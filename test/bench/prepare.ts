// What a person would have ready before the clock starts: images as one tar per role, configuration files per node.
import {randomBytes} from 'node:crypto'
import {createWriteStream} from 'node:fs'
import {chmod, mkdir, writeFile} from 'node:fs/promises'
import {homedir} from 'node:os'
import {dirname, join} from 'node:path'
import {Readable} from 'node:stream'
import {pipeline} from 'node:stream/promises'
import {createRedactor} from '../../src/base/redaction.ts'
import type {ConfiguredNode} from '../../src/bootstrap/kubeadm/config.ts'
import {imagesFor} from '../../src/bundle/catalogue.ts'
import {tarOfImages} from '../../src/bundle/stream.ts'
import {specFromDocument} from '../../src/spec/load.ts'
import type {Machine} from '../../src/spec/machine.ts'
import {buildTools} from '../../src/wiring.ts'
import {clusterObjects, nodeFiles, sshFiles} from './by-hand-files.ts'
import {packageRoot} from './clusters.ts'

export interface Prepared {
  /** Folder of the bundle. */
  readonly bundle: string
  /** `name=address`, the control plane first. */
  readonly nodes: readonly string[]
}

/** Fills `folder` for by-hand.sh from a cluster whose machines were created and nothing more. */
export async function prepare(options: {
  readonly home: string
  readonly name: string
  readonly folder: string
  readonly signal: AbortSignal
}): Promise<Prepared> {
  const {home, name, folder, signal} = options
  const tools = buildTools({
    environment: process.env,
    userHome: homedir(),
    home,
    pid: process.pid,
    report: () => undefined,
    redactor: createRedactor(),
    log: () => undefined,
    signal,
    packageRoot,
    run: 'benchmark',
  })
  const record = await tools.store.load(name)
  if (record?.endpoint === undefined) throw new Error(`${name} in ${home} has no machines`)
  const {endpoint, machines} = record
  const spec = specFromDocument(record.document)
  const connector = tools.connectorFor(spec)
  const nodes: ConfiguredNode[] = []
  for (const machine of machines) {
    const host = await connector.connect(machine, {signal})
    nodes.push({machine, facts: host.facts})
    await host.close()
  }
  const arch = nodes[0]?.facts.arch ?? ''
  const bundle = await tools.bundleFor(spec.kubernetes.version, arch, signal)
  await writeSshFiles(machines, folder)
  for (const role of ['control-plane', 'worker'] as const) {
    const tar = Readable.from(tarOfImages(bundle, imagesFor(bundle, role, new Set())))
    await pipeline(tar, createWriteStream(join(folder, `images-${role}.tar`)), {signal})
  }
  const encryptionSecret = randomBytes(32).toString('base64')
  const cluster = {spec, endpoint, nodes, bundle, renderer: tools.renderer, encryptionSecret}
  for (const node of nodes) {
    for (const {path, content, mode} of nodeFiles(node, cluster)) {
      const target = join(folder, node.machine.name, path)
      await mkdir(dirname(target), {recursive: true})
      await writeFile(target, content)
      await chmod(target, mode)
    }
  }
  for (const [file, items] of Object.entries(clusterObjects(cluster)))
    await writeFile(join(folder, `${file}.json`), JSON.stringify({apiVersion: 'v1', kind: 'List', items}))
  return {bundle: bundle.dir, nodes: machines.map((machine) => `${machine.name}=${machine.address}`)}
}

/** Lets `ssh -F FOLDER/ssh_config NAME` reach the machines. */
export async function writeSshFiles(machines: readonly Machine[], folder: string): Promise<void> {
  for (const [file, content] of Object.entries(sshFiles(machines, folder)))
    await writeFile(join(folder, file), content, {mode: 0o600})
}
