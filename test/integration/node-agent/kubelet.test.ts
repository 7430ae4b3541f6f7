import {writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {CheckpointError, KubernetesError} from '../../../src/errors.ts'
import {httpsKubelet} from '../../../src/node-agent/kubelet.ts'
import {withTlsServer} from '../../support/with-tls-server.ts'

const NODE = 'worker-1'
const TARGET = {namespace: 'work', pod: 'web', container: 'main'}
const ARCHIVE = '/var/lib/kubelet/checkpoints/checkpoint-web_work-main-2026-11-21T22:00:00Z.tar'
const {signal} = new AbortController()

/** What a kubelet that answers so is told to have said: the archive, or the error. */
async function answerOf(status: number, body: string): Promise<unknown> {
  let said: unknown
  await withTlsServer(
    NODE,
    (request, response) => {
      const isAsked = request.method === 'POST' && request.url === '/checkpoint/work/web/main'
      const isKnown = request.headers.authorization === 'Bearer secret'
      response.writeHead(isAsked && isKnown ? status : 401).end(body)
    },
    async ({port, certFile, folder}) => {
      const tokenFile = join(folder, 'token')
      await writeFile(tokenFile, 'secret\n')
      const kubelet = httpsKubelet({address: '127.0.0.1', port, nodeName: NODE, caFile: certFile, tokenFile})
      said = await kubelet.checkpoint(TARGET, signal).catch((error: unknown) => error)
    },
  )
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
