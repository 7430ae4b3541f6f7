// The files of a direct move from one program to the other on this machine, in CPU time: `tsx test/bench/transfer.ts
// [MEBIBYTES [ROUNDS [CONNECTIONS]]]`. A copy of the same file by dd, in turn, shows what reading and writing it costs.
import {execFile} from 'node:child_process'
import {randomBytes} from 'node:crypto'
import {mkdir, mkdtemp, open, readFile, rm} from 'node:fs/promises'
import {createServer, type Socket} from 'node:net'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {z} from 'zod'
import {dataConnections} from '../../src/programs/node-agent/transfer/data-connections.ts'
import {TransferProgram, type StartTransfer} from '../../src/programs/node-agent/transfer/program.ts'
import {transferProgram} from '../support/transfer-program.ts'
import {median} from './clusters.ts'

const MEMORY = '/dev/shm'
const MIB = 1024 * 1024
/** https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html: of USER_HZ. */
const TICKS_PER_SECOND = 100
const {signal} = new AbortController()

interface Round {
  readonly seconds: number
  readonly sendCpuSeconds: number
  readonly receiveCpuSeconds: number
  readonly copyCpuSeconds: number
}

const saidSchema = z.looseObject({
  pin: z.string().optional(),
  receivedBytes: z.int().optional(),
  received: z.array(z.unknown()).optional(),
  crc: z.int().optional(),
})

async function cpuSecondsOf(pid: number | undefined): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ').at(-1)?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

async function moved(start: StartTransfer, folder: string, bytes: number, connections: number) {
  const data = dataConnections()
  const server = createServer((socket: Socket) => {
    socket.once('data', (first) => {
      socket.pause()
      data.take(socket, Buffer.from(first))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const {port} = z.looseObject({port: z.int()}).parse(server.address())
  const [pinOfTarget, pinOfSource] = [Promise.withResolvers<string>(), Promise.withResolvers<string>()]
  const received = Promise.withResolvers<unknown>()
  const target = await start(['receive-dump'], {signal})
  await using receiver = new TransferProgram(target, saidSchema, (said) => {
    if (said.pin !== undefined) pinOfTarget.resolve(said.pin)
    if (said.receivedBytes === bytes) received.resolve(undefined)
  })
  const {id, sockets} = data.expect(connections, signal)
  receiver.tell({connect: {host: '127.0.0.1', port, id, connections}})
  const words = ['send-dump', '--peer', await pinOfTarget.promise, '--connections', String(connections)]
  const made = await sockets
  const source = await start(words, {sockets: made, signal})
  for (const socket of made) socket.destroy()
  let pieces = 0
  const sent = Promise.withResolvers<unknown>()
  await using sender = new TransferProgram(source, saidSchema, (said) => {
    if (said.pin !== undefined) pinOfSource.resolve(said.pin)
    if (said.crc !== undefined && (pieces += 1) === Math.ceil(bytes / MIB)) sent.resolve(undefined)
  })
  const into = join(folder, 'in')
  await mkdir(into)
  receiver.tell({pin: await pinOfSource.promise})
  receiver.tell({into: {folder: into, maxBytes: bytes}})
  const startedMs = performance.now()
  sender.tell({send: {number: 1, folder, container: 'main', path: 'pages-1.img', offset: 0, length: bytes}})
  await Promise.all([sent.promise, received.promise])
  const seconds = (performance.now() - startedMs) / 1000
  const [sendCpuSeconds, receiveCpuSeconds] = [await cpuSecondsOf(source.pid), await cpuSecondsOf(target.pid)]
  sender.tell({end: true})
  await Promise.all([sender.ended, receiver.ended])
  server.close()
  await rm(into, {recursive: true})
  return {seconds, sendCpuSeconds, receiveCpuSeconds}
}

async function copied(folder: string): Promise<number> {
  const [from, to] = [join(folder, 'pages-1.img'), join(folder, 'copy')]
  const line = `dd if='${from}' of='${to}' bs=1M status=none; times`
  const {stdout} = await promisify(execFile)('sh', ['-c', line])
  await rm(to)
  // The second line is of what the shell started: `0m0.004s 0m0.597s`.
  const [user = 0, system = 0] = [...(stdout.split('\n')[1] ?? '').matchAll(/(\d+)m([\d.]+)s/g)].map(
    ([, minutes, seconds]) => 60 * Number(minutes) + Number(seconds),
  )
  return user + system
}

const [mebibytes = 1024, rounds = 5, connections = 2] = process.argv.slice(2).map(Number)
const folder = await mkdtemp(join(MEMORY, 'clouder-bench-'))
const program = await mkdtemp(join(tmpdir(), 'clouder-bench-'))
try {
  const start = await transferProgram(program)
  {
    await using file = await open(join(folder, 'pages-1.img'), 'wx')
    for (let index = 0; index < mebibytes; index += 1) await file.write(randomBytes(MIB))
  }
  const measured: Round[] = []
  for (let round = 0; round < rounds; round += 1) {
    const copyCpuSeconds = await copied(folder)
    measured.push({...(await moved(start, folder, mebibytes * MIB, connections)), copyCpuSeconds})
    process.stdout.write(`${JSON.stringify(measured.at(-1))}\n`)
  }
  const perGib = (of: (round: Round) => number): string =>
    ((median(measured.map(of)) * 1024) / mebibytes).toFixed(2)
  process.stdout.write(
    `CPU time per GiB, medians of ${rounds} rounds over ${connections} connections: send ${perGib((one) => one.sendCpuSeconds)} s, ` +
      `receive ${perGib((one) => one.receiveCpuSeconds)} s, a copy by dd ${perGib((one) => one.copyCpuSeconds)} s; ` +
      `the transfer took ${perGib((one) => one.seconds)} s\n`,
  )
} finally {
  await rm(folder, {recursive: true})
  await rm(program, {recursive: true})
}
