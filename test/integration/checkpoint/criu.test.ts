import {once} from 'node:events'
import {readdir, readFile} from 'node:fs/promises'
import {createServer} from 'node:net'
import {join} from 'node:path'
import {networkInterfaces} from 'node:os'
import {expect, test, type TestContext} from 'vitest'
import {heldPaths} from '../../../src/checkpoint/archive/criu-held.ts'
import {imageContents} from '../../../src/checkpoint/archive/criu-images.ts'
import {diagnose} from '../../../src/checkpoint/archive/diagnose.ts'
import {needCriu} from '../../support/portable-criu.ts'
import {tempFolder} from '../../support/temp-folder.ts'

test('images of a real process tell its tree, its memory and its open files', async (context) => {
  await using folder = await tempFolder()
  const criu = await needCriu(context, folder.path)
  const {exitCode, log, imageDir} = await criu.dump('exec 5>data.txt', 'images')
  expect(exitCode, log.slice(-2000)).toBe(0)
  expect(diagnose(log)).toEqual([])
  const names = await readdir(imageDir)
  const images = await Promise.all(
    names.map(async (name) => [name, await readFile(join(imageDir, name))] as const),
  )
  const {processes, openFiles, sockets} = imageContents(new Map(images))
  const [bash, sleep] = processes
  expect(processes.map(({command}) => command)).toEqual(['bash', 'sleep'])
  expect(bash).toMatchObject({threads: 1, uid: 0})
  expect(sleep).toMatchObject({ppid: bash?.pid})
  expect(openFiles).toContainEqual({pid: bash?.pid, fd: 5, path: join(folder.path, 'data.txt')})
  expect(sockets).toEqual([])
  const pages = images.filter(([name]) => name.startsWith('pages-')).map(([, {length}]) => length)
  const resident = processes.map(({residentBytes}) => residentBytes)
  expect(resident.reduce((sum, bytes) => sum + bytes, 0)).toBe(pages.reduce((sum, bytes) => sum + bytes, 0))
})

test('of a real process with an established connection the file descriptor is named', async (context) => {
  await using folder = await tempFolder()
  const criu = await needCriu(context, folder.path)
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new TypeError('it listens on a port')
  try {
    const {exitCode, log} = await criu.dump(`exec 6<>/dev/tcp/127.0.0.1/${address.port}`, 'connection')
    expect(exitCode).not.toBe(0)
    expect(diagnose(log)).toMatchObject([
      {code: 'tcp-established', process: {command: 'bash'}, file: {fd: 6}},
    ])
  } finally {
    server.close()
  }
})

/** One that other machines could reach too: those of loopback are bound everywhere. */
function ownAddress(context: TestContext): string {
  const found = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({family, internal}) => family === 'IPv4' && !internal)
  return found?.address ?? context.skip('needs an IPv4 address that is not of loopback')
}

test('a connection of a real process that its peer has reset is dumped, and is no obstacle', async (context) => {
  await using folder = await tempFolder()
  const criu = await needCriu(context, folder.path)
  const host = ownAddress(context)
  const server = createServer((socket) => void socket.resetAndDestroy()).listen(0, host)
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new TypeError('it listens on a port')
  try {
    const script = `exec 6<>/dev/tcp/${host}/${address.port}; read -r -u 6 2>/dev/null || true`
    const {exitCode, log, imageDir} = await criu.dump(script, 'reset')
    expect(exitCode, log.slice(-2000)).toBe(0)
    const images = new Map([['files.img', await readFile(join(imageDir, 'files.img'))]])
    expect(imageContents(images).sockets).toMatchObject([
      {remote: `${host}:${address.port}`, local: expect.stringContaining(host) as string, state: 'CLOSE'},
    ])
    expect(heldPaths(images).filter(({kind}) => kind === 'address')).toEqual([])
  } finally {
    server.close()
  }
})

test('of a real process with a locked file the path is named', async (context) => {
  await using folder = await tempFolder()
  const criu = await needCriu(context, folder.path)
  const {exitCode, log} = await criu.dump('exec 7>locked.txt; flock 7', 'lock')
  expect(exitCode).not.toBe(0)
  expect(diagnose(log)).toMatchObject([
    {code: 'file-lock', process: {command: 'bash'}, file: {fd: 7, path: join(folder.path, 'locked.txt')}},
  ])
})
