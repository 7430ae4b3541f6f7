import {Agent, request as requestTls, type AgentOptions, type RequestOptions} from 'node:https'
import {request as requestPlain} from 'node:http'
import type {Duplex} from 'node:stream'
import {connect, getCACertificates} from 'node:tls'

const TUNNEL_TIMEOUT_MS = 30_000

/** An HTTP proxy that opens tunnels by CONNECT. */
export interface Proxy {
  /** `http:` or `https:`: how the proxy itself is spoken to. */
  readonly protocol: 'http:' | 'https:'
  readonly host: string
  readonly port: number
  /** Of Proxy-Authorization. */
  readonly authorization?: string
}

type Created = (error: Error | null, stream: Duplex) => void

/** An agent whose connections go through a proxy; TLS is spoken with the server, so the proxy reads nothing. */
export class TunnelAgent extends Agent {
  readonly #proxy: Proxy
  readonly #ended = new AbortController()

  constructor(options: AgentOptions, proxy: Proxy) {
    super(options)
    this.#proxy = proxy
  }

  override createConnection(options: RequestOptions, created?: Created): undefined {
    const limit = AbortSignal.timeout(TUNNEL_TIMEOUT_MS)
    // The path is that of a call, and would be that of a socket to TLS; the names are checked as usual.
    const {host, port, path, checkServerIdentity, ...rest} = options
    tunnelTo(options, this.#proxy, AbortSignal.any([this.#ended.signal, limit])).then(
      (socket) => created?.(null, connect({...rest, host: host ?? '', socket})),
      // The type wants a stream here too; where there is an error nobody reads it.
      (error: unknown) => (created as ((error: unknown) => void) | undefined)?.(error),
    )
  }

  override destroy(): void {
    this.#ended.abort()
    super.destroy()
  }
}

function tunnelTo({host, port, ca}: RequestOptions, proxy: Proxy, signal: AbortSignal): Promise<Duplex> {
  const name = host?.includes(':') === true ? `[${host}]` : (host ?? '')
  const authority = `${name}:${port ?? 443}`
  const {authorization} = proxy
  const options = {
    host: proxy.host,
    port: proxy.port,
    method: 'CONNECT',
    path: authority,
    agent: false,
    signal,
    headers: {
      host: authority,
      ...(authorization === undefined ? {} : {'proxy-authorization': authorization}),
    },
  } as const
  const through = `${proxy.protocol}//${proxy.host}:${proxy.port}`
  return new Promise((resolve, reject) => {
    // A proxy of the house has a certificate of the house, as kubectl has it; or one of the world.
    const outgoing =
      proxy.protocol === 'https:'
        ? requestTls({...options, ...(ca === undefined ? {} : {ca: [ca, getCACertificates()].flat()})})
        : requestPlain(options)
    outgoing.on('connect', ({statusCode}, socket: Duplex) => {
      if (statusCode === 200) {
        resolve(socket)
        return
      }
      socket.destroy()
      reject(new Error(`the proxy ${through} responded ${statusCode ?? 'nothing'} to CONNECT ${authority}`))
    })
    outgoing.on('response', (response) => {
      response.destroy()
      reject(
        new Error(
          `the proxy ${through} responded ${response.statusCode ?? 'nothing'} to CONNECT ${authority}`,
        ),
      )
    })
    outgoing.on('error', (error) =>
      reject(new Error(`cannot connect through the proxy ${through}: ${error.message}`, {cause: error})),
    )
    outgoing.end()
  })
}
