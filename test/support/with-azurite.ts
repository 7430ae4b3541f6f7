import {spawn} from 'node:child_process'
import {randomBytes} from 'node:crypto'
import {join} from 'node:path'
import {BlobServiceClient} from '@azure/storage-blob'
import {ended, saidBy} from './started-server.ts'

const PROGRAM = join(import.meta.dirname, '../../node_modules/azurite/dist/src/blob/main.js')
const ACCOUNT = 'checkpoints'

/** An emulator of Azure Blob on this machine, in memory, with an account and a key of its own. */
export interface Azurite extends AsyncDisposable {
  /** `http://127.0.0.1:34567/checkpoints`. */
  readonly endpoint: string
  readonly connectionString: string
  /** The same account with another key. */
  readonly wrongConnectionString: string
  readonly client: BlobServiceClient
}

/** `address`: of this machine, to listen at. */
export async function startAzurite(address = '127.0.0.1'): Promise<Azurite> {
  const key = randomBytes(64).toString('base64')
  const options = ['--blobHost', address, '--blobPort', '0', '--inMemoryPersistence', '--disableTelemetry']
  const child = spawn(process.execPath, [PROGRAM, ...options, '--silent', '--skipApiVersionCheck'], {
    env: {...process.env, AZURITE_ACCOUNTS: `${ACCOUNT}:${key}`},
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const origin = await saidBy(child, 'azurite', /listens on (http:\/\/[\d.]+:\d+)/)
  const endpoint = `${origin}/${ACCOUNT}`
  const connect = (secret: string): string =>
    `DefaultEndpointsProtocol=http;AccountName=${ACCOUNT};AccountKey=${secret};BlobEndpoint=${endpoint};`
  return {
    endpoint,
    connectionString: connect(key),
    wrongConnectionString: connect(randomBytes(64).toString('base64')),
    client: BlobServiceClient.fromConnectionString(connect(key)),
    [Symbol.asyncDispose]: () => ended(child),
  }
}
