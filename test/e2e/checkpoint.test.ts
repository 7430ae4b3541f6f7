import {expect} from 'vitest'
import {API_VERSION, RESTORE_ANNOTATION, RESTORE_RUNTIME} from '../../src/api/names.ts'
import {newAgeKey} from '../../src/checkpoint/sealed/age.ts'
import {
  applyTraveller,
  checkpointOf,
  expectDone,
  expectRefused,
  expectSame,
  identityOf,
  killPods,
  kubectl,
  makeNamespace,
  NAMESPACE,
  nodeOf,
  run,
  startTraveller,
  waitForValue,
} from '../support/e2e-checkpoints.ts'
import type {E2eCluster} from '../support/e2e-cluster.ts'
import {moveLazily} from '../support/e2e-lazy.ts'
import {endOf} from '../support/e2e-results.ts'
import {preCopyOfNodes} from '../support/e2e-pre-copy.ts'
import {moveWithoutRoom} from '../support/e2e-room.ts'
import {scenario} from '../support/e2e-scenario.ts'

const STORE = '/var/lib/clouder/store'
const IN_CLEAR = `${STORE} /var/lib/clouder/restore /var/lib/clouder/dumps /var/lib/clouder/archives /var/lib/clouder/memory /var/lib/kubelet/checkpoints`

/** The same process, further on. */
const remove = (cluster: E2eCluster, ...pods: readonly string[]): Promise<string> =>
  kubectl(cluster, `delete pod ${pods.join(' ')} -n ${NAMESPACE} --ignore-not-found`)

scenario('checkpoint and restore in a cluster', {prefix: 'e2e-ckpt', workers: 2}, (chapter) => {
  chapter('a cluster comes up with what carries out checkpoints', async (cluster) => {
    const made = await cluster.init()
    expect(made.exitCode, endOf(made)).toBe(0)
    expect((await cluster.plan()).steps).toEqual([])
    await makeNamespace(cluster, NAMESPACE)
  })

  chapter(
    'a process goes on from memory on the same node, on another, and after its pod is gone',
    async (cluster) => {
      await startTraveller(cluster, 'web', {node: 'worker-1', mebibytes: 200})
      const before = await identityOf(cluster, 'web')
      const name = await checkpointOf(cluster, 'web')
      await expectDone(cluster, `checkpoint restore ${NAMESPACE}/${name} --as same --to worker-1`)
      expectSame(await identityOf(cluster, 'same'), before)
      await expectDone(cluster, `checkpoint restore ${NAMESPACE}/${name} --as other --to worker-2`)
      expectSame(await identityOf(cluster, 'other'), before)
      expect(await nodeOf(cluster, 'other')).toBe('worker-2')
      const last = await checkpointOf(cluster, 'web', ' --stop')
      await expect(nodeOf(cluster, 'web')).rejects.toThrow(/NotFound/)
      await expectDone(cluster, `checkpoint restore ${NAMESPACE}/${last} --to worker-2`)
      expectSame(await identityOf(cluster, 'web'), before)
      await remove(cluster, 'same', 'other')
    },
  )

  chapter('what is stored is small the second time, whole, and told without a key', async (cluster) => {
    // On the disk of the node that it is on now.
    await checkpointOf(cluster, 'web')
    const node = await nodeOf(cluster, 'web')
    const storeBytes = async (): Promise<number> =>
      Number.parseInt(await cluster.read(node, 'du -sb /var/lib/clouder/store'), 10)
    const before = await storeBytes()
    const name = await checkpointOf(cluster, 'web')
    const path = `ckpt/${name} -n ${NAMESPACE} -o 'jsonpath={.status.storedBytes} {.status.summary.containers[0].processes[0].command}'`
    const [stored, command] = (await kubectl(cluster, `get ${path}`)).split(' ')
    // Its 200 MiB of random memory are there already.
    expect((await storeBytes()) - before).toBeLessThan(Number(stored) / 10)
    expect(command).toBe('smoke')
    await expectDone(cluster, `checkpoint verify ${NAMESPACE}/${name}`)
  })

  chapter('a dump to a folder and an archive of the runtime are the same process', async (cluster) => {
    await startTraveller(cluster, 'ways', {node: 'worker-1', mebibytes: 20})
    const before = await identityOf(cluster, 'ways')
    const wayOf = (name: string) =>
      kubectl(cluster, `get ckpt ${name} -n ${NAMESPACE} -o jsonpath={.status.containers[0].dump}`)
    const direct = await checkpointOf(cluster, 'ways')
    expect(await wayOf(direct)).toBe('Direct')
    // As on a node that an earlier release has set up.
    const hide = (from: string, to: string) =>
      cluster.read('worker-1', `mv ${from}/*-clouder-files ${to}/ && ls ${to}/*-clouder-files`)
    await hide('/opt/clouder/store', '/root')
    try {
      const archive = await checkpointOf(cluster, 'ways')
      expect(await wayOf(archive)).toBe('Runtime')
      for (const [pod, name] of [
        ['from-folder', direct],
        ['from-archive', archive],
      ] as const) {
        await expectDone(cluster, `checkpoint restore ${NAMESPACE}/${name} --as ${pod} --to worker-2`)
        expectSame(await identityOf(cluster, pod), before)
      }
    } finally {
      await hide('/root', '/opt/clouder/store')
    }
    await remove(cluster, 'ways', 'from-folder', 'from-archive')
  })

  chapter('a pod moves under its name, with its labels', async (cluster) => {
    const before = await identityOf(cluster, 'web')
    await expectDone(cluster, `checkpoint migrate ${NAMESPACE}/web --to worker-1`)
    expect(await nodeOf(cluster, 'web')).toBe('worker-1')
    expectSame(await identityOf(cluster, 'web'), before)
    expect(
      await kubectl(cluster, `get pods -n ${NAMESPACE} -l app=web -o jsonpath={.items[*].metadata.name}`),
    ).toBe('web')
    await remove(cluster, 'web')
  })

  chapter(
    'a changed piece, a foreign key and wider privileges are refused, each for its reason',
    async (cluster) => {
      await startTraveller(cluster, 'kept', {node: 'worker-1', capabilities: ['NET_ADMIN']})
      const name = await checkpointOf(cluster, 'kept')
      const place = `${NAMESPACE}/${name}`

      await applyTraveller(cluster, 'narrow', {
        node: 'worker-1',
        runtimeClassName: RESTORE_RUNTIME,
        annotations: {[RESTORE_ANNOTATION]: name},
      })
      const state =
        '.status.containerStatuses[0].state.waiting.message}{.status.containerStatuses[0].lastState.terminated.message'
      await waitForValue(cluster, 'pod/narrow', state, (seen) => seen.includes('PRIVILEGES_WIDER'))
      await remove(cluster, 'narrow')

      const secret = 'get secret checkpoint-key -n clouder-system -o jsonpath={.data.identity}'
      const own = await kubectl(cluster, secret)
      const foreign = Buffer.from((await newAgeKey()).identity).toString('base64')
      const setIdentity = (identity: string) =>
        kubectl(
          cluster,
          `patch secret checkpoint-key -n clouder-system -p '{"data":{"identity":"${identity}"}}'`,
        )
      await setIdentity(foreign)
      try {
        await expectRefused(cluster, `checkpoint restore ${place} --as stranger --to worker-2`, {
          code: 'KEY_WRONG',
        })
      } finally {
        await setIdentity(own)
      }

      const [digest = ''] = (
        await kubectl(cluster, `get ckpt ${name} -n ${NAMESPACE} -o jsonpath={.status.digest}`)
      ).split(' ')
      // The second digest in the manifest is that of the first piece.
      const script = [
        'set -euo pipefail',
        `manifest=$(find ${STORE}/manifests/${digest.slice(7)} -type f)`,
        `piece=$(grep -o 'sha256:[0-9a-f]*' "$manifest" | sed -n 's/^sha256://;2p')`,
        `file=$(find ${STORE}/blobs -type f -name "$piece")`,
        'printf X | dd of="$file" bs=1 seek=20 conv=notrunc status=none',
      ].join('\n')
      await cluster.read('worker-1', script)
      const verified = await run(cluster, `checkpoint verify ${place}`)
      expect(verified.exitCode).toBe(11)
      expect(verified.stdout).toContain('BLOB_TAMPERED')
      await expectRefused(cluster, `checkpoint restore ${place} --as forged --to worker-1`, {
        code: 'BLOB_TAMPERED',
      })
      await remove(cluster, 'kept', 'stranger', 'forged')
    },
  )

  chapter('a checkpoint that fails says why, and its pod runs on', async (cluster) => {
    await expectRefused(cluster, `checkpoint create ${NAMESPACE}/nobody`, {code: 'POD_NOT_FOUND'})
    await startTraveller(cluster, 'busy', {node: 'worker-1', tty: true})
    const before = await identityOf(cluster, 'busy')
    const checkpoint = {
      apiVersion: API_VERSION,
      kind: 'Checkpoint',
      metadata: {name: 'hooked', namespace: NAMESPACE},
      spec: {
        podRef: {name: 'busy'},
        podPolicy: 'Delete',
        hooks: {preCheckpoint: {container: 'smoke', command: ['/smoke', 'no-such-word']}},
      },
    }
    await kubectl(cluster, 'apply -f -', JSON.stringify(checkpoint))
    await waitForValue(cluster, 'ckpt/hooked', '.status.phase', (phase) => phase === 'Failed')
    expectSame(await identityOf(cluster, 'busy'), before)
    // Its terminal goes along.
    await expectDone(cluster, `checkpoint migrate ${NAMESPACE}/busy --to worker-2`)
    expectSame(await identityOf(cluster, 'busy'), before)
    await expectDone(cluster, `checkpoint doctor ${NAMESPACE}/busy`)
    await remove(cluster, 'busy')
  })

  chapter('a killed command leaves the cluster at work, and is found again', async (cluster) => {
    await startTraveller(cluster, 'long', {node: 'worker-1', mebibytes: 50})
    const before = await identityOf(cluster, 'long')
    const killed = await run(cluster, `checkpoint migrate ${NAMESPACE}/long --to worker-2`, {
      onEvent: (event, child) => {
        if (event.type === 'task-started' && event['task'] === 'migration') child.kill('SIGKILL')
      },
    })
    expect(killed.signal).toBe('SIGKILL')
    const [name = ''] = (
      await kubectl(
        cluster,
        `get ckptmove -n ${NAMESPACE} -o 'jsonpath={.items[?(@.spec.podName=="long")].metadata.name}'`,
      )
    ).split(' ')
    await waitForValue(cluster, `ckptmove/${name}`, '.status.phase', (phase) => phase === 'Succeeded')
    expectSame(await identityOf(cluster, 'long'), before)
    expect(await nodeOf(cluster, 'long')).toBe('worker-2')
  })

  chapter('agents and controllers that are killed in the middle of a move lose nobody', async (cluster) => {
    for (const program of ['clouder-node-agent', 'clouder-controller']) {
      const before = await identityOf(cluster, 'long')
      const to = (await nodeOf(cluster, 'long')) === 'worker-1' ? 'worker-2' : 'worker-1'
      await expectDone(cluster, `checkpoint migrate ${NAMESPACE}/long --to ${to} --no-wait`)
      await killPods(cluster, program)
      const path = `.items[?(@.spec.nodeName=="${to}")].status.phase`
      await waitForValue(cluster, 'ckptmove', path, (phases) =>
        phases.split(' ').every((phase) => ['Succeeded', 'RolledBack'].includes(phase)),
      )
      expectSame(await identityOf(cluster, 'long'), before)
      await kubectl(cluster, `delete ckptmove --all -n ${NAMESPACE}`)
    }
  })

  moveWithoutRoom(chapter)

  preCopyOfNodes(chapter)

  moveLazily(chapter)

  chapter('a drain moves what a policy opts in, and kills nothing of it', async (cluster) => {
    await startTraveller(cluster, 'stays', {node: 'worker-1', labels: {keep: 'yes'}})
    const before = await identityOf(cluster, 'stays')
    await expectDone(cluster, `checkpoint schedule ${NAMESPACE}/keep --selector keep=yes --on-drain`)
    await expectDone(cluster, 'node drain worker-1 --checkpoint --timeout 3m')
    expect(await nodeOf(cluster, 'stays')).not.toBe('worker-1')
    expectSame(await identityOf(cluster, 'stays'), before)
    await kubectl(cluster, 'uncordon worker-1')
  })

  chapter('a policy checkpoints by the clock, and keeps as many as it says', async (cluster) => {
    const policy = {
      apiVersion: API_VERSION,
      kind: 'CheckpointPolicy',
      metadata: {name: 'minutely', namespace: NAMESPACE},
      spec: {selector: {matchLabels: {keep: 'yes'}}, schedule: '* * * * *', retention: {keepLast: 1}},
    }
    await kubectl(cluster, 'apply -f -', JSON.stringify(policy))
    const made = `ckpt -l clouder.dev/policy=minutely`
    await waitForValue(cluster, made, '.items[*].status.phase', (phases) =>
      phases.split(' ').includes('Ready'),
    )
    await kubectl(cluster, `delete ckptpolicy --all -n ${NAMESPACE}`)
  })

  chapter('the token of a process that is gone is in clear on no disk', async (cluster) => {
    const {token} = await identityOf(cluster, 'stays')
    await checkpointOf(cluster, 'stays', ' --stop')
    for (const machine of cluster.machines) {
      const found = await cluster.read(
        machine,
        `grep -rlaF ${token} ${IN_CLEAR} /var/log/pods 2>/dev/null || true`,
      )
      expect(found.trim(), machine).toBe('')
    }
  })
})
