import {createHash} from 'node:crypto'
import type {ClientRequest, IncomingHttpHeaders, IncomingMessage, ServerResponse} from 'node:http'
import {Agent, createServer, request, type RequestOptions, type Server} from 'node:https'
import type {Duplex} from 'node:stream'
import {connect, TLSSocket, type ConnectionOptions} from 'node:tls'

/**
 * Node.js knows keys that both sides have before only up to TLS 1.2; these suites draw a key of their own per connection.
 * AES takes two thirds of the other's processor time; programs from before know only the other.
 */
const TLS = {
  ciphers: 'DHE-PSK-AES128-GCM-SHA256:ECDHE-PSK-CHACHA20-POLY1305',
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.2',
} as const
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

/** A server for those who share the key, which does not listen. `upgrade`: what is not to stay HTTP; default: refused. */
export function peerServer(
  key: AnsweringKey,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  upgrade?: (request: IncomingMessage, socket: Duplex) => void,
): Server {
  const server = createServer(
    {
      ...TLS,
      dhparam: 'auto',
      handshakeTimeout: HANDSHAKE_MS,
      pskCallback: (_socket, identity) => key.of(identity),
    },
    answer,
  )
  // Nobody sends anything before it is accepted.
  if (upgrade !== undefined) server.on('upgrade', (request, socket) => upgrade(request, socket))
  return server
}

export interface PeerAsk {
  readonly host: string
  readonly port: number
  readonly path: string
  readonly key: PeerKey
  /** Keeps connections for the next ask; of `peerAgent`. */
  readonly agent?: Agent
  /** Headers that hold for this connection alone, which has a name that only its two ends know; it is used once. */
  readonly headersOf?: (channel: Buffer) => Readonly<Record<string, string>>
  readonly signal: AbortSignal
}

/** Both show that they have the key; there is no certificate. */
const WITHOUT_CERTIFICATE = {checkServerIdentity: () => undefined} as const

/**
 * Keeps connections to peers that nobody uses for some seconds. Node.js uses no connection again whose request said how
 * the other end is verified (https://nodejs.org/api/https.html): its agent has to.
 */
export const peerAgent = (): Agent => new Agent({keepAlive: true, timeout: 4000, ...WITHOUT_CERTIFICATE})

/** Whoever answers does not have the key, or has another one. */
export class PeerRefusedError extends Error {}

/** RFC 5705: what both ends of a connection know, and nobody can bring about on another connection. */
const CHANNEL = ['EXPORTER-clouder-peer', 32] as const

/** The name of the connection that a request came by. Undefined: it is not by TLS. */
export const channelOf = ({socket}: IncomingMessage): Buffer | undefined =>
  socket instanceof TLSSocket
    ? socket.exportKeyingMaterial(CHANNEL[1], CHANNEL[0], Buffer.alloc(0))
    : undefined

/** GET; the answer, whatever its status, of somebody who has the key. Throws PeerRefusedError, and Error without an answer. */
export async function askPeer(ask: PeerAsk): Promise<IncomingMessage> {
  const {asking} = await beginAsk(ask)
  return new Promise((resolve, reject) => {
    asking.once('response', resolve)
    asking.once('error', (error) => reject(refusalOf(error)))
    asking.end()
  })
}

export interface UpgradedPeer {
  readonly socket: Duplex
  readonly headers: IncomingHttpHeaders
  readonly channel: Buffer
}

/**
 * Asks somebody who has the key to go on with another protocol than HTTP; the connection, with the answer and the name
 * that only its two ends know, or the answer of one that refuses. Throws as `askPeer` does.
 */
export async function upgradePeer(
  ask: PeerAsk & {readonly headersOf: NonNullable<PeerAsk['headersOf']>},
  protocol: string,
): Promise<UpgradedPeer | {readonly refusal: IncomingMessage}> {
  let channel = Buffer.alloc(0)
  const headersOf = (own: Buffer): Readonly<Record<string, string>> => {
    channel = Buffer.from(own)
    return ask.headersOf(own)
  }
  const {asking} = await beginAsk({...ask, headersOf}, {connection: 'Upgrade', upgrade: protocol})
  return new Promise((resolve, reject) => {
    asking.once('upgrade', ({headers}, socket, head) => {
      // What came with the answer is the beginning of the other protocol.
      if (head.length > 0) socket.unshift(head)
      // How long it may be silent is for the other protocol to say.
      socket.setTimeout(0)
      resolve({socket, headers, channel})
    })
    asking.once('response', (refusal) => resolve({refusal}))
    asking.once('error', (error) => reject(refusalOf(error)))
    asking.end()
  })
}

async function beginAsk(
  ask: PeerAsk,
  more: Readonly<Record<string, string>> = {},
): Promise<{readonly asking: ClientRequest}> {
  const {host, port, path, key, agent, headersOf, signal} = ask
  const tls: ConnectionOptions = {
    ...TLS,
    host,
    port,
    pskCallback: () => ({psk: key.psk, identity: key.identity}),
    ...(agent === undefined ? WITHOUT_CERTIFICATE : {}),
  }
  const own = headersOf === undefined ? undefined : await connected(tls, signal)
  const options: RequestOptions & Pick<ConnectionOptions, 'pskCallback'> = {
    ...tls,
    path,
    signal,
    timeout: SILENCE_MS,
    ...(own === undefined || headersOf === undefined
      ? {agent: agent ?? false}
      : {
          // Without an agent: one would make a connection of its own.
          createConnection: () => own,
          headers: {
            ...headersOf(own.exportKeyingMaterial(CHANNEL[1], CHANNEL[0], Buffer.alloc(0))),
            ...more,
          },
        }),
  }
  const asking = request(options)
  asking.once('timeout', () => asking.destroy(new Error(`no response within ${SILENCE_MS / 1000} s`)))
  return {asking}
}

function connected(options: ConnectionOptions, signal: AbortSignal): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect(options)
    const end = (error: Error): void => {
      socket.destroy()
      reject(refusalOf(error))
    }
    const aborted = (): void => end(signal.reason instanceof Error ? signal.reason : new Error('aborted'))
    signal.addEventListener('abort', aborted, {once: true})
    socket.setTimeout(HANDSHAKE_MS, () => end(new Error(`no connection within ${HANDSHAKE_MS / 1000} s`)))
    socket.once('error', end)
    socket.once('secureConnect', () => {
      signal.removeEventListener('abort', aborted)
      socket.setTimeout(0)
      socket.off('error', end)
      resolve(socket)
    })
  })
}

function refusalOf(error: Error): Error {
  const code = 'code' in error ? error.code : undefined
  return code === 'EPROTO' ? new PeerRefusedError(error.message, {cause: error}) : error
}
