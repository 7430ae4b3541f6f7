import {randomBytes} from 'node:crypto'
import {containerName} from '../../src/infrastructure/providers/local-decision.ts'
import type {E2eCluster} from './e2e-cluster.ts'

/**
 * Between two looks, s. The counter of the program counts every 0.2 s, and each time the kernel switches to it: a process
 * that was not switched to between two looks stood still.
 */
const LOOK_EVERY_S = 0.25
/** Two copies must have run at the same time for longer than this, s: what is shorter can be the edges of two looks. */
const TOLERANCE_S = 2 * LOOK_EVERY_S

/** Writes `<time> <process> <argument> <switches>` of every `/smoke serve :PORT ARGUMENT` until a file is gone. */
const LOOK = `
import glob, os, sys, time
armed, seen = sys.argv[1], open(sys.argv[2], 'w', buffering=1)
def switches(pid):
    total = 0
    for name in glob.glob(f'/proc/{pid}/task/*/status'):
        for line in open(name):
            if line.startswith(('voluntary_ctxt', 'nonvoluntary_ctxt')):
                total += int(line.split()[1])
    return total
while os.path.exists(armed):
    for name in glob.glob('/proc/[0-9]*/cmdline'):
        pid = name.split('/')[2]
        try:
            words = open(name, 'rb').read().decode().split('\\0')
            if words[:2] != ['/smoke', 'serve'] or len(words) < 4:
                continue
            state, *fields = open(f'/proc/{pid}/stat').read().rsplit(')', 1)[1].split()
            if state != 'Z':
                print(f'{time.time():.3f} {pid}-{fields[18]} {words[3]} {switches(pid)}', file=seen)
        except OSError:
            continue
    time.sleep(${LOOK_EVERY_S})
`

/** A time in which a process ran, s since the epoch. */
export interface Span {
  readonly node: string
  readonly process: string
  /** Its last argument: MiB of memory, by which a pod is known wherever it is. */
  readonly argument: string
  readonly from: number
  readonly to: number
}

export interface CopyWatch {
  /** Ends it, and gives when which process ran. */
  readonly ended: () => Promise<readonly Span[]>
}

/** Watches on every worker which processes of the smoke program run, frozen ones not. Nodes must stay up. */
export async function watchCopies(cluster: E2eCluster): Promise<CopyWatch> {
  const id = randomBytes(4).toString('hex')
  const [armed, seen, program] = ['armed', 'seen', 'py'].map((end) => `/var/tmp/copies-${id}.${end}`) as [
    string,
    string,
    string,
  ]
  const workers = cluster.machines.filter((name) => name !== 'cp-1')
  const watches = workers.map(async (node) => {
    const container = containerName(cluster.name, node)
    await cluster.engine.putFile(container, {path: program, content: LOOK, mode: 0o600})
    await cluster.read(
      node,
      `touch ${armed}; setsid python3 ${program} ${armed} ${seen} < /dev/null > ${seen}.log 2>&1 &`,
    )
  })
  await Promise.all(watches)
  return {
    ended: async () => {
      const spans = await Promise.all(
        workers.map(async (node) => {
          const text = await cluster.read(
            node,
            `rm ${armed}; sleep ${2 * LOOK_EVERY_S}; cat ${seen}; cat ${seen}.log >&2; rm ${program} ${seen} ${seen}.log`,
          )
          return spansOf(node, text)
        }),
      )
      return spans.flat()
    },
  }
}

/** Times in which each process was switched to. */
export function spansOf(node: string, text: string): readonly Span[] {
  const spans: Span[] = []
  const last = new Map<string, {at: number; switches: number}>()
  for (const line of text.split('\n').filter((one) => one !== '')) {
    const [time = '', process = '', argument = '', count = ''] = line.split(' ')
    const [at, switches] = [Number(time), Number(count)]
    const before = last.get(process)
    last.set(process, {at, switches})
    if (before === undefined || switches <= before.switches) continue
    const index = spans.findLastIndex((span) => span.process === process)
    const span = spans[index]
    if (span?.to === before.at) spans[index] = {...span, to: at}
    else spans.push({node, process, argument, from: before.at, to: at})
  }
  return spans
}

/** Pairs of processes of the same pod that ran at the same time. */
export function copiesAtOnce(spans: readonly Span[]): readonly string[] {
  const of = (span: Span): string => `${span.node}/${span.process}`
  return spans.flatMap((one, index) =>
    spans.slice(index + 1).flatMap((other) => {
      const bothS = Math.min(one.to, other.to) - Math.max(one.from, other.from)
      const isCopy = one.argument === other.argument && of(one) !== of(other)
      return isCopy && bothS > TOLERANCE_S
        ? [`${of(one)} and ${of(other)} (${one.argument} MiB) both ran for ${bothS.toFixed(2)} s`]
        : []
    }),
  )
}

/** Waits a moment, and tells which processes with that argument run on any worker. */
export async function runningCopies(cluster: E2eCluster, argument: string): Promise<readonly string[]> {
  const watch = await watchCopies(cluster)
  await new Promise((resolve) => setTimeout(resolve, 1500))
  const spans = (await watch.ended()).filter((span) => span.argument === argument)
  return [...new Set(spans.map(({node, process}) => `${node}/${process}`))]
}
