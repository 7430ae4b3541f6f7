import {once} from 'node:events'
import {randomInt} from 'node:crypto'
import {createServer} from 'node:net'

/** Below those that a kernel gives to whoever connects: https://docs.kernel.org/networking/ip-sysctl.html */
const PORTS = {first: 20_000, end: 32_000} as const
const ATTEMPTS = 50

/**
 * A port that nothing listens on, for a program that must be told one. It is none of those that the kernel hands out, as
 * such a one may be somebody's connection by the time the program listens.
 */
export async function freePort(address = '127.0.0.1'): Promise<number> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const port = randomInt(PORTS.first, PORTS.end)
    if (await isFree(port, address)) return port
  }
  throw new Error(`no free port on ${address} between ${PORTS.first} and ${PORTS.end}`)
}

async function isFree(port: number, host: string): Promise<boolean> {
  const server = createServer()
  try {
    await once(server.listen({port, host, exclusive: true}), 'listening')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') return false
    throw error
  }
  server.close()
  await once(server, 'close')
  return true
}
