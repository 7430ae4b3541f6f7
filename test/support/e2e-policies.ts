import {z} from 'zod'
import {PORT} from '../../src/platform/addons/checkpoint/names.ts'
import {PROGRAM_REFERENCE} from '../../src/bundle/catalogue.ts'
import {API_VERSION, POLICY_LABEL} from '../../src/api/names.ts'
import {waitFor} from '../../src/base/waiting.ts'
import {kubectl, NAMESPACE} from './e2e-checkpoints.ts'
import type {E2eCluster} from './e2e-cluster.ts'

const SYSTEM = 'clouder-system'
/** Where clouds answer machines. */
const METADATA_ADDRESS = '169.254.169.254'
const TIMEOUT_MS = 240_000
const {signal} = new AbortController()

export const applyObject = (cluster: E2eCluster, object: object): Promise<string> =>
  kubectl(cluster, 'apply -f -', JSON.stringify(object))

export const applyPolicy = (cluster: E2eCluster, name: string, spec: object): Promise<string> =>
  applyObject(cluster, {
    apiVersion: API_VERSION,
    kind: 'CheckpointPolicy',
    metadata: {name, namespace: NAMESPACE},
    spec,
  })

/** A pod that uses two fifths of a processor, or what it gets. */
export const applyBusyPod = (
  cluster: E2eCluster,
  name: string,
  labels: object,
  node: string,
): Promise<string> => {
  const program =
    'const used = () => process.cpuUsage().user; setInterval(() => { const end = used() + 40_000; while (used() < end); }, 100)'
  return applyObject(cluster, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {name, namespace: NAMESPACE, labels},
    spec: {
      nodeName: node,
      terminationGracePeriodSeconds: 1,
      containers: [
        {
          name: 'main',
          image: PROGRAM_REFERENCE,
          command: ['node', '-e', program],
          resources: {requests: {cpu: '200m'}},
        },
      ],
    },
  })
}

const listSchema = z.looseObject({
  items: z.array(
    z.looseObject({
      metadata: z.looseObject({name: z.string()}),
      spec: z.looseObject({podRef: z.looseObject({name: z.string()}).optional()}),
      status: z.looseObject({phase: z.string().optional()}).default({}),
    }),
  ),
})

export interface MadeCheckpoint {
  readonly name: string
  readonly pod: string
  readonly phase: string
}

/** The checkpoints that a policy made and that are still there. */
export async function madeBy(cluster: E2eCluster, policy: string): Promise<readonly MadeCheckpoint[]> {
  const text = await kubectl(cluster, `get ckpt -n ${NAMESPACE} -l ${POLICY_LABEL}=${policy} -o json`)
  return listSchema.parse(JSON.parse(text)).items.map(({metadata, spec, status}) => ({
    name: metadata.name,
    pod: spec.podRef?.name ?? '',
    phase: status.phase ?? '',
  }))
}

/** What a policy made, as soon as it is what is wanted. */
export const waitForMade = (
  cluster: E2eCluster,
  policy: string,
  wanted: (made: readonly MadeCheckpoint[]) => boolean,
): Promise<readonly MadeCheckpoint[]> =>
  waitFor({
    what: `checkpoints of policy ${policy}`,
    check: async () => {
      const made = await madeBy(cluster, policy)
      const seen = made.map(({name, phase}) => `${name} ${phase}`).join(', ')
      return wanted(made) ? {value: made, seen} : {seen}
    },
    timeoutMs: TIMEOUT_MS,
    intervalMs: 1000,
    signal,
  })

/** Reasons of the events of an object of these tests. */
export const eventsOf = async (cluster: E2eCluster, kind: string, name: string): Promise<readonly string[]> =>
  (
    await kubectl(
      cluster,
      `get events -n ${NAMESPACE} --field-selector involvedObject.kind=${kind},involvedObject.name=${name} -o jsonpath={.items[*].reason}`,
    )
  ).split(' ')

/** The controller's pod that leads. */
export const leaderOf = (cluster: E2eCluster): Promise<string> =>
  kubectl(cluster, `get lease clouder-controller -n ${SYSTEM} -o jsonpath={.spec.holderIdentity}`)

/** Ends the controller that leads as a crash would; gives its name. */
export async function killLeader(cluster: E2eCluster): Promise<string> {
  const leader = await leaderOf(cluster)
  const of = `get pod ${leader} -n ${SYSTEM} -o`
  const [uid = '', node = ''] = (
    await kubectl(cluster, `${of} 'jsonpath={.metadata.uid} {.spec.nodeName}'`)
  ).split(' ')
  const pids = `$(grep -l ${uid} /proc/[0-9]*/cgroup 2>/dev/null | cut -d/ -f3)`
  await cluster.read(node, `kill -9 ${pids} || true`)
  await kubectl(cluster, `delete pod ${leader} -n ${SYSTEM} --grace-period=0 --force --wait=false`)
  return leader
}

/** What Prometheus reads of each controller, by the name of its pod. */
export async function figuresOfControllers(cluster: E2eCluster): Promise<ReadonlyMap<string, string>> {
  const names = (
    await kubectl(
      cluster,
      `get pods -n ${SYSTEM} -l app.kubernetes.io/name=clouder-controller --field-selector status.phase=Running -o jsonpath={.items[*].metadata.name}`,
    )
  ).split(' ')
  const figures = names.map(async (name) => {
    const path = `/api/v1/namespaces/${SYSTEM}/pods/${name}:${PORT}/proxy/metrics`
    return [name, await kubectl(cluster, `get --raw ${path}`)] as const
  })
  return new Map(await Promise.all(figures))
}

/** The sum of a metric over its labels that match; 0: there is none. */
export function sumOf(figures: string, name: string, labels = ''): number {
  return figures
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .filter((line) => line.includes(labels))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}

/** Answers as the metadata service of a cloud does; what a file tells comes and goes with the file. */
const SERVICES = {
  aws: `
    if (url === '/latest/api/token' && method === 'PUT') return response.end('a-token')
    if (headers['x-aws-ec2-metadata-token'] !== 'a-token') return response.writeHead(401).end()
    if (url !== '/latest/meta-data/spot/instance-action' || told === '') return response.writeHead(404).end()
    response.end(told)`,
  azure: `
    if (!url.startsWith('/metadata/')) return response.writeHead(404).end()
    if (headers.metadata !== 'true') return response.writeHead(400).end()
    response.end(told === '' ? '{"DocumentIncarnation":1,"Events":[]}' : told)`,
} as const

const TOLD = '/run/clouder-notice'

/**
 * A node gets a metadata service at the address where clouds have theirs, and its agent finds it. Gives what lets the
 * service tell something, as text; empty: nothing. It is undone when the cluster is.
 */
export async function pretendCloud(
  cluster: E2eCluster,
  machine: string,
  cloud: keyof typeof SERVICES,
): Promise<(text: string) => Promise<void>> {
  const tell = async (text: string): Promise<void> => {
    const coded = Buffer.from(text).toString('base64')
    await cluster.read(machine, `base64 -d <<<'${coded}' > ${TOLD}.new && mv ${TOLD}.new ${TOLD}`)
  }
  await tell('')
  await cluster.read(machine, `ip address add ${METADATA_ADDRESS}/32 dev lo`)
  const program = `
    const {readFileSync} = require('fs')
    require('http').createServer(({url, method, headers}, response) => {
      const told = readFileSync('/host${TOLD}', 'utf8')
      ${SERVICES[cloud]}
    }).listen(80, '${METADATA_ADDRESS}')`
  await applyObject(cluster, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {name: `metadata-${machine}`, namespace: NAMESPACE},
    spec: {
      nodeName: machine,
      hostNetwork: true,
      terminationGracePeriodSeconds: 1,
      containers: [
        {
          name: 'main',
          image: PROGRAM_REFERENCE,
          command: ['node', '-e', program],
          volumeMounts: [{name: 'run', mountPath: '/host/run', readOnly: true}],
        },
      ],
      volumes: [{name: 'run', hostPath: {path: '/run', type: 'Directory'}}],
    },
  })
  await kubectl(cluster, `wait --for=condition=Ready pod metadata-${machine} -n ${NAMESPACE} --timeout=120s`)
  // An agent that never saw a cloud looks for one less and less often.
  const agents = '-l app.kubernetes.io/name=clouder-node-agent'
  await kubectl(cluster, `delete pod -n ${SYSTEM} ${agents} --field-selector spec.nodeName=${machine}`)
  await kubectl(cluster, `rollout status ds/clouder-node-agent -n ${SYSTEM} --timeout=120s`)
  return tell
}
