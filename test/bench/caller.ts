// (h) `node caller.ts CLIENT PORT CA_FILE CALLS`: so many reads of one Node by one client; prints what they took as JSON.
import {readFile} from 'node:fs/promises'
import {Agent, get} from 'node:https'
import {z} from 'zod'
import {clientNameSchema, NODE_NAME, SERVER_NAME, type ClientName} from './client-names.ts'

type Read = () => Promise<{readonly metadata?: {readonly name?: string | undefined} | undefined} | undefined>

const IN_FLIGHT = 8
const {signal} = new AbortController()

const argumentsSchema = z.tuple([
  clientNameSchema,
  z.coerce.number<string>().pipe(z.int().positive()),
  z.string(),
  z.coerce.number<string>().pipe(z.int().positive()),
])
const [name, port, caFile, calls] = argumentsSchema.parse(process.argv.slice(2))
const ca = await readFile(caFile, 'utf8')

/** JSON is YAML. */
const kubeconfig = (more: object = {}): string =>
  JSON.stringify({
    clusters: [
      {
        name: 'c',
        cluster: {
          server: `https://127.0.0.1:${port}`,
          'certificate-authority-data': Buffer.from(ca).toString('base64'),
          ...more,
        },
      },
    ],
    users: [{name: 'u', user: {}}],
    contexts: [{name: 'x', context: {cluster: 'c', user: 'u'}}],
    'current-context': 'x',
  })
const foreign = (): string => kubeconfig({'tls-server-name': SERVER_NAME})
const ref = {apiVersion: 'v1', kind: 'Node', name: NODE_NAME}

// Each loads what it needs alone: that is part of its memory.
const CLIENTS: {readonly [Name in ClientName]: () => Promise<Read>} = {
  clouder: async () => {
    const {openKube} = await import('../../src/kubernetes/client.ts')
    const kube = await openKube({kubeconfig: kubeconfig(), signal})
    return () => kube.get(ref)
  },
  foreign: async () => {
    const {openForeignKube} = await import('../../src/kubernetes/foreign.ts')
    const kube = await openForeignKube({text: foreign(), environment: {}, signal})
    return () => kube.get(ref)
  },
  clientNode: async () => {
    const {CoreV1Api, KubeConfig} = await import('@kubernetes/client-node')
    const config = new KubeConfig()
    config.loadFromString(foreign())
    const api = config.makeApiClient(CoreV1Api)
    return () => api.readNode({name: NODE_NAME})
  },
  https: () => {
    const agent = new Agent({keepAlive: true, maxSockets: IN_FLIGHT, ca, servername: SERVER_NAME})
    const options = {host: '127.0.0.1', port, path: `/api/v1/nodes/${NODE_NAME}`, agent}
    return Promise.resolve(
      () =>
        new Promise((resolve, reject) => {
          get(options, (response) => {
            const chunks: Buffer[] = []
            response.on('data', (chunk: Buffer) => chunks.push(chunk))
            response.on('error', reject)
            // No check, no schema: it is what the others come on top of.
            response.on('end', () => resolve(JSON.parse(Buffer.concat(chunks).toString('utf8')) as object))
          }).on('error', reject)
        }),
    )
  },
}

/** Several at once, as in an operator. Throws when an answer is not the Node. */
async function repeated(read: Read, times: number): Promise<void> {
  let left = times
  const worker = async (): Promise<void> => {
    while (left-- > 0) {
      const found = (await read())?.metadata?.name
      if (found !== NODE_NAME) throw new Error(`${name} read the Node ${found ?? 'of no name'}`)
    }
  }
  await Promise.all(Array.from({length: IN_FLIGHT}, worker))
}

/** Of this process alone: what `process.resourceUsage` gives was that of the one that started it, if that was more. */
async function peakBytes(): Promise<number> {
  const [, kibibytes] = /^VmHWM:\s+(\d+) kB$/m.exec(await readFile('/proc/self/status', 'utf8')) ?? []
  return z.coerce.number().positive().parse(kibibytes) * 1024
}

const read = await CLIENTS[name]()
// Connections are there, and what is compiled when it is first used, is.
await repeated(read, IN_FLIGHT)
const [startedMs, before] = [performance.now(), process.cpuUsage()]
await repeated(read, calls)
const [elapsedMs, {user, system}] = [performance.now() - startedMs, process.cpuUsage(before)]
const result = {
  requestsPerSecond: (calls / elapsedMs) * 1000,
  cpuMilliseconds: (user + system) / 1000 / calls,
  peakBytes: await peakBytes(),
}
// Kept connections would hold it.
process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit())
