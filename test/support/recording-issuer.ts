import type {IncomingMessage} from 'node:http'
import {text} from 'node:stream/consumers'
import {withTlsServer} from './with-tls-server.ts'

export interface TokenRequest {
  readonly authorization: string | undefined
  readonly form: Readonly<Record<string, string>>
}

export interface IssuerAnswer {
  readonly status: number
  /** Text is sent as it is. */
  readonly body: object | string
}

export interface RecordingIssuer {
  readonly port: number
  readonly ca: string
  readonly caFile: string
  /** Paths of all requests, in the order of their arrival. */
  readonly paths: readonly string[]
  readonly requests: readonly TokenRequest[]
  /** What follows its address in the name that it gives itself. */
  path: string
  /** What a request for tokens is answered; undefined: nothing, for ever. */
  answer: (request: TokenRequest) => IssuerAnswer | undefined
}

/** The names that its certificate has; the second leads nowhere without a proxy. */
export const ISSUER_NAMES = ['localhost', 'idp.test'] as const

/** An issuer of OIDC tokens with a discovery document, which records what it was asked for. */
export async function withRecordingIssuer(use: (issuer: RecordingIssuer) => Promise<void>): Promise<void> {
  const paths: string[] = []
  const requests: TokenRequest[] = []
  let path = ''
  let answer: RecordingIssuer['answer'] = () => ({status: 400, body: {error: 'invalid_grant'}})
  const answerTo = async (request: IncomingMessage): Promise<IssuerAnswer | undefined> => {
    const base = `https://${request.headers.host ?? ''}`
    if (request.url !== '/token')
      return {
        status: 200,
        body: {issuer: `${base}${path}`, token_endpoint: `${base}/token`, jwks_uri: `${base}/keys`},
      }
    const form = Object.fromEntries(new URLSearchParams(await text(request)))
    const received = {authorization: request.headers.authorization, form}
    requests.push(received)
    return answer(received)
  }
  await withTlsServer(
    ISSUER_NAMES,
    (request, response) => {
      paths.push(request.url ?? '')
      answerTo(request).then(
        (made) => {
          if (made === undefined) return
          response.writeHead(made.status, {'content-type': 'application/json'})
          response.end(typeof made.body === 'string' ? made.body : JSON.stringify(made.body))
        },
        // The client has gone.
        () => response.destroy(),
      )
    },
    ({port, ca, certFile}) =>
      use({
        ...{port, ca, caFile: certFile, paths, requests},
        get path() {
          return path
        },
        set path(next) {
          path = next
        },
        get answer() {
          return answer
        },
        set answer(next) {
          answer = next
        },
      }),
  )
}
