import {generateKeyPairSync, randomBytes} from 'node:crypto'
import {mkdir, readFile} from 'node:fs/promises'
import {dirname} from 'node:path'
import {z} from 'zod'
import {unlessMissing} from '../../base/system-errors.ts'
import {writeDurably} from '../../base/durable-files.ts'

const MAGIC = 'openssh-key-v1\0'
const TYPE = 'ssh-ed25519'
const jwkSchema = z.object({x: z.string(), d: z.string()})

/** The public half, `ssh-ed25519 AAAA…`, of the key at `path`; the pair is made (0600) when there is none that can be read. */
export async function ensureSshKey(path: string): Promise<string> {
  const known = await readPublicKey(path)
  if (known !== undefined) return known
  const {privateText, publicText} = makeKeyPair()
  await mkdir(dirname(path), {recursive: true, mode: 0o700})
  await writeDurably(path, privateText)
  return publicText
}

/** The public half of an unencrypted OpenSSH ed25519 key file; undefined when there is no such file. */
export async function readPublicKey(path: string): Promise<string | undefined> {
  const text = await readFile(path, 'utf8').catch(unlessMissing)
  if (text === undefined) return undefined
  const body = Buffer.from(text.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64')
  if (!body.subarray(0, MAGIC.length).equals(Buffer.from(MAGIC))) return undefined
  const rest = {bytes: body, at: MAGIC.length}
  // Cipher, key derivation and its options come first, then the number of keys.
  for (let field = 0; field < 3; field += 1) takeString(rest)
  rest.at += 4
  const blob = takeString(rest)
  return blob === undefined ? undefined : `${TYPE} ${blob.toString('base64')}`
}

/** An ed25519 pair as OpenSSH writes it (PROTOCOL.key of OpenSSH): the form that every SSH client reads. */
function makeKeyPair(): {privateText: string; publicText: string} {
  const jwk = jwkSchema.parse(generateKeyPairSync('ed25519').privateKey.export({format: 'jwk'}))
  const publicBytes = Buffer.from(jwk.x, 'base64url')
  const blob = Buffer.concat([sshString(TYPE), sshString(publicBytes)])
  const check = randomBytes(4)
  const secret = Buffer.concat([
    check,
    check,
    blob,
    sshString(Buffer.concat([Buffer.from(jwk.d, 'base64url'), publicBytes])),
    sshString('clouder'),
  ])
  const padding = Buffer.from(Array.from({length: (8 - (secret.length % 8)) % 8}, (_, index) => index + 1))
  const body = Buffer.concat([
    Buffer.from(MAGIC),
    sshString('none'),
    sshString('none'),
    sshString(''),
    uint32(1),
    sshString(blob),
    sshString(Buffer.concat([secret, padding])),
  ])
  const lines = body.toString('base64').match(/.{1,70}/g) ?? []
  const privateText = [
    '-----BEGIN OPENSSH PRIVATE KEY-----',
    ...lines,
    '-----END OPENSSH PRIVATE KEY-----',
    '',
  ].join('\n')
  return {privateText, publicText: `${TYPE} ${blob.toString('base64')}`}
}

function takeString(from: {readonly bytes: Buffer; at: number}): Buffer | undefined {
  if (from.at + 4 > from.bytes.length) return undefined
  const start = from.at + 4
  const end = start + from.bytes.readUInt32BE(from.at)
  from.at = end
  return end > from.bytes.length ? undefined : from.bytes.subarray(start, end)
}

function sshString(value: string | Buffer): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value
  return Buffer.concat([uint32(bytes.length), bytes])
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
