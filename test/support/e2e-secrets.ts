import {readFileSync} from 'node:fs'
import {readdir, readFile} from 'node:fs/promises'
import {join} from 'node:path'
import {setTimeout as delay} from 'node:timers/promises'
import {containerName} from '../../src/providers/local-decision.ts'
import type {E2eCluster} from './e2e-cluster.ts'

const LOOK_EVERY_MS = 20
const SEARCHED =
  '/etc /home /root /run /tmp /opt/clouder /usr/local /var/log /var/tmp /var/lib/clouder /var/lib/kubelet'
/** The keys' own place, journald's binary files, which are asked in words, and what pods keep. */
const EXCLUDED = ['pki', 'journal', 'pods']

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

/** Secret halves of every bootstrap token that ever was, from the log that etcd writes before anything else. */
export async function bootstrapSecrets(cluster: E2eCluster): Promise<readonly string[]> {
  const script = `cat /var/lib/etcd/member/wal/*.wal | grep -aoP 'token-secret\\x12\\x10\\K[a-z0-9]{16}' | sort -u`
  return (await cluster.read('cp-1', script)).split('\n').filter((line) => line !== '')
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
