import {createHash} from 'node:crypto'
import type {IncomingMessage, ServerResponse} from 'node:http'
import {createServer, request, type Agent, type RequestOptions, type Server} from 'node:https'
import type {ConnectionOptions} from 'node:tls'

/** Node.js knows keys that both sides have before only up to TLS 1.2; this suite draws a key of its own per connection. */
const TLS = {ciphers: 'ECDHE-PSK-CHACHA20-POLY1305', minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2'} as const
const HANDSHAKE_MS = 10_000
const SILENCE_MS = 60_000
const REFRESH_MS = 10_000
/** After so long, one that has the right key knows it, however often others asked with a wrong one. */
export const KEY_KNOWN_MS = REFRESH_MS + 5_000

/** What node agents and the controller share: who has it may ask, and nobody else can listen. */
export interface PeerKey {
  /** Says which key is meant, without telling it. */
  readonly identity: string
  readonly psk: Buffer
}

/** Of the text in the cluster's key Secret. */
export const peerKeyOf = (text: string): PeerKey => ({
  identity: createHash('sha256').update(`clouder peer ${text}`).digest('hex').slice(0, 32),
  psk: Buffer.from(text, 'base64'),
})

/** The key that asks are answered by. */
export interface AnsweringKey {
  /** Null: it is not the key of that identity; then it is read anew, whoever asks at most every ten seconds. */
  of(identity: string): Buffer | null
  /** Resolves when nothing is being read. */
  settled(): Promise<void>
}

/**
 * Reads the key, and keeps what `read` gave last, so that nobody who does not know the key makes anything be read but now
 * and then.
 */
export function answeringKey(read: () => Promise<string>, now: () => number): AnsweringKey {
  let known: PeerKey | undefined
  let readAtMs = 0
  let reading = Promise.resolve()
  const refresh = (): void => {
    readAtMs = now()
    reading = read().then(
      (text) => void (known = peerKeyOf(text)),
      // Read again when somebody asks later.
      () => undefined,
    )
  }
  refresh()
  return {
    of(identity) {
      if (known?.identity === identity) return known.psk
      if (now() - readAtMs >= REFRESH_MS) refresh()
      return null
    },
    settled: () => reading,
  }
}

/** A server for those who share the key, which does not listen. */
export function peerServer(
  key: AnsweringKey,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Server {
  return createServer(
    {
      ...TLS,
      handshakeTimeout: HANDSHAKE_MS,
      pskCallback: (_socket, identity) => key.of(identity),
    },
    answer,
  )
}

export interface PeerAsk {
  readonly host: string
  readonly port: number
  readonly path: string
  readonly key: PeerKey
  /** Keeps connections for the next ask. */
  readonly agent?: Agent
  readonly signal: AbortSignal
}

/** Whoever answers does not have the key, or has another one. */
export class PeerRefusedError extends Error {}

/** GET; the answer, whatever its status, of somebody who has the key. Throws PeerRefusedError, and Error without an answer. */
export async function askPeer({host, port, path, key, agent, signal}: PeerAsk): Promise<IncomingMessage> {
  const options: RequestOptions & Pick<ConnectionOptions, 'pskCallback'> = {
    ...TLS,
    host,
    port,
    path,
    signal,
    timeout: SILENCE_MS,
    agent: agent ?? false,
    pskCallback: () => ({psk: key.psk, identity: key.identity}),
    // Both show that they have the key; there is no certificate.
    checkServerIdentity: () => undefined,
  }
  return new Promise((resolve, reject) => {
    const asking = request(options)
    asking.once('timeout', () => asking.destroy(new Error(`no response within ${SILENCE_MS / 1000} s`)))
    asking.once('response', resolve)
    asking.once('error', (error) => {
      const code = 'code' in error ? error.code : undefined
      reject(code === 'EPROTO' ? new PeerRefusedError(error.message, {cause: error}) : error)
    })
    asking.end()
  })
}
