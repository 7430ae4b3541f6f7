import {Registry} from 'prom-client'
import {mkdir, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {SYSTEM_NAMESPACE} from '../../../../src/api/names.ts'
import {answeringKey, PeerRefusedError} from '../../../../src/operator/peer-tls.ts'
import {ObjectCache} from '../../../../src/operator/cache.ts'
import {FOLLOWED} from '../../../../src/programs/controller/followed-kinds.ts'
import {askUsage} from '../../../../src/programs/controller/usage.ts'
import {serveHttp} from '../../../../src/operator/http-server.ts'
import {podUsage, serveUsage} from '../../../../src/programs/node-agent/usage.ts'
import {FakeKube} from '../../../support/fake-kube.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const ONE = '6f4a2b1c-0d3e-4f5a-8b6c-7d8e9f0a1b2c'
const TWO = '11111111-2222-3333-4444-555555555555'
const KEY = Buffer.alloc(32, 7).toString('base64')

async function write(root: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(join(root, path, '..'), {recursive: true})
    await writeFile(join(root, path), text)
  }
}

test.for([
  [
    'version 1, cgroupfs',
    {
      [`cpuacct/kubepods/besteffort/pod${ONE}/cpuacct.usage`]: '1500000000\n',
      [`cpuacct/kubepods/pod${TWO}/cpuacct.usage`]: '2000000\n',
      'cpuacct/system.slice/sshd.service/cpuacct.usage': '99\n',
    },
  ],
  [
    'version 2, systemd',
    {
      'cgroup.controllers': 'cpu memory\n',
      [`kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${ONE.replaceAll('-', '_')}.slice/cpu.stat`]:
        'usage_usec 1500000\nuser_usec 1\n',
      [`kubepods.slice/kubepods-pod${TWO.replaceAll('-', '_')}.slice/cpu.stat`]: 'usage_usec 2000\n',
      'system.slice/sshd.service/cpu.stat': 'usage_usec 9\n',
    },
  ],
] as const)('the processor time of pods is read from their cgroups: %s', async ([, files]) => {
  await withTempFolder(async (root) => {
    await write(root, files)
    expect(await podUsage(root)).toEqual({[ONE]: 1500, [TWO]: 2})
  })
})

test('an agent tells it to the controller, which has the key, and to nobody else', async () => {
  await withTempFolder(async (root) => {
    await write(root, {[`cpuacct/kubepods/pod${ONE}/cpuacct.usage`]: '7000000\n'})
    const key = answeringKey(
      () => Promise.resolve(KEY),
      () => 0,
    )
    key.of('')
    await key.settled()
    const server = await serveHttp(0, {
      registry: new Registry(),
      health: {problem: () => undefined, unready: () => undefined},
      peers: {
        key,
        answer: (request, response) => serveUsage(request, response, {cgroupRoot: root, now: () => 1000}),
      },
      log: () => undefined,
    })
    const {port} = server
    const secret = (key: string) => ({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: {name: 'checkpoint-key', namespace: SYSTEM_NAMESPACE},
      data: {'peer-key': Buffer.from(key).toString('base64')},
    })
    const kube = new FakeKube()
    kube.put(secret(KEY))
    kube.put({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name: 'agent-1',
        namespace: SYSTEM_NAMESPACE,
        labels: {'app.kubernetes.io/name': 'clouder-node-agent'},
      },
      spec: {nodeName: 'worker-1'},
      status: {podIP: '127.0.0.1'},
    })
    const over = new AbortController()
    const cache = new ObjectCache({
      kinds: FOLLOWED,
      kube,
      log: () => undefined,
      listener: {onChange: () => undefined, onGone: () => undefined, onUnreadable: () => undefined},
    })
    const synced = Promise.withResolvers<undefined>()
    const following = cache.follow(over.signal, () => synced.resolve(undefined))
    await synced.promise
    const ask = (node: string) => askUsage(node, cache, {kube, port, signal: over.signal})
    try {
      expect(await ask('worker-1')).toEqual({atMs: 1000, pods: {[ONE]: 7}})
      await expect(ask('worker-2')).rejects.toThrow('node worker-2 has no node agent')
      kube.put(secret(Buffer.alloc(32, 8).toString('base64')))
      await expect(ask('worker-1')).rejects.toThrow(PeerRefusedError)
    } finally {
      over.abort()
      await following
      server.close()
    }
  })
})
