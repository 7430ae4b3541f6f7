// (h) what a call of an API server costs: clouder's client, client-node and node:https, in turn, against one server.
import type {Socket} from 'node:net'
import {join} from 'node:path'
import {z} from 'zod'
import {withTlsServer} from '../support/with-tls-server.ts'
import {clientNameSchema, NODE_NAME, SERVER_NAME, type ClientName} from './client-names.ts'
import {median, run, type Bench} from './clusters.ts'
import {callCostSchema, type CallCost, type Measured} from './results.ts'

/** Connections are counted here. */
const printedSchema = callCostSchema.omit({connections: true})
const roundSchema = z.record(clientNameSchema, callCostSchema)
type Round = Readonly<z.output<typeof roundSchema>>
const NAMES = clientNameSchema.options

/** About as large as that of a node with 50 images. */
const NODE = JSON.stringify({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: {name: NODE_NAME, uid: '8f3c1f0e-0000-4000-8000-000000000001', resourceVersion: '1'},
  spec: {podCIDR: '10.244.1.0/24'},
  status: {
    conditions: ['MemoryPressure', 'DiskPressure', 'PIDPressure', 'Ready'].map((type) => ({
      type,
      status: type === 'Ready' ? 'True' : 'False',
      lastHeartbeatTime: '2026-01-01T00:00:00Z',
      lastTransitionTime: '2026-01-01T00:00:00Z',
      reason: `Kubelet${type}`,
      message: 'as the kubelet reports it',
    })),
    images: Array.from({length: 50}, (_, index) => ({
      names: [
        `registry.example.org/team/image-${index}@sha256:${String(index).padStart(64, '0')}`,
        `registry.example.org/team/image-${index}:v1.${index}.0`,
      ],
      sizeBytes: 10_000_000 + index,
    })),
  },
})
const KINDS = JSON.stringify({resources: [{name: 'nodes', kind: 'Node', namespaced: false}]})

/** Each client in a fresh process per round, the order shifted by one each time. */
export async function requests(
  size: {readonly rounds: number; readonly calls: number},
  {signal, tell}: Bench,
): Promise<Measured<'h'>> {
  const rounds: Round[] = []
  let sockets = new Set<Socket>()
  let answered = 0
  await withTlsServer(
    SERVER_NAME,
    (request, response) => {
      sockets.add(request.socket)
      const isRead = request.url === `/api/v1/nodes/${NODE_NAME}`
      if (isRead) answered += 1
      response.setHeader('content-type', 'application/json')
      response.end(isRead ? NODE : KINDS)
    },
    async ({port, certFile}) => {
      const costOf = async (name: ClientName): Promise<CallCost> => {
        sockets = new Set()
        answered = 0
        const args = [join(import.meta.dirname, 'caller.ts'), name, port, certFile, size.calls].map(String)
        const {stdout} = await run([process.execPath, ...args], {signal})
        if (answered < size.calls) throw new Error(`${name} made ${answered} calls, not ${size.calls}`)
        const cost = {...printedSchema.parse(JSON.parse(stdout)), connections: sockets.size}
        tell(`${name}: ${cost.requestsPerSecond.toFixed(0)} calls per second`)
        return cost
      }
      for (let round = 0; round < size.rounds; round += 1) {
        const first = round % NAMES.length
        const costs: Partial<Record<ClientName, CallCost>> = {}
        for (const name of [...NAMES.slice(first), ...NAMES.slice(0, first)]) costs[name] = await costOf(name)
        rounds.push(roundSchema.parse(costs))
      }
    },
  )
  return compared(rounds)
}

function compared(rounds: readonly Round[]): Measured<'h'> {
  const ratios = {clientNode: ratiosTo('clientNode', rounds), https: ratiosTo('https', rounds)}
  const {requestsPerSecond, cpuMilliseconds, peakBytes} = ratios.clientNode
  return {
    rounds: [...rounds],
    ratios,
    worst: Math.max(1 / requestsPerSecond, cpuMilliseconds, peakBytes),
  }
}

/** Of clouder to another client, round by round; the medians. */
function ratiosTo(other: ClientName, rounds: readonly Round[]): Omit<CallCost, 'connections'> {
  const of = (key: keyof CallCost): number =>
    median(rounds.map((round) => round.clouder[key] / round[other][key]))
  return {
    requestsPerSecond: of('requestsPerSecond'),
    cpuMilliseconds: of('cpuMilliseconds'),
    peakBytes: of('peakBytes'),
  }
}
