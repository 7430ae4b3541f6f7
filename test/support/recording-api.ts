import {execFile} from 'node:child_process'
import {once} from 'node:events'
import {readFile, writeFile} from 'node:fs/promises'
import {createServer as createProxy, type IncomingHttpHeaders, type IncomingMessage} from 'node:http'
import {createServer} from 'node:https'
import {connect, type AddressInfo} from 'node:net'
import {join} from 'node:path'
import type {Duplex} from 'node:stream'
import {TLSSocket} from 'node:tls'
import {promisify} from 'node:util'
import {withTempFolder} from './temp-folder.ts'

export interface Arrived {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  /** With every value of a header that came several times. */
  readonly values: NodeJS.Dict<string[]>
  /** Common name of the client's certificate. */
  readonly client: string | undefined
  /** Server name of the TLS handshake. */
  readonly sni: string | undefined
}

export interface RecordingApi {
  readonly port: number
  /** In the order of their arrival. */
  readonly arrived: readonly Arrived[]
  /** Answers calls with 401 that it says true to. */
  refuse: (arrived: Arrived) => boolean
  readonly caFile: string
  readonly ca: string
  /** Files of a certificate for a client and its key. */
  readonly client: (name: string) => Promise<{readonly cert: string; readonly key: string}>
  /** For more files; goes with the server. */
  readonly folder: string
}

/** The names that its certificate has. */
const NAMES = 'DNS:api.test,DNS:other.test,IP:127.0.0.1'

/** An empty list, and what kinds there are. */
const ANSWER = {
  metadata: {resourceVersion: '1'},
  items: [],
  resources: [{name: 'nodes', kind: 'Node', namespaced: false}],
}

/** An API server that answers everything with an empty list, and records what came. */
export async function withRecordingApi(use: (api: RecordingApi) => Promise<void>): Promise<void> {
  await withTempFolder(async (folder) => {
    const ca = await authorityIn(folder)
    const server = await ca.sign('server', `subjectAltName=${NAMES}`)
    const arrived: Arrived[] = []
    const api = {folder, arrived, refuse: (): boolean => false, caFile: ca.file}
    const shared = {ca: await readFile(ca.file, 'utf8'), client: (name: string) => ca.sign(name)}
    const options = {
      key: await readFile(server.key),
      cert: await readFile(server.cert),
      ca: shared.ca,
      requestCert: true,
      rejectUnauthorized: false,
    }
    const listening = createServer(options, (request, response) => {
      const {socket} = request
      if (!(socket instanceof TLSSocket)) throw new Error('a connection without TLS')
      const {subject} = socket.getPeerCertificate() as {subject?: {CN?: string}}
      const {servername} = socket as {servername?: string | false}
      const call: Arrived = {
        method: request.method ?? '',
        path: request.url ?? '',
        headers: request.headers,
        values: request.headersDistinct,
        client: subject?.CN,
        sni: servername === false ? undefined : servername,
      }
      arrived.push(call)
      if (opened.refuse(call)) response.writeHead(401).end('{"kind":"Status","message":"who are you"}')
      else response.end(JSON.stringify(ANSWER))
    }).listen(0, '127.0.0.1')
    await once(listening, 'listening')
    const opened: RecordingApi = {...api, ...shared, port: (listening.address() as AddressInfo).port}
    try {
      await use(opened)
    } finally {
      listening.close()
      listening.closeAllConnections()
    }
  })
}

async function authorityIn(folder: string) {
  const run = (words: string) => promisify(execFile)('openssl', words.split(' '))
  const at = (name: string) => ({cert: join(folder, `${name}.crt`), key: join(folder, `${name}.key`)})
  const keyed = '-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
  const own = at('authority')
  await run(`req -x509 ${keyed} -days 2 -subj /CN=authority -keyout ${own.key} -out ${own.cert}`)
  return {
    file: own.cert,
    sign: async (name: string, extension = '') => {
      const made = at(name)
      const [request, extensions] = [join(folder, `${name}.csr`), join(folder, `${name}.ext`)]
      await writeFile(extensions, extension)
      await run(`req ${keyed} -subj /CN=${name} -keyout ${made.key} -out ${request}`)
      await run(
        `x509 -req -in ${request} -CA ${own.cert} -CAkey ${own.key} -CAcreateserial -days 2 -extfile ${extensions} -out ${made.cert}`,
      )
      return made
    },
  }
}

export interface RecordingProxy {
  readonly port: number
  /** What was asked for, with the login. */
  readonly tunnels: readonly {readonly authority: string; readonly login: string | undefined}[]
  /** What it answers; default: 200, and a tunnel to that port of the loopback, whatever the name. */
  status: number
}

/** `tls` makes it one that is spoken to by HTTPS; `port` is where all its tunnels lead. */
export async function withRecordingProxy(
  use: (proxy: RecordingProxy) => Promise<void>,
  tls?: {readonly cert: Buffer; readonly key: Buffer},
  port?: number,
): Promise<void> {
  const tunnels: {authority: string; login: string | undefined}[] = []
  const server = tls === undefined ? createProxy() : createServer(tls)
  const sockets = new Set<{destroy: () => void}>()
  server.on('connect', ({url = '', headers}: IncomingMessage, socket: Duplex) => {
    sockets.add(socket)
    tunnels.push({authority: url, login: headers['proxy-authorization']})
    if (proxy.status !== 200) {
      socket.end(`HTTP/1.1 ${proxy.status} No\r\n\r\n`)
      return
    }
    const onward = connect(port ?? Number(url.split(':').at(-1)), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      socket.pipe(onward).pipe(socket)
    })
    sockets.add(onward)
    // Either end may be destroyed when a test is over.
    for (const end of [socket, onward]) end.on('error', () => sockets.delete(end))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const proxy: RecordingProxy = {port: (server.address() as AddressInfo).port, tunnels, status: 200}
  try {
    await use(proxy)
  } finally {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
}
