import {createServer, type IncomingMessage, type Server, type ServerResponse} from 'node:http'
import type {Log} from './log.ts'
import type {Metrics} from './metrics.ts'

/** /healthz, which says what `problem` says, /metrics, and what `further` takes. Resolves once it listens. */
export async function serveHttp(
  port: number,
  metrics: Metrics,
  further: (request: IncomingMessage, response: ServerResponse) => Promise<boolean>,
  log: Log,
  problem: () => string | undefined,
): Promise<Server> {
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (request.url === '/healthz') {
      const why = problem()
      response.writeHead(why === undefined ? 200 : 503).end(`${why ?? 'ok'}\n`)
    } else if (request.url === '/metrics')
      response.setHeader('content-type', metrics.contentType).end(await metrics.text())
    else if (!(await further(request, response))) response.writeHead(404).end()
  }
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      log('warn', 'request failed', {url: request.url, error: String(error)})
      if (response.headersSent) response.destroy()
      else response.writeHead(500).end()
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, resolve)
  })
  return server
}
