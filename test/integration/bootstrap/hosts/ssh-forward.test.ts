import {createHash, randomBytes} from 'node:crypto'
import {once} from 'node:events'
import {connect, createServer, type AddressInfo, type Server, type Socket} from 'node:net'
import {expect, test} from 'vitest'
import {waitFor} from '../../../../src/base/waiting.ts'
import {connectSsh, refusalOf} from '../../../support/connect-ssh.ts'
import {needSshd, startSshd} from '../../../support/with-sshd.ts'

interface Listener extends AsyncDisposable {
  readonly port: number
  readonly open: ReadonlySet<Socket>
}

async function listen(serve: (socket: Socket) => void): Promise<Listener> {
  const open = new Set<Socket>()
  const server: Server = createServer((socket) => {
    open.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => open.delete(socket))
    serve(socket)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const {port} = server.address() as AddressInfo
  return {
    port,
    open,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

/** Sends bytes to something that echoes, and gives what comes back. */
async function echoed(port: number, bytes: Buffer): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  const hash = createHash('sha256')
  let got = 0
  const done = new Promise<void>((resolve, reject) => {
    socket.on('error', reject)
    socket.on('close', () => reject(new Error(`closed after ${got} bytes`)))
    socket.on('data', (chunk: Buffer) => {
      hash.update(chunk)
      got += chunk.length
      if (got >= bytes.length) resolve()
    })
  })
  socket.write(bytes)
  await done
  socket.destroy()
  return hash.digest('hex')
}

test.for([
  [['AllowTcpForwarding no']],
  [['DisableForwarding yes']],
  [['PermitOpen 127.0.0.1:1']],
  [['AllowTcpForwarding no', 'MaxSessions 3']],
] as const)('where sshd forwards nothing (%s), commands carry the connections', async ([config], context) => {
  await needSshd(context)
  await using sshd = await startSshd({config})
  await using echo = await listen((socket) => socket.pipe(socket))
  await using host = await connectSsh(sshd, sshd.machine())
  expect(host.facts.apiForwarded).toBe(false)
  const tunnel = await host.forward('127.0.0.1', echo.port)
  // More at once than sshd takes sessions on one connection, and more bytes than any buffer on the way.
  const sent = Array.from({length: 12}, () => randomBytes(1_500_000))
  const digests = await Promise.all(sent.map((bytes) => echoed(tunnel.localPort, bytes)))
  expect(digests).toEqual(sent.map((bytes) => createHash('sha256').update(bytes).digest('hex')))
  // Commands still have the first connection for themselves.
  expect((await host.query(['echo', 'there'])).stdout).toBe('there\n')
  await waitFor({
    what: 'the connections there to end with those here',
    timeoutMs: 10_000,
    intervalMs: 20,
    signal: AbortSignal.timeout(20_000),
    check: () =>
      Promise.resolve(echo.open.size === 0 ? {value: true, seen: 'none'} : {seen: `${echo.open.size} open`}),
  })
  await tunnel.close()
})

test('a carried connection that is closed there is closed here', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd({config: ['AllowTcpForwarding no']})
  await using brief = await listen((socket) => socket.end('goodbye'))
  await using host = await connectSsh(sshd, sshd.machine())
  const tunnel = await host.forward('127.0.0.1', brief.port)
  const socket = connect(tunnel.localPort, '127.0.0.1')
  let got = ''
  socket.on('data', (chunk: Buffer) => (got += chunk.toString()))
  await once(socket, 'close')
  expect(got).toBe('goodbye')
  await tunnel.close()
})

test.for([['yes'], ['no']])(
  'with AllowTcpForwarding %s a port that nothing listens on is told as closed',
  async ([allow], context) => {
    await needSshd(context)
    await using sshd = await startSshd({config: [`AllowTcpForwarding ${allow}`]})
    await using host = await connectSsh(sshd, sshd.machine())
    const gone = await listen(() => undefined)
    await gone[Symbol.asyncDispose]()
    const tunnel = await host.forward('127.0.0.1', gone.port)
    const socket = connect(tunnel.localPort, '127.0.0.1')
    socket.on('error', () => undefined)
    await new Promise((resolve) => socket.once('close', resolve))
    expect(tunnel.failure()?.message).toMatch(/Connection refused/)
    await tunnel.close()
  },
)

test('an sshd that forwards is told from one that does not, whether anything listens or not', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd()
  await using host = await connectSsh(sshd, sshd.machine())
  expect(host.facts.apiForwarded).toBe(true)
})

test('a bastion that forwards nothing is passed by a command, or named with its setting', async (context) => {
  await needSshd(context)
  await using inner = await startSshd()
  const behind = (port: number) =>
    inner.machine({
      bastion: {address: '127.0.0.1', user: 'root', port, keyPath: inner.userKey, hostKeys: []},
    })
  const keys = [`AuthorizedKeysFile ${inner.userKey}.pub`, 'AllowTcpForwarding no']
  await using bastion = await startSshd({config: keys})
  await using host = await connectSsh(inner, behind(bastion.port))
  expect((await host.query(['echo', 'there'])).stdout).toBe('there\n')
  await using closed = await startSshd({config: [...keys, 'ForceCommand /bin/false']})
  const error = await refusalOf(connectSsh(inner, behind(closed.port), {timeoutMs: 30_000}))
  expect(error).toMatchObject({code: 'HOST_UNREACHABLE', host: 'node-1'})
  expect(error.message).toContain('bastion of node-1, does not forward connections')
  expect(error.suggestions[0]).toContain('AllowTcpForwarding')
  await expect.poll(() => closed.connections()).toBe(1)
})
