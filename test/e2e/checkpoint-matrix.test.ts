import pLimit from 'p-limit'
import {expect} from 'vitest'
import {z} from 'zod'
import {API_VERSION} from '../../src/api/names.ts'
import {containerName} from '../../src/infrastructure/providers/local-decision.ts'
import {expectDone, expectRefused, kubectl, makeNamespace, run} from '../support/e2e-checkpoints.ts'
import {makeSharedClaim} from '../support/e2e-claim.ts'
import type {E2eCluster} from '../support/e2e-cluster.ts'
import {hasAll, programHolding, PYTHON_CONTAINER, SHELL} from '../support/e2e-move-cells.ts'
import {NAMESPACE, startProgram, talkTo, type Program} from '../support/e2e-programs.ts'
import {givePrograms, needPrograms, PROGRAMS_IMAGE} from '../support/e2e-programs-image.ts'
import {endOf, lastLine, resultOf} from '../support/e2e-results.ts'
import {scenario} from '../support/e2e-scenario.ts'
import {CELLS, type Cell, type Outcome} from '../support/move-matrix.ts'

const WHOLE = process.env['CLOUDER_CHAOS'] === 'all'
const WORKERS = ['worker-1', 'worker-2'] as const
const AT_ONCE = 4

/** What one pod holds, and what becomes of a move of it. */
interface Case {
  readonly name: string
  readonly cells: readonly Cell[]
  readonly outcome: Outcome
}

const restored = CELLS.filter(({outcome}) => outcome === 'restored')
/** Each place and each thing that is held, once; `npm run test:chaos` has all that are refused. */
const refused = CELLS.filter(({outcome}) => outcome === 'refused').filter(
  ({hold, place}, index, all) =>
    WHOLE ||
    all.slice(0, index).every((earlier) => earlier.place !== place) ||
    all.slice(0, index).every((earlier) => earlier.hold !== hold),
)
/** One pod holds all that is restored; with the whole product each cell has a pod of its own. */
const CASES: readonly Case[] = [
  ...(WHOLE
    ? restored.map((cell, index): Case => ({name: `kept-${index}`, cells: [cell], outcome: 'restored'}))
    : [{name: 'kept', cells: restored, outcome: 'restored' as const}]),
  ...refused.map((cell, index): Case => ({name: `held-${index}`, cells: [cell], outcome: 'refused'})),
]
/** One of each place, for the ways to end a pod that are not a move. */
const SAMPLE = WHOLE
  ? CASES
  : CASES.filter(
      ({cells, outcome}, index) =>
        outcome === 'restored' ||
        CASES.findIndex((other) => other.cells[0]?.place === cells[0]?.place) === index,
    )
const MOVED_BY_DRAIN = {drained: 'true'}

interface Running {
  readonly program: Program
  readonly identity: string
  readonly uid: string
}
const running = new Map<string, Running>()

const get = (cluster: E2eCluster, pod: string, path: string): Promise<string> =>
  kubectl(cluster, `get pod ${pod} -n ${NAMESPACE} -o jsonpath={${path}}`)

async function start(cluster: E2eCluster, {name, cells}: Case): Promise<void> {
  const program = programHolding(name, cells, MOVED_BY_DRAIN)
  await startProgram(cluster, program, 'worker-1')
  const identity = await program.prime(talkTo(cluster, name))
  expect(hasAll(identity), `${name}: ${identity}`).toBe(true)
  running.set(name, {program, identity, uid: await get(cluster, name, '.metadata.uid')})
}

/** Exactly one pod has the name; the process in it has the token, and all that it held. */
async function expectKept(cluster: E2eCluster, name: string): Promise<void> {
  const {program, identity} = running.get(name) ?? {}
  expect(await program?.identity(talkTo(cluster, name)), name).toBe(identity)
}

/** Runs on in the pod that it was in. */
async function expectStayed(cluster: E2eCluster, name: string): Promise<void> {
  expect(await get(cluster, name, '.metadata.uid'), name).toBe(running.get(name)?.uid)
  await expectKept(cluster, name)
}

/** The ConfigMap and the Secret of the cells: the shell that the programs' image has, as a file that can be run. */
async function giveShell(cluster: E2eCluster): Promise<void> {
  const [folder, path] = ['/run/programs', '/var/tmp/shell']
  const content = await cluster.read(
    'worker-1',
    `set -e; mkdir -p ${folder}; ctr -n k8s.io images mount ${PROGRAMS_IMAGE} ${folder} > /dev/null
    base64 -w0 ${folder}/usr/bin/sh
    ctr -n k8s.io images unmount --rm ${folder} > /dev/null`,
  )
  // The engine takes text.
  await cluster.engine.putFile(containerName(cluster.name, 'cp-1'), {
    path: `${path}.b64`,
    content,
    mode: 0o600,
  })
  await cluster.read('cp-1', `base64 -d ${path}.b64 > ${path}`)
  const files = `--from-file=sh=${path} --from-literal=key=content`
  for (const kind of ['configmap', 'secret generic'])
    await kubectl(cluster, `create ${kind} ${SHELL} -n ${NAMESPACE} ${files}`)
}

async function forEach(cases: readonly Case[], work: (one: Case) => Promise<void>): Promise<void> {
  const few = pLimit(AT_ONCE)
  const results = await Promise.allSettled(cases.map((one) => few(() => work(one))))
  const problems = results.flatMap((result, index) => {
    const {name = '', cells = []} = cases[index] ?? {}
    const what = cells.map(({hold, place}) => `${hold} on ${place}`).join(', ')
    return result.status === 'rejected' ? [`${name} (${what}): ${String(result.reason)}`] : []
  })
  expect(problems.join('\n')).toBe('')
}

const REFUSED = {code: 'RESTORE_IMPOSSIBLE'}
const made = z.looseObject({checkpoint: z.looseObject({metadata: z.looseObject({name: z.string()})})})
const drained = z.looseObject({
  pods: z.array(z.looseObject({pod: z.string(), result: z.string(), detail: z.string()})),
})

scenario(
  'what processes hold while their pod is moved or ended',
  {prefix: 'e2e-held', workers: 2},
  (chapter) => {
    chapter('a cluster comes up', async (cluster, context) => {
      const image = await needPrograms(context)
      const result = await cluster.init()
      expect(result.exitCode, endOf(result)).toBe(0)
      for (const worker of WORKERS) await givePrograms(cluster, worker, image)
      await makeNamespace(cluster, NAMESPACE)
      await giveShell(cluster)
      await makeSharedClaim(cluster, NAMESPACE, WORKERS)
    })

    chapter('processes hold everything everywhere', async (cluster) => {
      await forEach(CASES, (one) => start(cluster, one))
    })

    chapter('a move brings each over with all it held, or is refused, and it runs on', async (cluster) => {
      await forEach(CASES, async ({name, outcome}) => {
        const words = `checkpoint migrate ${NAMESPACE}/${name} --to worker-2`
        if (outcome === 'refused') {
          await expectRefused(cluster, words, REFUSED)
          await expectStayed(cluster, name)
        } else {
          await expectDone(cluster, words)
          expect(await get(cluster, name, '.spec.nodeName')).toBe('worker-2')
          await expectKept(cluster, name)
        }
      })
    })

    chapter('the same for a checkpoint that ends its pod, and is restored', async (cluster) => {
      await forEach(SAMPLE, async ({name, outcome}) => {
        const words = `checkpoint create ${NAMESPACE}/${name} --stop`
        if (outcome === 'refused') {
          await expectRefused(cluster, words, REFUSED)
          await expectStayed(cluster, name)
        } else {
          const {checkpoint} = resultOf(await run(cluster, words), made)
          await expectDone(
            cluster,
            `checkpoint restore ${NAMESPACE}/${checkpoint.metadata.name} --to worker-1`,
          )
          await expectKept(cluster, name)
        }
      })
    })

    chapter(
      'a checkpoint of what runs on is made, and its restore is refused with the reason',
      async (cluster) => {
        const [one] = SAMPLE.filter(({outcome}) => outcome === 'refused')
        const name = one?.name ?? ''
        const {checkpoint} = resultOf(await run(cluster, `checkpoint create ${NAMESPACE}/${name}`), made)
        const words = `checkpoint restore ${NAMESPACE}/${checkpoint.metadata.name} --as copy`
        await expectRefused(cluster, words, {...REFUSED, why: /configMap volume/})
        await expectStayed(cluster, name)
      },
    )

    chapter('the same for a Runtime that is paused', async (cluster) => {
      const places = ['root file system', 'claim', '/dev/shm']
      const own = CELLS.filter(({place}) => places.includes(place))
      const runtimes: readonly Case[] = [
        {name: 'pausable', cells: own.filter(({outcome}) => outcome === 'restored'), outcome: 'restored'},
        {
          name: 'busy',
          // What a Runtime can have comes along; it holds the address of its pod instead.
          cells: [],
          outcome: 'refused',
        },
      ]
      await forEach(runtimes, async ({name, cells, outcome}) => {
        const program = programHolding(name, cells)
        const {image, command} = PYTHON_CONTAINER
        const spec = {
          image,
          command,
          env: {PYTHON_BASIC_REPL: '1', PYTHONDONTWRITEBYTECODE: '1'},
          nodeSelector: {'kubernetes.io/hostname': outcome === 'refused' ? 'worker-1' : 'worker-2'},
          ...(outcome === 'refused' ? {} : {volumes: [{claimName: 'shared', mountPath: '/mnt/claim'}]}),
        }
        const object = {
          apiVersion: API_VERSION,
          kind: 'Runtime',
          metadata: {name, namespace: NAMESPACE},
          spec,
        }
        await kubectl(cluster, 'apply -f -', JSON.stringify(object))
        const identity = await program.prime(talkTo(cluster, name))
        expect(hasAll(identity), identity).toBe(true)
        running.set(name, {program, identity, uid: await get(cluster, name, '.metadata.uid')})
        if (outcome === 'refused') {
          await talkTo(cluster, name).python(
            [
              'ip = open("/etc/hosts").read().strip().split("\\n")[-1].split()[0]',
              'bound = _socket.socket(2, 2); bound.bind((ip, 7777))',
            ],
            'bound.getsockname()',
          )
          await expectRefused(cluster, `runtime pause ${NAMESPACE}/${name}`, REFUSED)
          await expectStayed(cluster, name)
        } else {
          await expectDone(cluster, `runtime pause ${NAMESPACE}/${name}`)
          await expectDone(cluster, `runtime resume ${NAMESPACE}/${name}`)
          await expectKept(cluster, name)
        }
        await kubectl(cluster, `delete runtime ${name} -n ${NAMESPACE}`)
      })
    })

    chapter('the same for a drain: what is not moved stays, and runs', async (cluster) => {
      const left = CASES.filter((one) => !SAMPLE.includes(one)).map(({name}) => name)
      if (left.length > 0) await kubectl(cluster, `delete pod ${left.join(' ')} -n ${NAMESPACE}`)
      const policy = {
        apiVersion: API_VERSION,
        kind: 'CheckpointPolicy',
        metadata: {name: 'keep', namespace: NAMESPACE},
        spec: {selector: {matchLabels: MOVED_BY_DRAIN}, migrateOnDrain: true},
      }
      await kubectl(cluster, 'apply -f -', JSON.stringify(policy))
      const result = await run(cluster, 'node drain worker-1 --checkpoint')
      expect(result.exitCode, endOf(result)).toBe(8)
      const {pods} = lastLine(result, drained)
      for (const {name, outcome} of SAMPLE) {
        const told = pods.find(({pod}) => pod === `${NAMESPACE}/${name}`)
        expect(told?.result, `${name}: ${told?.detail ?? ''}`).toBe(
          outcome === 'restored' ? 'moved' : 'failed',
        )
        await (outcome === 'restored' ? expectKept(cluster, name) : expectStayed(cluster, name))
      }
    })
  },
)
