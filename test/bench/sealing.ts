// (j) The archive of a container is sealed into a directory and unpacked from it, and the same bytes are encrypted, hashed
// and written by one loop, and read back by another.
import {createCipheriv, createDecipheriv, createHash, randomBytes} from 'node:crypto'
import {constants} from 'node:fs'
import {access, mkdir, mkdtemp, open, rm, type FileHandle} from 'node:fs/promises'
import {availableParallelism, tmpdir} from 'node:os'
import {join} from 'node:path'
import {unpackArchive} from '../../src/checkpoint/archive/read.ts'
import {TAR_END, tarHeader, tarPadding} from '../../src/checkpoint/archive/tar.ts'
import {openCheckpoint} from '../../src/checkpoint/sealed/open.ts'
import type {Ciphers} from '../../src/checkpoint/sealed/pieces.ts'
import {sealCheckpoint} from '../../src/checkpoint/sealed/seal.ts'
import {directoryObjects} from '../../src/checkpoint/stores/directory.ts'
import {objectStore} from '../../src/checkpoint/stores/object-store.ts'
import {threadedCiphers} from '../../src/programs/node-agent/piece-threads.ts'
import {metadataOf, newKeyring, type Keyring} from '../support/sealed-checkpoint.ts'
import {median, type Bench} from './clusters.ts'
import {SEALED_KINDS, type Measured} from './results.ts'

type OfKind = Measured<'j'>['kinds'][number]
type Round = OfKind['rounds'][number]

const BLOCK_BYTES = 4 * 2 ** 20
const MEMORY = '/dev/shm'
const THREAD = new URL('../support/piece-thread.ts', import.meta.url)
const NONCE = Buffer.alloc(12)

interface Scene {
  /** In memory, as a dump is. */
  readonly source: string
  readonly unpacked: string
  /** On the disk. */
  readonly store: string
  readonly plain: string
  readonly keyring: Keyring
  readonly ciphers: Ciphers
}

/** Rounds of both ways per kind of content, in turn. */
export async function sealing(
  {mebibytes, rounds: count}: {readonly mebibytes: number; readonly rounds: number},
  {signal, tell}: Bench,
): Promise<Measured<'j'>> {
  const memory = await mkdtemp(join(await memoryFolder(), 'clouder-bench-'))
  await using _memory = {[Symbol.asyncDispose]: () => rm(memory, {recursive: true, force: true})}
  const disk = await mkdtemp(join(tmpdir(), 'clouder-bench-'))
  await using _disk = {[Symbol.asyncDispose]: () => rm(disk, {recursive: true, force: true})}
  const scene: Scene = {
    source: join(memory, 'archive.tar'),
    unpacked: join(memory, 'unpacked'),
    store: join(disk, 'store'),
    plain: join(disk, 'plain'),
    keyring: await newKeyring(),
    ciphers: threadedCiphers(THREAD, availableParallelism()),
  }
  const ofKind = async (kind: OfKind['kind']): Promise<OfKind> => {
    await writeArchive(scene.source, kind, mebibytes)
    // What is loaded and compiled for the first time is on nobody's clock.
    await inTurn(scene, 0, signal)
    const rounds: OfKind['rounds'] = [await inTurn(scene, 0, signal)]
    for (let round = 1; round < count; round += 1) rounds.push(await inTurn(scene, round, signal))
    const ratio = (read: (round: Round) => number): number => median(rounds.map(read))
    const found = {
      seal: ratio(({sealSeconds, plainSealSeconds}) => sealSeconds / plainSealSeconds),
      unpack: ratio(({unpackSeconds, plainUnpackSeconds}) => unpackSeconds / plainUnpackSeconds),
    }
    tell(
      `${kind}: sealed in ${found.seal.toFixed(2)}, unpacked in ${found.unpack.toFixed(2)} of the loop's time`,
    )
    return {kind, mebibytes, rounds, ...found}
  }
  const [first, ...rest] = SEALED_KINDS
  const kinds: Measured<'j'>['kinds'] = [await ofKind(first)]
  for (const kind of rest) kinds.push(await ofKind(kind))
  return {kinds, worst: Math.max(...kinds.flatMap(({seal, unpack}) => [seal, unpack]))}
}

const memoryFolder = (): Promise<string> =>
  access(MEMORY, constants.W_OK).then(
    () => MEMORY,
    () => tmpdir(),
  )

/** The archive of a container whose memory has that many random, compressible or alternating mebibytes. */
async function writeArchive(path: string, kind: OfKind['kind'], mebibytes: number): Promise<void> {
  await using file = await open(path, 'w', 0o600)
  const texts = {
    'config.dump': {id: 'bench', rootfsImageName: 'bench', rootfsImageRef: `bench@sha256:${'1'.repeat(64)}`},
    'spec.dump': {process: {user: {}}, root: {path: 'rootfs'}, linux: {}},
    'status.dump': {metadata: {name: 'app'}},
  }
  for (const [name, content] of Object.entries(texts)) {
    const bytes = Buffer.from(JSON.stringify(content))
    await file.appendFile(Buffer.concat([tarHeader(name, bytes.length), bytes, tarPadding(bytes.length)]))
  }
  await file.appendFile(tarHeader('checkpoint/pages-1.img', mebibytes * 2 ** 20))
  for (let block = 0; block < mebibytes; block += 1) {
    const bytes = randomBytes(2 ** 20)
    const isText = kind === 'compressible' || (kind === 'mixed' && block % 2 === 1)
    // A quarter of each line is random, as in records of a program.
    if (isText)
      for (let at = 0; at < bytes.length; at += 64) bytes.fill('{"name": "value"}', at + 16, at + 64)
    await file.appendFile(bytes)
  }
  await file.appendFile(TAR_END)
}

async function inTurn(scene: Scene, round: number, signal: AbortSignal): Promise<Round> {
  const ways = [() => withClouder(scene, signal), () => withLoop(scene, signal)]
  const took = {}
  for (const way of round % 2 === 0 ? ways : ways.toReversed()) {
    for (const left of [scene.store, scene.plain, scene.unpacked])
      await rm(left, {recursive: true, force: true})
    Object.assign(took, await way())
  }
  return roundOf(took)
}

function roundOf(took: Partial<Round>): Round {
  const {sealSeconds, unpackSeconds, storedBytes, plainSealSeconds, plainUnpackSeconds} = took
  if (sealSeconds === undefined || unpackSeconds === undefined || storedBytes === undefined)
    throw new Error('clouder was not measured')
  if (plainSealSeconds === undefined || plainUnpackSeconds === undefined)
    throw new Error('the loop was not measured')
  return {sealSeconds, unpackSeconds, storedBytes, plainSealSeconds, plainUnpackSeconds}
}

async function withClouder(scene: Scene, signal: AbortSignal): Promise<Partial<Round>> {
  const {keyring, ciphers} = scene
  const store = objectStore(directoryObjects(scene.store))
  const [sealSeconds, {digest, storedBytes}] = await timed(() =>
    sealCheckpoint({
      metadata: metadataOf(['app']),
      archives: new Map([['app', () => blocksOf(scene.source)]]),
      ...{keys: keyring.keys, signer: keyring.signer, ciphers, store, signal},
      name: 'bench-app',
      readBack: true,
    }),
  )
  const trust = [keyring.signer.publicKey]
  const [unpackSeconds] = await timed(async () => {
    const opened = await openCheckpoint({store, digest, keys: keyring.wrappers, trust, ciphers, signal})
    await unpackArchive(opened.archive('app', {transient: true}), scene.unpacked, signal)
  })
  return {sealSeconds, unpackSeconds, storedBytes}
}

/** One thread, one file, one buffer: encrypted and hashed on the way to the disk, and on the way back. */
async function withLoop({source, plain, unpacked}: Scene, signal: AbortSignal): Promise<Partial<Round>> {
  const key = randomBytes(32)
  const [plainSealSeconds, sealed] = await timed(async () => {
    const gcm = createCipheriv('aes-256-gcm', key, NONCE)
    const hash = createHash('sha256')
    await using file = await open(plain, 'wx', 0o600)
    await eachBlock(source, signal, async (block) => {
      const bytes = gcm.update(block)
      hash.update(bytes)
      await writeAll(file, bytes)
    })
    gcm.final()
    await file.sync()
    return {tag: gcm.getAuthTag(), digest: hash.digest('hex')}
  })
  const [plainUnpackSeconds] = await timed(async () => {
    const gcm = createDecipheriv('aes-256-gcm', key, NONCE).setAuthTag(sealed.tag)
    const hash = createHash('sha256')
    await mkdir(unpacked)
    await using file = await open(join(unpacked, 'archive'), 'wx', 0o600)
    await eachBlock(plain, signal, async (block) => {
      hash.update(block)
      await writeAll(file, gcm.update(block))
    })
    gcm.final()
    if (hash.digest('hex') !== sealed.digest) throw new Error('the loop read something else than it wrote')
  })
  return {plainSealSeconds, plainUnpackSeconds}
}

async function* blocksOf(path: string): AsyncGenerator<Uint8Array> {
  await using file = await open(path)
  const buffer = Buffer.alloc(BLOCK_BYTES)
  for (;;) {
    const {bytesRead} = await file.read(buffer, 0, BLOCK_BYTES)
    if (bytesRead === 0) return
    yield buffer.subarray(0, bytesRead)
  }
}

async function eachBlock(
  path: string,
  signal: AbortSignal,
  use: (block: Uint8Array) => Promise<void>,
): Promise<void> {
  for await (const block of blocksOf(path)) {
    signal.throwIfAborted()
    await use(block)
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += (await file.write(bytes, at)).bytesWritten
}

async function timed<T>(work: () => Promise<T>): Promise<readonly [number, T]> {
  const beganMs = performance.now()
  const result = await work()
  return [(performance.now() - beganMs) / 1000, result]
}
