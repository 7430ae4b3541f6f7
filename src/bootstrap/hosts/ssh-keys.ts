import {createPrivateKey} from 'node:crypto'
import ssh2, {type ParsedKey} from 'ssh2'
import {quoteWord} from '../../base/quoting.ts'
import {keyTypeOf} from './known-hosts.ts'

/** What a file that is named as a private key is good for. */
export type KeyFile =
  | {readonly kind: 'private'; readonly key: ParsedKey}
  /** Cannot be used by itself; the ssh-agent may hold the key. */
  | {
      readonly kind: 'unusable'
      /** As far as the file shows it. */
      readonly publicKey: Buffer | undefined
      /** What it is, to follow `the key FILE`. */
      readonly problem: string
      readonly fix: string
    }

const opensshMagic = Buffer.from('openssh-key-v1\0')

/** Tells what the text of a key file is; `file` is for the commands that mend it. */
export function readKey(text: string, file: string): KeyFile {
  const path = quoteWord(file)
  const unusable = (problem: string, fix: string, publicKey?: Buffer): KeyFile => ({
    kind: 'unusable',
    publicKey,
    problem,
    fix,
  })
  const header = opensshHeader(text)
  const publicKey = header?.publicKey ?? publicKeyOf(text)
  const type = publicKey === undefined ? '' : keyTypeOf(publicKey)
  if (type.startsWith('sk-')) {
    return unusable(
      `is of type ${type}, a security key (FIDO), which clouder cannot use`,
      'create a key of another type and use that: ssh-keygen -t ed25519',
    )
  }
  if (type.includes('-cert-v01@')) {
    return unusable('is a certificate, not a private key', 'set the private key that it was signed for')
  }
  if (header?.encrypted === true || /^(Proc-Type: 4,ENCRYPTED|-+BEGIN ENCRYPTED PRIVATE KEY)/m.test(text)) {
    return unusable(
      'has a passphrase and is not loaded in the ssh-agent',
      `ssh-add ${path}; keep keyPath, the agent then offers only this key`,
      header?.publicKey,
    )
  }
  const key = ssh2.utils.parseKey(opensslFormOf(text) ?? text)
  // ssh2 gives a list for formats that could hold several keys.
  const [parsed] = [key].flat()
  if (parsed !== undefined && !(parsed instanceof Error) && parsed.isPrivateKey()) {
    return {kind: 'private', key: parsed}
  }
  if (publicKey !== undefined && header === undefined) {
    return unusable(
      'is a public key whose private key is not loaded in the ssh-agent',
      `set the private key: keyPath: ${file.replace(/\.pub$/, '')}`,
      publicKey,
    )
  }
  if (text.startsWith('PuTTY-User-Key-File-')) {
    return unusable(
      'is in PuTTY format, which is not supported',
      `puttygen ${path} -O private-openssh -o ${quoteWord(`${file}.openssh`)}, and set that file`,
    )
  }
  if (/^-+BEGIN PRIVATE KEY/m.test(text)) {
    return unusable(
      'is in PKCS#8 format, which is supported for RSA and ECDSA keys only',
      `convert it to OpenSSH format: ssh-keygen -p -N '' -f ${path}`,
    )
  }
  return unusable('is not an SSH private key', `see what it contains: head -n 1 ${path}`)
}

/** The OpenSSH format names its cipher and its public key in clear, whatever protects the rest. */
function opensshHeader(text: string): {encrypted: boolean; publicKey: Buffer} | undefined {
  const match = /-----BEGIN OPENSSH PRIVATE KEY-----([^-]+)-----END/.exec(text)
  const bytes = Buffer.from(match?.[1] ?? '', 'base64')
  if (!bytes.subarray(0, opensshMagic.length).equals(opensshMagic)) return undefined
  const [cipher, afterCipher] = takeField(bytes.subarray(opensshMagic.length))
  const [, afterKdf] = takeField(afterCipher)
  const [, afterKdfOptions] = takeField(afterKdf)
  // The count of keys, four bytes, is always 1.
  const [publicKey] = takeField(afterKdfOptions.subarray(4))
  return publicKey.length === 0 ? undefined : {encrypted: cipher.toString('latin1') !== 'none', publicKey}
}

/** A length of four bytes and as many bytes; what comes after. */
function takeField(bytes: Buffer): [Buffer, Buffer] {
  if (bytes.length < 4) return [Buffer.alloc(0), Buffer.alloc(0)]
  const end = 4 + bytes.readUInt32BE(0)
  return [bytes.subarray(4, end), bytes.subarray(end)]
}

/** From the line of a `.pub` file: `<type> <base64> <comment>`. */
export function publicKeyOf(text: string): Buffer | undefined {
  const [type = '', base64 = ''] = text.trim().split(/\s+/)
  if (!/^(ssh|ecdsa|sk)-/.test(type)) return undefined
  const blob = Buffer.from(base64, 'base64')
  return keyTypeOf(blob) === type ? blob : undefined
}

/** A PKCS#8 key in the older form that ssh2 reads; undefined: it is none, or of a type without such a form. */
function opensslFormOf(text: string): string | undefined {
  if (!/^-+BEGIN PRIVATE KEY/m.test(text)) return undefined
  try {
    const key = createPrivateKey(text)
    if (key.asymmetricKeyType === 'rsa') return key.export({type: 'pkcs1', format: 'pem'}).toString()
    if (key.asymmetricKeyType === 'ec') return key.export({type: 'sec1', format: 'pem'}).toString()
  } catch {
    // What it is not, the caller finds out and tells.
  }
  return undefined
}
