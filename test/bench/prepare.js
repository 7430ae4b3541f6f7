// What a person would have ready before the clock starts: images as one tar per role, configuration files per node.
import {createWriteStream} from 'node:fs'
import {chmod, mkdir, writeFile} from 'node:fs/promises'
import {dirname, join} from 'node:path'
import {Readable} from 'node:stream'
import {pipeline} from 'node:stream/promises'
import {stringify} from 'yaml'
import {checkpointDefinitions} from '../../dist/src/platform/addons/checkpoint-definitions.js'
import {checkpointObjects} from '../../dist/src/platform/addons/checkpoint.js'
import {flannelObjects} from '../../dist/src/platform/addons/flannel.js'
import {imagesFor} from '../../dist/src/bundle/catalogue.js'
import {tarOfImages} from '../../dist/src/bundle/stream.js'
import {createRedactor} from '../../dist/src/bootstrap/hosts/redaction.js'
import {initDocuments, kubeletPatch} from '../../dist/src/bootstrap/kubeadm/config.js'
import {wantedContainerd} from '../../dist/src/bootstrap/phases/containerd/wanted.js'
import {criuFiles} from '../../dist/src/bootstrap/phases/criu.js'
import {specFromDocument} from '../../dist/src/spec/load.js'
import {buildTools} from '../../dist/src/wiring.js'

const PATCHES = '/etc/kubernetes/patches'

/** Fills `folder` for by-hand.sh from a cluster whose machines were created and nothing more. */
export async function prepare({packageRoot, home, name, folder}) {
  const signal = new AbortController().signal
  const tools = buildTools({
    environment: process.env,
    userHome: process.env.HOME,
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
  const spec = specFromDocument(record.document)
  const nodes = []
  for (const machine of record.machines) {
    const host = await tools.connectorFor(spec).connect(machine, {signal})
    nodes.push({machine, facts: host.facts})
    await host.close()
  }
  const bundle = await tools.bundleFor(spec.kubernetes.version, nodes[0].facts.arch, signal)
  await sshConfig(record.machines, folder)
  for (const role of ['control-plane', 'worker']) {
    const tar = Readable.from(tarOfImages(bundle, imagesFor(bundle, role)))
    await pipeline(tar, createWriteStream(join(folder, `images-${role}.tar`)))
  }
  for (const node of nodes)
    await nodeFiles(node, {spec, record, nodes, bundle, renderer: tools.renderer, folder})
  const items = [...networkObjects(spec, bundle, record.endpoint), runtimeClass]
  const {reference: image, manifestDigest: imageDigest} = bundle.lock.images.find(
    ({name: of}) => of === 'clouder',
  )
  const lists = {
    network: items,
    definitions: checkpointDefinitions(),
    checkpoint: checkpointObjects({image, imageDigest, store: spec.checkpoint.store}),
  }
  for (const [file, objects] of Object.entries(lists))
    await writeFile(
      join(folder, `${file}.json`),
      JSON.stringify({apiVersion: 'v1', kind: 'List', items: objects}),
    )
  return {bundle: bundle.dir, nodes: record.machines.map(({name: node, address}) => `${node}=${address}`)}
}

const networkObjects = (spec, bundle, endpoint) =>
  flannelObjects({
    image: bundle.lock.images.find((image) => image.name === 'flannel').reference,
    podCidr: spec.network.podCidr,
    api: endpoint.internal,
  })

const runtimeClass = {
  apiVersion: 'node.k8s.io/v1',
  kind: 'RuntimeClass',
  metadata: {name: 'clouder-restore'},
  handler: 'clouder-restore',
}

/** One connection per node, shared by all commands, with the keys that are pinned. */
export async function sshConfig(machines, folder) {
  const hosts = machines.map(({name, address, ssh}) =>
    [
      `Host ${name}`,
      `HostName ${address}`,
      `Port ${ssh.port}`,
      `User ${ssh.user}`,
      `IdentityFile ${ssh.keyPath}`,
      'IdentitiesOnly yes',
      'BatchMode yes',
      `HostKeyAlias ${name}`,
      `UserKnownHostsFile ${join(folder, 'known_hosts')}`,
      'StrictHostKeyChecking yes',
      'ControlMaster auto',
      `ControlPath ${join(folder, 'mux-%n')}`,
      'ControlPersist 20',
    ].join('\n  '),
  )
  await writeFile(join(folder, 'ssh_config'), `${hosts.join('\n')}\n`, {mode: 0o600})
  const keys = machines.flatMap(({name, ssh}) => ssh.hostKeys.map((key) => `${name} ${key}\n`))
  await writeFile(join(folder, 'known_hosts'), keys.join(''))
}

async function nodeFiles({machine, facts}, {spec, record, nodes, bundle, renderer, folder}) {
  const put = async (path, content, mode = 0o644) => {
    const target = join(folder, machine.name, path)
    await mkdir(dirname(target), {recursive: true})
    await writeFile(target, content)
    await chmod(target, mode)
  }
  const wanted = wantedContainerd(spec, facts, bundle, renderer)
  for (const file of [...wanted.daemonFiles, ...criuFiles(spec, renderer)])
    await put(file.path, file.content, file.mode)
  await put('/etc/systemd/system/kubelet.service', renderer.render('kubernetes/kubelet.service', {}))
  await put(
    '/etc/systemd/system/kubelet.service.d/10-kubeadm.conf',
    renderer.render('kubernetes/10-kubeadm.conf', {}),
  )
  const patch = kubeletPatch(facts)
  await put(`${PATCHES}/.keep`, '')
  if (patch !== undefined) await put(`${PATCHES}/kubeletconfiguration0+merge.yaml`, stringify(patch))
  if (machine.role !== 'control-plane') return
  const documents = initDocuments(spec, record.endpoint, {machine, facts}, nodes).map((document) =>
    document.patches === undefined ? document : {...document, patches: {directory: PATCHES}},
  )
  await put('/etc/kubernetes/kubeadm.yaml', documents.map((document) => stringify(document)).join('---\n'))
}
