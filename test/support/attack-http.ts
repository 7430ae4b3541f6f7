import {expect} from 'vitest'
import {z} from 'zod'
import {PORT} from '../../src/platform/addons/checkpoint/names.ts'
import {SYSTEM_NAMESPACE} from '../../src/api/names.ts'
import {USAGE_PATH} from '../../src/api/usage.ts'
import {peerKeyOf, type PeerKey} from '../../src/operator/peer-tls.ts'
import type {KubeClient} from '../../src/kubernetes/types.ts'
import {KEY_SECRET} from '../../src/programs/node-agent/key-ring.ts'
import {agentsOf, attacked, ended, fetched, scripted} from './attack-scene.ts'
import type {Chapter} from './e2e-scenario.ts'

const ZERO = '0'.repeat(64)
const PATHS = [
  USAGE_PATH,
  `/v1/blobs/sha256:${ZERO}`,
  `/v1/manifests/sha256:${ZERO}`,
  '/v1/blobs/../../../etc/passwd',
  '/v1/blobs/%2e%2e%2f%2e%2e%2fetc%2fpasswd',
  '//etc/passwd',
  '/debug/pprof/',
]
/** Of each kind: in clear, and by TLS with a key that nobody knows. */
const REQUESTS = 60
/**
 * Whoever names a key that an agent does not know has it read the Secret once in ten seconds; the controller and the
 * agents read Secrets for their own work meanwhile. An agent that reads it for each request reads it sixty times.
 */
const MOST_READS = 15

/** Asks an agent in each of these ways, and prints what came of each: a status, or the code of an error. */
const askAs = (host: string, key: PeerKey): string => `
  const asked = ${JSON.stringify({host, port: PORT})}
  const right = {identity: ${JSON.stringify(key.identity)}, psk: ${JSON.stringify(key.psk.toString('base64'))}}
  const tls = {minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2', ciphers: 'ECDHE-PSK-CHACHA20-POLY1305'}
  const ask = (scheme, path, more) => new Promise((resolve) => {
    const request = require(scheme).get({...asked, path, agent: false, timeout: 10000, rejectUnauthorized: false, ...more})
    request.once('response', (answer) => { answer.resume(); answer.once('end', () => resolve(answer.statusCode)) })
    request.once('timeout', () => request.destroy(new Error('timeout')))
    request.once('error', (error) => resolve(error.code ?? error.message))
  })
  const withKey = ({identity, psk}) =>
    ({...tls, checkServerIdentity: () => undefined, pskCallback: () => ({identity, psk: Buffer.from(psk, 'base64')})})
  const wrong = Buffer.alloc(32, 1).toString('base64')
  ;(async () => {
    const inClear = {}
    for (const path of ${JSON.stringify(PATHS)}) inClear[path] = await ask('http', path, {})
    const usage = ${JSON.stringify(USAGE_PATH)}
    const byTls = {
      'without a key': await ask('https', usage, {}),
      'with the suite and no key': await ask('https', usage, tls),
      'with a wrong key': await ask('https', usage, withKey({...right, psk: wrong})),
      'with a key of another name': await ask('https', usage, withKey({...right, identity: 'other'})),
    }
    for (let index = 0; index < ${REQUESTS}; index++) {
      await ask('http', usage, {})
      await ask('https', usage, withKey({identity: 'other ' + index, psk: wrong}))
    }
    console.log(JSON.stringify({
      health: await ask('http', '/healthz', {}),
      withTheKey: await ask('https', usage, withKey(right)),
      inClear,
      byTls,
    }))
  })()`

const outcome = z.union([z.int(), z.string()])
const toldSchema = z.object({
  health: outcome,
  withTheKey: outcome,
  inClear: z.record(z.string(), outcome),
  byTls: z.record(z.string(), outcome),
})

/** How many single Secrets anybody has read of the API server since it started. */
async function secretReads(kube: KubeClient): Promise<number> {
  const counted = (await fetched(kube, '/metrics'))
    .split('\n')
    .filter((line) => line.startsWith('apiserver_request_total{'))
    .filter((line) => line.includes('resource="secrets"') && line.includes('verb="GET"'))
    .map((line) => Number(line.slice(line.lastIndexOf(' '))))
  expect(counted.length).toBeGreaterThan(0)
  return counted.reduce((sum, count) => sum + count, 0)
}

const agentSchema = z.looseObject({status: z.looseObject({podIP: z.string()})})
const secretSchema = z.looseObject({data: z.record(z.string(), z.base64())})

export function attackHttp(chapter: Chapter): void {
  chapter('an agent answers nobody without the key, and works for nobody either', async (cluster) => {
    await attacked(cluster, async ({root, editorOf}) => {
      await editorOf('outsiders')
      const {status} = agentSchema.parse((await agentsOf(root)).get('worker-2'))
      const secret = {apiVersion: 'v1', kind: 'Secret', namespace: SYSTEM_NAMESPACE, name: KEY_SECRET}
      const {data} = secretSchema.parse(await root.get(secret))
      const key = peerKeyOf(Buffer.from(data['peer-key'] ?? '', 'base64').toString('utf8'))
      const script = askAs(status.podIP, key)
      const client = scripted('outsiders', 'client', 'worker-1', script, {spec: {restartPolicy: 'Never'}})

      const before = await secretReads(root)
      await root.create(client)
      await ended(root, client, 'Succeeded', 'Failed')
      const reads = (await secretReads(root)) - before

      const log = await fetched(root, '/api/v1/namespaces/outsiders/pods/client/log')
      const {health, withTheKey, inClear, byTls} = toldSchema.parse(JSON.parse(log))
      // It is there, and what the others lack is the key.
      expect({health, withTheKey}).toEqual({health: 200, withTheKey: 200})
      expect(inClear).toEqual(Object.fromEntries(PATHS.map((path) => [path, 404])))
      for (const [how, came] of Object.entries(byTls)) expect(came, how).toBeTypeOf('string')
      expect(reads).toBeLessThan(MOST_READS)
    })
  })
}
