import {execFile} from 'node:child_process'
import {once} from 'node:events'
import {readFile} from 'node:fs/promises'
import type {RequestListener} from 'node:http'
import {createServer} from 'node:https'
import type {AddressInfo} from 'node:net'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {withTempFolder} from './temp-folder.ts'

export interface TlsServer {
  readonly port: number
  /** Its certificate, which it signed itself. */
  readonly certFile: string
  readonly ca: string
  /** For more files; goes with the server. */
  readonly folder: string
}

/** Serves HTTPS on the loopback under a name, or several, while `use` runs. */
export async function withTlsServer(
  name: string | readonly string[],
  listener: RequestListener,
  use: (server: TlsServer) => Promise<void>,
): Promise<void> {
  await withTempFolder(async (folder) => {
    const [key, certFile] = [join(folder, 'key'), join(folder, 'cert')]
    const names = [name].flat()
    const alternatives = names.map((each) => `DNS:${each}`).join(',')
    const words = `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=${names[0] ?? ''} -addext subjectAltName=${alternatives}`
    await promisify(execFile)('openssl', [...words.split(' '), '-keyout', key, '-out', certFile])
    const ca = await readFile(certFile, 'utf8')
    const server = createServer({key: await readFile(key), cert: ca}, listener).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const {port} = server.address() as AddressInfo
    try {
      await use({port, certFile, ca, folder})
    } finally {
      server.close()
      server.closeAllConnections()
    }
  })
}
