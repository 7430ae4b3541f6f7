import {readFileSync} from 'node:fs'
import {readdir, readFile} from 'node:fs/promises'
import {join} from 'node:path'
import {setTimeout as delay} from 'node:timers/promises'
import {xsalsa20poly1305} from '@noble/ciphers/salsa.js'
import {containerName} from '../../src/infrastructure/providers/local-decision.ts'
import type {E2eCluster} from './e2e-cluster.ts'

const LOOK_EVERY_MS = 20
const SEARCHED =
  '/etc /home /root /run /tmp /opt/clouder /usr/local /var/log /var/tmp /var/lib/clouder /var/lib/kubelet'
/** The keys' own places, journald's binary files, which are asked in words, and what pods keep. */
const EXCLUDED = ['pki', 'apiserver', 'journal', 'pods']

export interface CommandLines extends AsyncDisposable {
  /** Every command line that was seen, with blanks between its words. */
  readonly seen: ReadonlySet<string>
}

/** Collects the command lines of all processes of this machine, those inside its containers among them. */
export function watchCommandLines(): CommandLines {
  const seen = new Set<string>()
  const stopped = new AbortController()
  const watch = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry))
      for (const pid of pids) seen.add(commandLineOf(pid))
      await delay(LOOK_EVERY_MS)
    }
  }
  const watching = watch()
  return {
    seen,
    async [Symbol.asyncDispose]() {
      stopped.abort()
      await watching
    },
  }
}

/** Read at once, as processes are short; empty for one that has ended since. */
function commandLineOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
  } catch (error) {
    if (error instanceof Error && 'code' in error) return ''
    throw error
  }
}

const ENCRYPTION_FILE = '/etc/kubernetes/clouder/apiserver/encryption.yaml'
/** Prints every encrypted value in the log that etcd writes before anything else: each has its length before it. */
const ENCRYPTED_VALUES = `
import base64, glob, re
for name in glob.glob('/var/lib/etcd/member/wal/*.wal'):
    data = open(name, 'rb').read()
    for found in re.finditer(rb'\\x12([\\x80-\\xff]{0,2}[\\x00-\\x7f])k8s:enc:secretbox:v1:[^:]+:', data):
        length = sum((byte & 127) << 7 * at for at, byte in enumerate(found.group(1)))
        print(base64.b64encode(data[found.end():found.end(1) + length]).decode())
`
const NONCE_BYTES = 24

/** What Secrets are encrypted with in etcd, in base64. */
export async function encryptionKey(cluster: E2eCluster): Promise<string> {
  const file = await cluster.read('cp-1', `cat ${ENCRYPTION_FILE}`)
  return /secret: (\S+)/.exec(file)?.[1] ?? ''
}

/** Secret halves of every bootstrap token that ever was: decrypted from what etcd keeps, as the API server would. */
export async function bootstrapSecrets(cluster: E2eCluster): Promise<readonly string[]> {
  const key = Buffer.from(await encryptionKey(cluster), 'base64')
  const values = await cluster.read('cp-1', `python3 - <<'END' ${ENCRYPTED_VALUES}END`)
  const secrets = values.split('\n').flatMap((line) => {
    const sealed = Buffer.from(line, 'base64')
    if (sealed.length <= NONCE_BYTES) return []
    const box = xsalsa20poly1305(key, sealed.subarray(0, NONCE_BYTES))
    const clear = Buffer.from(box.decrypt(sealed.subarray(NONCE_BYTES))).toString('latin1')
    return /token-secret\x12\x10([a-z0-9]{16})/.exec(clear)?.[1] ?? []
  })
  return [...new Set(secrets)]
}

/** One line in the middle of every private key of the cluster, of its certificate authorities among them. */
export async function keyLines(cluster: E2eCluster): Promise<readonly string[]> {
  const script = `find /etc/kubernetes/pki -name '*.key' -exec sed -n 3p {} \\;`
  return (await cluster.read('cp-1', script)).split('\n').filter((line) => line !== '')
}

/** Text files below a folder with what they hold. */
export async function filesBelow(dir: string): Promise<ReadonlyMap<string, string>> {
  const entries = await readdir(dir, {recursive: true, withFileTypes: true})
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  return new Map(
    await Promise.all(paths.map(async (path) => [path, await readFile(path, 'latin1')] as const)),
  )
}

/** Files and logs of a machine that hold one of the texts, outside of etcd's own data. */
export async function nodeFilesWith(
  cluster: E2eCluster,
  machine: string,
  texts: readonly string[],
): Promise<readonly string[]> {
  const container = containerName(cluster.name, machine)
  // By a file and where nothing is searched, so that the search does not find itself.
  const patterns = '/srv/patterns'
  await cluster.engine.putFile(container, {path: patterns, content: `${texts.join('\n')}\n`, mode: 0o600})
  const script = `
    grep -rlFa -f ${patterns} ${SEARCHED} ${EXCLUDED.map((name) => `--exclude-dir=${name}`).join(' ')} 2>/dev/null || true
    if journalctl --no-pager -o cat | grep -qFa -f ${patterns}; then echo journald; fi
    rm ${patterns}`
  return (await cluster.read(machine, script)).split('\n').filter((line) => line !== '')
}
