import {execFile} from 'node:child_process'
import {once} from 'node:events'
import {readFile, writeFile} from 'node:fs/promises'
import {createServer} from 'node:https'
import type {AddressInfo} from 'node:net'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {expect, test} from 'vitest'
import {CheckpointError, KubernetesError} from '../../../src/errors.ts'
import {httpsKubelet} from '../../../src/node-agent/kubelet.ts'
import {withTempFolder} from '../../support/temp-folder.ts'

const NODE = 'worker-1'
const TARGET = {namespace: 'work', pod: 'web', container: 'main'}
const ARCHIVE = '/var/lib/kubelet/checkpoints/checkpoint-web_work-main-2026-11-21T22:00:00Z.tar'
const {signal} = new AbortController()

/** What a kubelet that answers so is told to have said: the archive, or the error. */
async function answerOf(status: number, body: string): Promise<unknown> {
  let said: unknown
  await withTempFolder(async (folder) => {
    const [key, cert] = [join(folder, 'key'), join(folder, 'cert')]
    const words = `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=${NODE} -addext subjectAltName=DNS:${NODE}`
    await promisify(execFile)('openssl', [...words.split(' '), '-keyout', key, '-out', cert])
    const tokenFile = join(folder, 'token')
    await writeFile(tokenFile, 'secret\n')
    const server = createServer(
      {key: await readFile(key), cert: await readFile(cert)},
      (request, response) => {
        const isAsked = request.method === 'POST' && request.url === '/checkpoint/work/web/main'
        const isKnown = request.headers.authorization === 'Bearer secret'
        response.writeHead(isAsked && isKnown ? status : 401).end(body)
      },
    ).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const {port} = server.address() as AddressInfo
    const trustFiles = [join(folder, 'absent'), cert]
    const kubelet = httpsKubelet({address: '127.0.0.1', port, nodeName: NODE, trustFiles, tokenFile})
    try {
      said = await kubelet.checkpoint(TARGET, signal).catch((error: unknown) => error)
    } finally {
      server.close()
    }
  })
  return said
}

const failure = (description: string): string =>
  `checkpointing of work/web/main failed (rpc error: code = Unavailable desc = ${description})`

test('a kubelet that has checkpointed tells where', async () => {
  expect(await answerOf(200, JSON.stringify({items: [ARCHIVE]}))).toBe(ARCHIVE)
})

test('what a runtime says is an error of the checkpoint', async () => {
  const said = await answerOf(500, failure('error reading from server: EOF'))
  expect(said).toBeInstanceOf(CheckpointError)
  expect(said).toMatchObject({code: 'CHECKPOINT_FAILED', message: expect.stringContaining('EOF') as string})
})

test('a runtime that is away is waited for', async () => {
  const dial =
    'connection error: desc = "transport: Error while dialing: dial unix /run/containerd/containerd.sock: connect: connection refused"'
  const said = await answerOf(500, failure(dial))
  expect(said).toBeInstanceOf(KubernetesError)
  expect(said).toMatchObject({code: 'API_UNREACHABLE'})
})
