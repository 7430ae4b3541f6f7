import {writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {afterAll, expect} from 'vitest'
import {SMOKE_REFERENCE} from '../../src/bundle/catalogue.ts'
import {
  API_VERSION,
  BACKEND_LABELS,
  RESTORE_ANNOTATION,
  RESTORE_RUNTIME,
  SYSTEM_NAMESPACE,
} from '../../src/api/names.ts'
import {newAgeKey} from '../../src/checkpoint/sealed/age.ts'
import {readEnvelope} from '../../src/checkpoint/sealed/open.ts'
import {newSigningKey, signerOf} from '../../src/checkpoint/sealed/signature.ts'
import {digestSchema} from '../../src/api/sealed-checkpoint.ts'
import {digestOf as contentDigest, gather, onePiece} from '../../src/checkpoint/stores/content.ts'
import type {Digest} from '../../src/checkpoint/stores/blob-store.ts'
import type {Objects} from '../../src/checkpoint/stores/objects.ts'
import {containerName} from '../../src/infrastructure/providers/local-decision.ts'
import {
  applyTraveller,
  checkpointOf,
  expectDone,
  expectRefused,
  expectSame,
  identityOf,
  kubectl,
  NAMESPACE,
  nodeOf,
  run,
  startTraveller,
  waitForValue,
} from '../support/e2e-checkpoints.ts'
import {filesWith, nodeFilesWith, objectsWith, tells} from '../support/e2e-canary.ts'
import type {E2eCluster} from '../support/e2e-cluster.ts'
import {endOf} from '../support/e2e-results.ts'
import {scenario} from '../support/e2e-scenario.ts'
import {filesBelow} from '../support/e2e-secrets.ts'
import {
  applyAll,
  BLOBS_IDENTITY,
  keysOf,
  openedBy,
  sealAnew,
  secret,
  serveStores,
  SHARED,
  shareFolder,
  type ServedStores,
} from '../support/e2e-stores.ts'

const CLAIM = 'checkpoints'
const {signal} = new AbortController()
const ended = new AsyncDisposableStack()
let served: ServedStores | undefined
afterAll(() => ended.disposeAsync())

function stores(): ServedStores {
  if (served === undefined) throw new Error('no stores are served')
  return served
}

const remove = (cluster: E2eCluster, ...pods: readonly string[]): Promise<string> =>
  kubectl(cluster, `delete pod ${pods.join(' ')} -n ${NAMESPACE} --ignore-not-found --grace-period=1`)

async function digestOf(cluster: E2eCluster, checkpoint: string): Promise<Digest> {
  const path = `get ckpt ${checkpoint} -n ${NAMESPACE} -o jsonpath={.status.digest}`
  return digestSchema.parse(await kubectl(cluster, path))
}

/** A Checkpoint of what lies in a store already; gives its phase, reason and message when it has ended. */
async function imported(cluster: E2eCluster, name: string, store: string, digest: Digest): Promise<string> {
  const spec = {import: {digest}, storeName: store}
  await applyAll(cluster, [
    {apiVersion: API_VERSION, kind: 'Checkpoint', metadata: {name, namespace: NAMESPACE}, spec},
  ])
  const path = '.status.phase} {.status.reason} {.status.message'
  return waitForValue(cluster, `ckpt/${name}`, path, (seen) => /^(Ready|Failed) /.test(seen))
}

/** Writes another content under the key of an object; gives what puts the old one back. */
async function changed(
  objects: Objects,
  key: string,
  change: (content: Buffer) => Buffer,
): Promise<() => Promise<void>> {
  const found = await objects.read(key, 0, signal)
  if (found === undefined) throw new Error(`there is no ${key}`)
  const content = Buffer.from(await gather(found))
  const write = async (bytes: Buffer) => {
    const written = {key, digest: contentDigest(bytes), sizeBytes: bytes.length, content: onePiece(bytes)}
    await objects.write({...written, replace: true, signal})
  }
  await write(change(Buffer.from(content)))
  return () => write(content)
}

function flipped(content: Buffer): Buffer {
  const middle = content.length >> 1
  content[middle] = (content[middle] ?? 0) ^ 1
  return content
}

/** What a container that cannot be made says. */
const REFUSAL =
  '.status.containerStatuses[0].state.waiting.message}{.status.containerStatuses[0].lastState.terminated.message'

scenario('stores of checkpoints', {prefix: 'e2e-store', workers: 2}, (chapter) => {
  chapter(
    'a cluster keeps checkpoints on a claim, in a registry, S3, Azure Blob',
    async (cluster, context) => {
      const made = await cluster.init()
      expect(made.exitCode, endOf(made)).toBe(0)
      await shareFolder(cluster)
      await applyAll(cluster, [
        {apiVersion: 'v1', kind: 'Namespace', metadata: {name: NAMESPACE}},
        {
          apiVersion: 'v1',
          kind: 'PersistentVolume',
          metadata: {name: CLAIM},
          spec: {
            capacity: {storage: '512Mi'},
            accessModes: ['ReadWriteMany'],
            storageClassName: '',
            hostPath: {path: SHARED, type: 'Directory'},
            claimRef: {namespace: SYSTEM_NAMESPACE, name: CLAIM},
          },
        },
        {
          apiVersion: 'v1',
          kind: 'PersistentVolumeClaim',
          metadata: {name: CLAIM, namespace: SYSTEM_NAMESPACE},
          spec: {
            accessModes: ['ReadWriteMany'],
            storageClassName: '',
            volumeName: CLAIM,
            resources: {requests: {storage: '512Mi'}},
          },
        },
      ])
      const file = join(cluster.home, 'with-claim.yaml')
      const document = {
        apiVersion: API_VERSION,
        kind: 'Cluster',
        metadata: {name: cluster.name},
        spec: {
          provider: {kind: 'local'},
          workers: [{count: 2}],
          addons: {profile: 'minimal'},
          checkpoint: {store: {persistentVolumeClaim: {claimName: CLAIM}}},
        },
      }
      await writeFile(file, JSON.stringify(document))
      const again = await cluster.clouder(['kubeadm', 'init', '--config', file, '--json'])
      expect(again.exitCode, endOf(again)).toBe(0)
      served = ended.use(await serveStores(cluster, context))
      for (const name of ['oci', 'bucket', 'blobs'])
        await waitForValue(
          cluster,
          `checkpointstore/${name}`,
          '.status.conditions[?(@.type=="Ready")].status',
          (status) => status === 'True',
        )
    },
  )

  chapter('memory goes through every store to the other node, sealed', async (cluster) => {
    await startTraveller(cluster, 'web', {node: 'worker-1', mebibytes: 200})
    const before = await identityOf(cluster, 'web')
    for (const store of ['oci', 'bucket', 'blobs', 'default', 'disks']) {
      const to = (await nodeOf(cluster, 'web')) === 'worker-1' ? 'worker-2' : 'worker-1'
      const name = await checkpointOf(cluster, 'web', ` --store ${store} --stop`)
      await expectDone(cluster, `checkpoint restore ${NAMESPACE}/${name} --to ${to}`)
      expect(await nodeOf(cluster, 'web'), store).toBe(to)
      expectSame(await identityOf(cluster, 'web'), before)
    }
    await remove(cluster, 'web')

    const {trust} = await keysOf(cluster)
    const kinds = {oci: 'age', bucket: 'aws-kms', blobs: 'age'} as const
    const recipients = new Set<string>()
    for (const name of ['oci', 'bucket', 'blobs'] as const) {
      const store = await stores()[name].open()
      const [manifest] = await store.listManifests(signal)
      if (manifest === undefined) throw new Error(`${name} holds no checkpoint`)
      const {envelope} = await readEnvelope({store, digest: manifest.digest, trust, signal})
      expect(envelope.encryption).toBe('aes-256-gcm')
      expect(envelope.keys.map(({kind}) => kind)).toEqual([kinds[name]])
      for (const {id} of envelope.keys) recipients.add(id)
    }
    expect(recipients.size).toBe(3)
  })

  chapter('what was changed in a store is refused, and goes on when it is put right', async (cluster) => {
    const {bucket} = stores()
    await startTraveller(cluster, 'kept', {node: 'worker-1'})
    const before = await identityOf(cluster, 'kept')
    const name = await checkpointOf(cluster, 'kept', ' --store bucket')
    const place = `${NAMESPACE}/${name}`
    const hex = (await digestOf(cluster, name)).slice('sha256:'.length)
    const {trust} = await keysOf(cluster)
    const store = await bucket.open()
    const {envelope} = await readEnvelope({store, digest: `sha256:${hex}`, trust, signal})
    const [piece] = envelope.chunks
    const tampered = {code: 'BLOB_TAMPERED', why: /does not match its digest|is not what was encrypted/}

    const keyOfPiece = `blobs/sha256/${piece?.digest.slice('sha256:'.length) ?? ''}`
    const putBack = await changed(bucket.objects, keyOfPiece, flipped)
    const verified = await run(cluster, `checkpoint verify ${place}`)
    expect(verified.stdout).toContain('BLOB_TAMPERED')
    await expectRefused(cluster, `checkpoint restore ${place} --as forged --to worker-2`, tampered)
    await putBack()

    const keyOfManifest = `manifests/${hex}/${NAMESPACE}-${name}`
    const renamed = (content: Buffer) => Buffer.from(content.toString().replace(NAMESPACE, 'elsewhere'))
    const putManifestBack = await changed(bucket.objects, keyOfManifest, renamed)
    await expectRefused(cluster, `checkpoint restore ${place} --as forged --to worker-2`, tampered)
    await putManifestBack()

    // Under its own digest, so that only the signature can tell.
    const manifest = Buffer.from((await store.getManifest(`sha256:${hex}`, signal)) ?? '')
    const unsigned = await store.putManifest(renamed(manifest), 'unsigned', signal)
    expect(await imported(cluster, 'unsigned', 'bucket', unsigned)).toMatch(
      /^Failed SIGNATURE_INVALID .* does not match its contents/,
    )
    await expectDone(cluster, `checkpoint restore ${place} --as right --to worker-2`)
    expectSame(await identityOf(cluster, 'right'), before)
    expectSame(await identityOf(cluster, 'kept'), before)
    await remove(cluster, 'right')
  })

  chapter(
    'a foreign signature, a foreign key and another architecture are refused, each for its reason',
    async (cluster) => {
      const before = await identityOf(cluster, 'kept')
      const keys = await keysOf(cluster)
      const store = await stores().oci.open()
      const name = await checkpointOf(cluster, 'kept', ' --store oci')
      const opened = await openedBy(keys, store, await digestOf(cluster, name))

      const foreign = signerOf(newSigningKey().privateKeyPem)
      const signedElsewhere = await sealAnew(opened, {store, keys, signer: foreign})
      expect(await imported(cluster, 'foreign', 'oci', signedElsewhere)).toMatch(
        /^Failed SIGNATURE_INVALID .* is signed by ed25519:\S+, which is not trusted/,
      )

      const here = opened.metadata.source.arch
      const arch = here === 'amd64' ? 'arm64' : 'amd64'
      const ofOther = await sealAnew(opened, {
        store,
        keys,
        metadata: {source: {...opened.metadata.source, arch}},
      })
      expect(await imported(cluster, 'unlike', 'oci', ofOther)).toMatch(/^Ready /)
      const why = new RegExp(`worker-2: its architecture is ${here}, but the checkpoint is for ${arch}`)
      await expectRefused(cluster, `checkpoint restore ${NAMESPACE}/unlike --as unlike --to worker-2`, {
        code: 'NODE_UNLIKE',
        why,
      })
      // Past the controller the agent of the node refuses it.
      await applyTraveller(cluster, 'unlike', {
        node: 'worker-2',
        runtimeClassName: RESTORE_RUNTIME,
        annotations: {[RESTORE_ANNOTATION]: 'unlike'},
      })
      const refusal = await waitForValue(cluster, 'pod/unlike', REFUSAL, (seen) =>
        seen.includes('NODE_UNLIKE'),
      )
      expect(refusal).toContain(`its architecture is ${here}, but the checkpoint is for ${arch}`)

      const ofBlobs = await checkpointOf(cluster, 'kept', ' --store blobs')
      const path = `get secret ${BLOBS_IDENTITY} -n ${SYSTEM_NAMESPACE} -o jsonpath={.data.identity}`
      const identity = Buffer.from(await kubectl(cluster, path), 'base64').toString()
      const {identity: other} = await newAgeKey()
      await applyAll(cluster, [secret(BLOBS_IDENTITY, {identity: other})])
      const restore = `checkpoint restore ${NAMESPACE}/${ofBlobs} --as stranger --to worker-2`
      await expectRefused(cluster, restore, {code: 'KEY_WRONG', why: /no key of this cluster can decrypt/})
      await applyAll(cluster, [secret(BLOBS_IDENTITY, {identity})])
      await expectDone(cluster, restore)
      expectSame(await identityOf(cluster, 'stranger'), before)
      await remove(cluster, 'stranger', 'unlike', 'kept')
    },
  )

  chapter('an image that only the source has, and cannot be fetched, is told', async (cluster) => {
    const image = 'registry.invalid/only-here:1'
    await cluster.read('worker-1', `ctr -n k8s.io images tag ${SMOKE_REFERENCE} ${image}`)
    await startTraveller(cluster, 'rare', {node: 'worker-1', image})
    const before = await identityOf(cluster, 'rare')
    const name = await checkpointOf(cluster, 'rare', ' --store oci')
    await expectRefused(cluster, `checkpoint restore ${NAMESPACE}/${name} --as rarer --to worker-2`, {
      code: 'IMAGE_UNAVAILABLE',
      why: /registry\.invalid\/only-here:1/,
    })
    expectSame(await identityOf(cluster, 'rare'), before)
    await remove(cluster, 'rare', 'rarer')
  })

  chapter('a device that is held open is named, and its pod runs on', async (cluster) => {
    await cluster.read('worker-1', '[ -e /dev/fuse ] || mknod -m 666 /dev/fuse c 10 229')
    await kubectl(cluster, 'apply -f -', JSON.stringify(holder('/dev/fuse')))
    await kubectl(cluster, `wait --for=condition=Ready pod holder -n ${NAMESPACE} --timeout=120s`)
    await expectRefused(cluster, `checkpoint create ${NAMESPACE}/holder`, {
      code: 'CHECKPOINT_FAILED',
      why: /\(python3\), file descriptor 3: it holds device 10:229 open/,
    })
    const path =
      '.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].state.running.startedAt'
    expect(await kubectl(cluster, `get pod holder -n ${NAMESPACE} -o 'jsonpath={${path}}'`)).toMatch(/^0 20/)
    await remove(cluster, 'holder')
  })

  chapter('secrets of a pod are in clear nowhere when it is gone', async (cluster) => {
    const {oci, bucket, blobs, clear} = stores()
    const [inFile, inEnvironment] = [canaryText(), canaryText()]
    await applyAll(cluster, [
      {
        ...secret('canary', {file: inFile, environment: inEnvironment}),
        metadata: {name: 'canary', namespace: NAMESPACE},
      },
    ])
    await startTraveller(cluster, 'canary', {node: 'worker-1', mebibytes: 8, secretName: 'canary'})
    const {token} = await identityOf(cluster, 'canary')

    // That the search finds what is there to be found.
    const plain = await checkpointOf(cluster, 'canary', ' --store clear --keep-archive')
    const there = await nodeFilesWith(cluster, 'worker-1', [token, inEnvironment])
    for (const canary of [token, inEnvironment]) {
      expect(await objectsWith(clear.objects, canary)).not.toEqual([])
      const path: unknown = expect.stringMatching(/^\/var\/lib\/clouder\/archives\//)
      expect(there).toContainEqual({path, canary})
    }
    await kubectl(cluster, `delete ckpt ${plain} -n ${NAMESPACE}`)

    const names: string[] = []
    for (const store of ['oci', 'bucket', 'blobs', 'default', 'disks'])
      names.push(await checkpointOf(cluster, 'canary', ` --store ${store}`))
    for (const [index, name] of names.slice(0, 2).entries())
      await expectDone(cluster, `checkpoint restore ${NAMESPACE}/${name} --as canary-${index} --to worker-2`)
    await expectDone(cluster, `checkpoint migrate ${NAMESPACE}/canary --to worker-2 --store bucket`)
    expect((await identityOf(cluster, 'canary')).token).toBe(token)
    await remove(cluster, 'canary', 'canary-0', 'canary-1')

    const said = [
      ...cluster.said,
      await kubectl(
        cluster,
        'get checkpoints,restores,migrations,checkpointstores,events,configmaps -A -o json',
      ),
      await kubectl(cluster, `get secrets -n ${SYSTEM_NAMESPACE} -o json`),
      ...(await Promise.all(
        ['clouder-node-agent', 'clouder-controller'].map((program) =>
          kubectl(
            cluster,
            `logs -n ${SYSTEM_NAMESPACE} -l app.kubernetes.io/name=${program} --all-containers --tail=-1`,
          ),
        ),
      )),
      ...(await filesBelow(cluster.home)).values(),
    ]
    for (const canary of [token, inFile, inEnvironment]) {
      expect(said.filter((text) => tells(text, canary))).toEqual([])
      for (const {objects} of [bucket, blobs]) expect(await objectsWith(objects, canary)).toEqual([])
      const registry = await filesWith(oci.registry.folder, canary)
      expect(registry.found).toEqual([])
      expect(registry.searched).toBeGreaterThan(10)
    }
    for (const machine of cluster.machines) {
      const found = await nodeFilesWith(cluster, machine, [token, inFile, inEnvironment])
      // What containerd writes down of every container, checkpoint or not: its variables are among it.
      const ofRuntime = '/var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db'
      const others = found.filter(({path, canary}) => canary !== inEnvironment || path !== ofRuntime)
      expect(others, machine).toEqual([])
    }
  })

  chapter('a pod goes on from an object store when its node is gone', async (cluster) => {
    await startTraveller(cluster, 'orphan', {node: 'worker-1'})
    const before = await identityOf(cluster, 'orphan')
    const name = await checkpointOf(cluster, 'orphan', ' --store bucket')
    const node = containerName(cluster.name, 'worker-1')
    await cluster.engine.stopContainer(node, 0)
    try {
      await kubectl(cluster, 'delete node worker-1')
      await expectDone(cluster, `checkpoint restore ${NAMESPACE}/${name} --as survivor`)
      expect(await nodeOf(cluster, 'survivor')).toBe('worker-2')
      expectSame(await identityOf(cluster, 'survivor'), before)
    } finally {
      await cluster.engine.startContainer(node)
    }
    await remove(cluster, 'survivor', 'orphan')
  })

  chapter('a node whose runtime cannot restore is refused, with what could', async (cluster) => {
    await startTraveller(cluster, 'plain', {node: 'worker-2'})
    const name = await checkpointOf(cluster, 'plain', ' --store oci')
    const place = `${NAMESPACE}/${name}`
    await expectRefused(cluster, `checkpoint restore ${place} --as other --to worker-2 --backend Native`, {
      code: 'RESTORE_UNSUPPORTED',
      why: /worker-2: its runtime supports the backend Handler, not Native/,
    })
    // As on a node that somebody else set up: containerd does not list the handler.
    await cluster.read(
      'worker-2',
      `sed -i 's/runtimes[.]${RESTORE_RUNTIME}/runtimes.unknown/' /etc/containerd/config.toml && systemctl restart containerd`,
    )
    await waitForValue(
      cluster,
      'node/worker-2',
      '.status.runtimeHandlers[*].name',
      (handlers) => !handlers.includes(RESTORE_RUNTIME),
    )
    // A new agent tells at once what the one before would have told within a minute.
    const agent = `pod -n ${SYSTEM_NAMESPACE} -l app.kubernetes.io/name=clouder-node-agent --field-selector spec.nodeName=worker-2`
    await kubectl(cluster, `delete ${agent}`)
    const label = BACKEND_LABELS.Handler.replaceAll('.', String.raw`\.`)
    await waitForValue(cluster, 'node/worker-2', `.metadata.labels.${label}`, (value) => value === '')
    await expectRefused(cluster, `checkpoint restore ${place} --as other --to worker-2`, {
      code: 'RESTORE_UNSUPPORTED',
      why: /worker-2: its runtime cannot restore checkpoints; use containerd 2\.x with clouder's handler/,
    })
    await identityOf(cluster, 'plain')
  })
})

/** What occurs nowhere else. */
const canaryText = (): string => `canary-${crypto.randomUUID()}`

/** A pod that runs Python of its node, and holds a device open. */
function holder(device: string) {
  const folders = {usr: '/usr', lib: '/lib', lib64: '/lib64'}
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {name: 'holder', namespace: NAMESPACE},
    spec: {
      nodeName: 'worker-1',
      terminationGracePeriodSeconds: 1,
      containers: [
        {
          name: 'holder',
          image: SMOKE_REFERENCE,
          imagePullPolicy: 'IfNotPresent',
          command: ['/usr/bin/python3', '-c', `import os, time; os.open('${device}', 2); time.sleep(3600)`],
          securityContext: {privileged: true},
          volumeMounts: [
            ...Object.entries(folders).map(([name, mountPath]) => ({name, mountPath, readOnly: true})),
            {name: 'device', mountPath: device},
          ],
        },
      ],
      volumes: [
        ...Object.entries(folders).map(([name, path]) => ({name, hostPath: {path}})),
        {name: 'device', hostPath: {path: device, type: 'CharDevice'}},
      ],
    },
  }
}
