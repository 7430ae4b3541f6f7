import {mkdir, readdir, readFile, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {setTimeout as delay} from 'node:timers/promises'
import {z} from 'zod'
import {stringify} from 'yaml'
import type {CliResult} from './cli.ts'
import type {BareNode} from './with-nodes.ts'

/** Writes a cluster.yaml of machines that somebody brings; `spec` is merged over it. Returns its path. */
export async function writeClusterFile(
  dir: string,
  name: string,
  spec: Readonly<Record<string, unknown>>,
): Promise<string> {
  const path = join(dir, `${name}.yaml`)
  await mkdir(dir, {recursive: true})
  const document = {
    apiVersion: 'clouder.dev/v1alpha1',
    kind: 'Cluster',
    metadata: {name},
    spec: {addons: {profile: 'minimal'}, ...spec},
  }
  await writeFile(path, stringify(document))
  return path
}

const resultSchema = z.looseObject({
  steps: z
    .array(z.looseObject({phase: z.string(), step: z.string(), host: z.string().optional()}))
    .optional(),
  nodes: z
    .array(
      z.union([
        z.string().transform((name) => ({name, status: ''})),
        z.looseObject({name: z.string(), status: z.string()}),
      ]),
    )
    .optional(),
  live: z.looseObject({nodes: z.array(z.looseObject({name: z.string(), status: z.string()}))}).optional(),
  checks: z.array(z.looseObject({name: z.string(), passed: z.boolean(), detail: z.string()})).optional(),
})

/** The last line of a `--json` run that ended well; fails with what the run said when it did not. */
export function resultOf(run: CliResult): z.output<typeof resultSchema> {
  const last = run.events.at(-1)
  if (run.exitCode !== 0 || last?.type !== 'result') throw new Error(`the run failed: ${textOf(run)}`)
  return resultSchema.parse(last)
}

const failureSchema = z.looseObject({
  code: z.string(),
  message: z.string(),
  suggestions: z.array(z.string()).optional(),
})

/** The error line of a `--json` run with its own codes and those of its failures. */
export function failureOf(run: CliResult): {exitCode: number | null; text: string; code: string} {
  const last = run.events.at(-1)
  if (last?.type !== 'error') throw new Error(`the run did not fail as it should: ${textOf(run)}`)
  return {exitCode: run.exitCode, code: failureSchema.parse(last).code, text: JSON.stringify(last)}
}

/** Both ends of a run's output, to be shown when something is not as expected. */
export const textOf = ({exitCode, stdout, stderr}: CliResult): string =>
  `exit code ${exitCode ?? 'none'}\n${stdout.slice(-3000)}\n${stderr.slice(-2000)}`

/** `host phase: step` of the steps of a result. */
export const stepLines = (run: CliResult): readonly string[] =>
  (resultOf(run).steps ?? []).map(({host, phase, step}) => `${host ?? 'cluster'} ${phase}: ${step}`)

/**
 * One line for each file, folder and link in the places where software is kept, with mode, owner and digest. Left out:
 * what a running system writes by itself, whatever anybody does on it.
 */
export async function listingOf(node: BareNode, places = '/etc /opt /usr/local /var/lib'): Promise<string> {
  return node.read(`set -euo pipefail
    own='/var/lib/systemd|/var/lib/sudo|/var/lib/private|/etc/resolv.conf|/etc/hosts|/etc/hostname'
    {
      find ${places} -printf '%p %y %m %u %l\\n'
      find ${places} -type f -exec sha256sum {} + | awk '{print $2, $1}'
      # A place of the file system's standard, which stays once it was made, and volumes of the container, whose mode changes.
    } | grep -vE "^($own)[/ ]|^(/usr/local/libexec|/var/lib/(containerd|kubelet|etcd)) d " | LC_ALL=C sort`)
}

/** What of a cluster runs, listens, is mounted or routed on a machine, one line each; empty on a bare one. */
export async function remainsOf(node: BareNode): Promise<string> {
  return node.read(`
    ps -eo comm= | grep -E '^(kube|etcd|containerd|flannel|coredns|pause)' || true
    ip -o link | grep -E 'cni0|flannel|veth' || true
    iptables-save 2>/dev/null | grep -E 'KUBE|CNI|FLANNEL' || true
    findmnt -rno TARGET | grep -E '/(kubelet|containerd)/' || true
    ip route | grep -E '^10\\.(244|96)' || true
    systemctl list-unit-files --no-legend 'kubelet*' 'containerd*' || true
    find /run/clouder /run/containerd /run/flannel -type f 2>/dev/null || true`)
}

/** Watches the command lines of this machine's processes, those of its containers among them, for a text. */
export function watchCommandLines(secret: string): AsyncDisposable & {
  readonly hits: readonly string[]
  /** Programs whose command line was read: what shows that the watch was awake. */
  readonly programs: ReadonlySet<string>
} {
  const hits: string[] = []
  const programs = new Set<string>()
  let watching = true
  const look = async (): Promise<void> => {
    while (watching) {
      const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
      for (const pid of pids) {
        // Most have ended or are kernel threads by the time they are read.
        const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
        programs.add(line.slice(0, line.indexOf('\0')).split('/').at(-1) ?? '')
        if (line.includes(secret)) hits.push(line.replaceAll('\0', ' '))
      }
      // Often enough for every command, and little beside what is being measured.
      await delay(30)
    }
  }
  const looking = look()
  return {
    hits,
    programs,
    async [Symbol.asyncDispose]() {
      watching = false
      await looking
    },
  }
}

/** Files below a folder that hold a text. */
export async function filesWith(dir: string, secret: string): Promise<readonly string[]> {
  const entries = await readdir(dir, {recursive: true, withFileTypes: true})
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  const found: string[] = []
  for (const path of paths) if ((await readFile(path, 'latin1')).includes(secret)) found.push(path)
  return found
}
