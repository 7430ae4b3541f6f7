import {writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import pLimit from 'p-limit'
import {expect} from 'vitest'
import {stringify} from 'yaml'
import {z} from 'zod'
import {
  API_VERSION,
  CHECKPOINT_IMAGE_PREFIX,
  CHECKPOINT_IMAGES_LABEL,
  ORIGINAL_ANNOTATION,
} from '../../src/api/names.ts'
import {waitFor} from '../../src/base/waiting.ts'
import type {Ended} from '../bench/clusters.ts'
import {
  expectDone,
  expectRefused,
  expectSame,
  identityOf,
  kubectl,
  makeNamespace,
  NAMESPACE as TRAVEL,
  run,
  startTraveller,
} from '../support/e2e-checkpoints.ts'
import {expectFigures} from '../support/e2e-bench.ts'
import {makeSharedClaim} from '../support/e2e-claim.ts'
import type {E2eCluster} from '../support/e2e-cluster.ts'
import {NAMESPACE, PROGRAMS, startProgram, talkTo, type Program} from '../support/e2e-programs.ts'
import {givePrograms, needPrograms, PROGRAMS_IMAGE} from '../support/e2e-programs-image.ts'
import {addressAmong} from '../support/e2e-stores.ts'
import {endOf, resultOf} from '../support/e2e-results.ts'
import {scenario} from '../support/e2e-scenario.ts'
import {needRegistry, REGISTRY_LOGIN} from '../support/with-registry.ts'

const WORKERS = ['worker-1', 'worker-2']
const CONTROLLER = 'system:serviceaccount:clouder-system:clouder-controller'
const {signal} = new AbortController()

const made = z.looseObject({checkpoint: z.looseObject({metadata: z.looseObject({name: z.string()})})})
const restored = z.looseObject({restore: z.looseObject({status: z.looseObject({backend: z.string()})})})

const named = (name: string): Program => {
  const found = PROGRAMS.find((program) => program.name === name)
  if (found === undefined) throw new Error(`there is no program ${name}`)
  return found
}

/** What each program is to be known by. */
const identities = new Map<string, string>()

async function checkpointOf(cluster: E2eCluster, pod: string, more = ''): Promise<string> {
  const result = await run(cluster, `checkpoint create ${NAMESPACE}/${pod}${more}`)
  return resultOf(result, made).checkpoint.metadata.name
}

const nodeOf = (cluster: E2eCluster, pod: string): Promise<string> =>
  kubectl(cluster, `get pod ${pod} -n ${NAMESPACE} -o jsonpath={.spec.nodeName}`)

async function expectAnswers(cluster: E2eCluster, program: Program, pod = program.name): Promise<void> {
  expect(await program.identity(talkTo(cluster, pod)), pod).toBe(identities.get(program.name))
}

/** Three at the same time. */
const forEach = async (
  names: readonly string[],
  work: (program: Program) => Promise<void>,
): Promise<void> => {
  const few = pLimit(3)
  const results = await Promise.allSettled(names.map((name) => few(() => work(named(name)))))
  const problems = results.flatMap((result, index) =>
    result.status === 'rejected' ? [`${names[index] ?? ''}: ${String(result.reason)}`] : [],
  )
  expect(problems.join('\n')).toBe('')
}
const ALL = PROGRAMS.map(({name}) => name)
/**
 * Those of which two may run at the same time, and that hold nothing in a volume or /dev/shm, which images do not bring
 * back.
 */
const WITHOUT_VOLUMES = ALL.filter((name) => !['claim', 'volumes', 'postgres'].includes(name))

/** What the API server says to a pod, as somebody. */
async function answerTo(
  cluster: E2eCluster,
  pod: {namespace: string; image: string; more?: object},
  as?: string,
): Promise<string> {
  const object = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {name: 'forged', namespace: pod.namespace},
    spec: {containers: [{name: 'main', image: pod.image}], ...pod.more},
  }
  const who = as === undefined ? '' : ` --as=${as}`
  return kubectl(cluster, `create --dry-run=server${who} -f - 2>&1 || true`, JSON.stringify(object))
}

scenario('programs of Debian that are moved', {prefix: 'e2e-prog', workers: 2}, (chapter) => {
  let init: Ended = {seconds: 0, stdout: ''}

  chapter('a cluster comes up, with nodes for images of checkpoints', async (cluster, context) => {
    const image = await needPrograms(context)
    const document = {
      apiVersion: API_VERSION,
      kind: 'Cluster',
      metadata: {name: cluster.name},
      spec: {
        provider: {kind: 'local'},
        workers: [{count: 2, labels: {[CHECKPOINT_IMAGES_LABEL]: 'true'}}],
        checkpoint: {restore: 'trusted-images'},
        addons: {profile: 'minimal'},
      },
    }
    const file = join(cluster.home, 'cluster.yaml')
    await writeFile(file, stringify(document))
    const startedMs = performance.now()
    const result = await cluster.clouder(['kubeadm', 'init', '--config', file, '--json'])
    expect(result.exitCode, endOf(result)).toBe(0)
    init = {seconds: (performance.now() - startedMs) / 1000, stdout: result.stdout}
    for (const worker of WORKERS) await givePrograms(cluster, worker, image)
    await makeNamespace(cluster, NAMESPACE, {[CHECKPOINT_IMAGES_LABEL]: 'true'})
    await makeNamespace(cluster, `${NAMESPACE}-other`)
    await makeSharedClaim(cluster, NAMESPACE, WORKERS)
  })

  // Here, as this cluster is made of what they need.
  chapter('benchmarks a, b and g in their smallest form end with figures', async (cluster) => {
    await expectFigures(cluster, join(cluster.home, 'cluster.yaml'), init, AbortSignal.timeout(600_000))
  })

  chapter('they run, each with something that only its memory holds', async (cluster) => {
    await Promise.all(PROGRAMS.map((program) => startProgram(cluster, program, 'worker-1')))
    await forEach(ALL, async (program) => {
      identities.set(program.name, await program.prime(talkTo(cluster, program.name)))
    })
  })

  chapter('each goes on where it was, after its pod was gone', async (cluster) => {
    await forEach(ALL, async (program) => {
      const checkpoint = await checkpointOf(cluster, program.name, ' --stop')
      await expectDone(cluster, `checkpoint restore ${NAMESPACE}/${checkpoint} --to worker-1`)
      expect(await nodeOf(cluster, program.name)).toBe('worker-1')
      await expectAnswers(cluster, program)
    })
  })

  chapter('each goes on on another node', async (cluster) => {
    await forEach(ALL, async (program) => {
      await expectDone(cluster, `checkpoint migrate ${NAMESPACE}/${program.name} --to worker-2`)
      expect(await nodeOf(cluster, program.name)).toBe('worker-2')
      await expectAnswers(cluster, program)
    })
  })

  chapter('one with a claim moves by an image too, and back by the handler', async (cluster) => {
    const program = named('claim')
    const move = `checkpoint migrate ${NAMESPACE}/${program.name}`
    await expectDone(cluster, `${move} --to worker-1 --backend CreateImage`)
    await expectAnswers(cluster, program)
    await expectDone(cluster, `${move} --to worker-2`)
    expect(await nodeOf(cluster, program.name)).toBe('worker-2')
    await expectAnswers(cluster, program)
  })

  chapter(
    'a claim holds what was written last, and an old memory that has another length in mind is refused',
    async (cluster) => {
      const {name} = named('claim')
      const talk = talkTo(cluster, name)
      const old = await checkpointOf(cluster, name)
      await talk.python(['n = open("/claim/later", "w").write("after the dump")'], '0')
      await talk.python(['n = journal.write("more\\n"); journal.flush()'], '0')
      await kubectl(cluster, `delete pod ${name} -n ${NAMESPACE}`)
      // It is held open, and longer than it was.
      await expectRefused(cluster, `checkpoint restore ${NAMESPACE}/${old} --to worker-2`, {
        code: 'RESTORE_FAILED',
        why: /journal has bad size/,
      })
      const talkRepl = talkTo(cluster, 'other')
      await startProgram(cluster, {...named('claim'), name: 'other'}, 'worker-1')
      expect(await talkRepl.sh('cat /claim/later')).toBe('after the dump')
      await kubectl(cluster, `delete pod other -n ${NAMESPACE}`)
    },
  )

  chapter('they go on by images of their checkpoints, on another node and on the same', async (cluster) => {
    await forEach(WITHOUT_VOLUMES, async (program) => {
      const {name} = program
      const checkpoint = await checkpointOf(cluster, name)
      for (const worker of WORKERS) {
        const copy = `${name}-${worker}`
        const words = `checkpoint restore ${NAMESPACE}/${checkpoint} --as ${copy} --to ${worker} --backend CreateImage`
        const {restore} = resultOf(await run(cluster, words), restored)
        expect(restore.status.backend).toBe('CreateImage')
        expect(await nodeOf(cluster, copy)).toBe(worker)
        await expectAnswers(cluster, program, copy)
        const image = await kubectl(
          cluster,
          `get pod ${copy} -n ${NAMESPACE} -o jsonpath={.spec.containers[0].image}`,
        )
        expect(image).toMatch(
          new RegExp(`^${CHECKPOINT_IMAGE_PREFIX}${NAMESPACE}/${checkpoint}/main@sha256:[0-9a-f]{64}$`),
        )
      }
      await kubectl(cluster, `delete pod ${name}-worker-2 -n ${NAMESPACE}`)
    })
  })

  chapter('moves go by images too, and what came by one goes on by the handler', async (cluster) => {
    await forEach(WITHOUT_VOLUMES, async (program) => {
      const pod = `${program.name}-worker-1`
      const move = `checkpoint migrate ${NAMESPACE}/${pod}`
      await expectDone(cluster, `${move} --to worker-2 --backend CreateImage`)
      expect(await nodeOf(cluster, pod)).toBe('worker-2')
      await expectAnswers(cluster, program, pod)
      await expectDone(cluster, `${move} --to worker-1`)
      await expectAnswers(cluster, program, pod)
      const path = `get pod ${pod} -n ${NAMESPACE} -o jsonpath={.metadata.annotations}{.spec}`
      const object = await kubectl(cluster, path)
      for (const left of [CHECKPOINT_IMAGE_PREFIX, CHECKPOINT_IMAGES_LABEL, ORIGINAL_ANNOTATION])
        expect(object).not.toContain(left)
      await kubectl(cluster, `delete pod ${pod} -n ${NAMESPACE}`)
    })
    // Images are memory in clear: with the last pod of one it goes, and what it held.
    for (const worker of WORKERS)
      await waitFor({
        what: `images of checkpoints to leave ${worker}`,
        check: async () => {
          const seen = await cluster.read(
            worker,
            `ctr -n k8s.io images list -q | grep ${CHECKPOINT_IMAGE_PREFIX} || true`,
          )
          return seen === '' ? {value: true, seen} : {seen}
        },
        timeoutMs: 60_000,
        intervalMs: 500,
        signal,
      })
  })

  chapter('200 MiB go by an image, with the same hash', async (cluster) => {
    await makeNamespace(cluster, TRAVEL, {[CHECKPOINT_IMAGES_LABEL]: 'true'})
    await startTraveller(cluster, 'large', {node: 'worker-1', mebibytes: 200})
    const before = await identityOf(cluster, 'large')
    await expectDone(cluster, `checkpoint migrate ${TRAVEL}/large --to worker-2 --backend CreateImage`)
    expectSame(await identityOf(cluster, 'large'), before)
    await kubectl(cluster, `delete namespace ${TRAVEL}`)
  })

  chapter(
    'images of checkpoints are admitted as a Restore makes them, and not otherwise',
    async (cluster) => {
      const digest = `@sha256:${'ab'.repeat(32)}`
      const image = `${CHECKPOINT_IMAGE_PREFIX}${NAMESPACE}/x/main${digest}`
      const more = {nodeSelector: {[CHECKPOINT_IMAGES_LABEL]: 'true'}}
      const pod = {namespace: NAMESPACE, image, more}
      expect(await answerTo(cluster, pod, CONTROLLER)).toContain('pod/forged created')
      expect(await answerTo(cluster, pod)).toContain('are created by a Restore, not manually')
      const tagged = {...pod, image: image.replace(digest, ':latest')}
      expect(await answerTo(cluster, tagged, CONTROLLER)).toContain('are named by digest')
      const other = `${NAMESPACE}-other`
      expect(await answerTo(cluster, {...pod, namespace: other}, CONTROLLER)).toContain(
        'run only in the namespace of their checkpoint',
      )
      const unlabelled = {
        ...pod,
        namespace: other,
        image: `${CHECKPOINT_IMAGE_PREFIX}${other}/x/main${digest}`,
      }
      expect(await answerTo(cluster, unlabelled, CONTROLLER)).toContain(
        'run only in namespaces with the label',
      )
      const foreign = {...pod, image: `registry.example.com/checkpoint${digest}`}
      expect(await answerTo(cluster, foreign, CONTROLLER)).toContain(
        `have images below ${CHECKPOINT_IMAGE_PREFIX} only`,
      )
      const byId = {namespace: NAMESPACE, image: 'sha256:3'}
      expect(await answerTo(cluster, byId)).toContain('not by their id')
      expect(await answerTo(cluster, {namespace: NAMESPACE, image: PROGRAMS_IMAGE})).toContain(
        'pod/forged created',
      )
    },
  )

  chapter(
    'an image is not made for wider privileges, for another namespace, or on another node',
    async (cluster) => {
      const {name} = named('repl')
      const wide = {
        ...named('repl'),
        name: 'wide',
        container: {...named('repl').container, securityContext: {capabilities: {add: ['NET_ADMIN']}}},
      }
      await startProgram(cluster, wide, 'worker-1')
      // A container that answers may for a moment not be known to the API server as one that runs.
      await kubectl(cluster, `wait --for=condition=Ready pod/wide -n ${NAMESPACE} --timeout=60s`)
      const checkpoint = await checkpointOf(cluster, 'wide', ' --stop')
      const restore = `checkpoint restore ${NAMESPACE}/${checkpoint} --backend CreateImage`
      // What the pod is made from says less than what was dumped.
      const narrowed = {status: {podTemplate: {spec: {containers: [{name: 'main', image: PROGRAMS_IMAGE}]}}}}
      await kubectl(
        cluster,
        `patch ckpt ${checkpoint} -n ${NAMESPACE} --subresource=status --type=merge -p '${JSON.stringify(narrowed)}'`,
      )
      await expectRefused(cluster, `${restore} --as narrow`, {code: 'PRIVILEGES_WIDER', why: /CAP_NET_ADMIN/})

      const other = await checkpointOf(cluster, name)
      const toOther = `checkpoint restore ${NAMESPACE}/${other} --as elsewhere --backend CreateImage`
      await expectRefused(cluster, `${toOther} --to cp-1`, {
        code: 'RESTORE_UNSUPPORTED',
        why: new RegExp(CHECKPOINT_IMAGES_LABEL),
      })
      await kubectl(cluster, `label namespace ${NAMESPACE} ${CHECKPOINT_IMAGES_LABEL}-`)
      await expectRefused(cluster, toOther, {
        code: 'RESTORE_UNSUPPORTED',
        why: /namespace programs does not allow checkpoint images/,
      })
      await expectRefused(cluster, `checkpoint migrate ${NAMESPACE}/${name} --backend CreateImage`, {
        code: 'RESTORE_UNSUPPORTED',
        why: /namespace programs does not allow checkpoint images/,
      })
      await expectAnswers(cluster, named('repl'))
    },
  )

  chapter('the base image is pulled before, with the secret of the pod', async (cluster, context) => {
    await kubectl(cluster, `label namespace ${NAMESPACE} ${CHECKPOINT_IMAGES_LABEL}=true --overwrite`)
    const address = await addressAmong(cluster)
    await using registry = await needRegistry(context, {address, auth: 'basic'})
    const {host} = registry
    const image = `${host}/team/programs:1`
    const hosts = `/etc/containerd/certs.d/${host}`
    for (const worker of WORKERS)
      await cluster.read(
        worker,
        `mkdir -p ${hosts} && echo 'server = "http://${host}"' > ${hosts}/hosts.toml`,
      )
    const {username, password} = REGISTRY_LOGIN
    const ctr = 'ctr -n k8s.io images'
    await cluster.read(
      'worker-1',
      `${ctr} tag --force ${PROGRAMS_IMAGE} ${image} && ${ctr} push --plain-http --user ${username}:${password} ${image} && ${ctr} rm ${image}`,
    )
    const auths = {auths: {[host]: {username, password}}}
    const secret = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: {name: 'login', namespace: NAMESPACE},
      type: 'kubernetes.io/dockerconfigjson',
      stringData: {'.dockerconfigjson': JSON.stringify(auths)},
    }
    await kubectl(cluster, 'apply -f -', JSON.stringify(secret))
    const repl = named('repl')
    const pod = {imagePullSecrets: [{name: 'login'}]}
    const hidden = {...repl, name: 'hidden', container: {...repl.container, image}, pod}
    await startProgram(cluster, hidden, 'worker-1')
    const talk = talkTo(cluster, hidden.name)
    const identity = await hidden.prime(talk)
    const checkpoint = await checkpointOf(cluster, hidden.name)
    const words = `checkpoint restore ${NAMESPACE}/${checkpoint} --to worker-2 --backend CreateImage --as`
    await expectDone(cluster, `${words} pulled`)
    expect(await hidden.identity(talkTo(cluster, 'pulled'))).toBe(identity)

    await kubectl(cluster, `delete pod/pulled secret/login -n ${NAMESPACE}`)
    await cluster.read('worker-2', `${ctr} list -q | grep '^${host}/' | xargs ${ctr} rm`)
    await expectRefused(cluster, `${words} unpulled`, {code: 'IMAGE_UNAVAILABLE', why: /team\/programs/})
    await kubectl(cluster, `delete pod/hidden -n ${NAMESPACE}`)
  })
})
