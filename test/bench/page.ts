// docs/benchmarks.md from what was measured; no number in it comes from anywhere else.
import {format, resolveConfig} from 'prettier'
import {median} from './clusters.ts'
import {clientNameSchema, type ClientName} from './client-names.ts'
import {
  FLOOR_LIMITS,
  MEASUREMENT_NAMES,
  type MeasurementName,
  type CallCost,
  type Result,
  type Results,
  type Taken,
} from './results.ts'

const seconds = (value: number): string => `${value.toFixed(value < 1 ? 3 : 1)} s`
type FloorRound = Result<'i'>['sizes'][number]['rounds'][number]
const ratio = (value: number): string => value.toFixed(2)
const verdict = (value: number, limit: number): string =>
  `${value <= limit ? 'met' : '**missed**'}, the target is at most ${limit}`

const measuredOn = ({date, machine}: Taken): string =>
  `Measured on ${date}: ${machine.cores} cores, ${machine.memoryGiB} GiB of memory, ${machine.system}, Node.js ${machine.node}; load average at the start ${machine.loadAverage}.`

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')

function byHand(result: Result<'a'>): readonly string[] {
  const rows = result.runs.map((run, index) => [
    String(index + 1),
    seconds(run.clouderSeconds),
    seconds(run.byHandSeconds),
    ratio(run.ratio),
  ])
  const phases = Object.entries(result.runs.at(-1)?.phases ?? {}).map(([phase, value]) => [
    phase,
    seconds(value),
  ])
  return [
    '## A cluster of 1 + 2, compared with a minimal script',
    'The machines of the local provider are created first, with `clouder kubeadm create`; the measurement starts when they accept SSH connections. `clouder kubeadm setup` is compared with the script `test/bench/by-hand.sh`: the same files and images of the same bundle, the same configuration, all nodes in parallel over one OpenSSH connection each, without checks, plan or journal. Both end when every node is Ready and flannel, kube-proxy and CoreDNS are available. Runs alternate, each on new machines; the image tars and configuration files of the script are created before its measurement starts.',
    table(['pair', 'clouder', 'script', 'ratio'], rows),
    `Median ratio **${ratio(result.ratio)}**: ${verdict(result.ratio, 1.25)}.`,
    'Time per phase in the last run of clouder:',
    table(['phase', 'time'], phases),
    measuredOn(result),
  ]
}

const secondInit = (result: Result<'b'>): readonly string[] => [
  '## The same init again, on 3 nodes',
  'A cluster of 1 + 2 in the desired state; `clouder kubeadm init` with the same arguments, the complete command, which must find nothing to do.',
  table(
    ['run', 'time'],
    result.seconds.map((value, index) => [String(index + 1), seconds(value)]),
  ),
  `Median **${seconds(result.median)}**: ${verdict(Number(result.median.toFixed(1)), 4)} s.`,
  measuredOn(result),
]

const startUp = (result: Result<'c'>): readonly string[] => [
  '## Start of the command line',
  'Twenty rounds; each runs every command once. The table shows the median wall time of each command; the ratios are to `node -e 0`.',
  table(
    ['command', 'median'],
    Object.entries(result.medians).map(([name, value]) => [`\`${name}\``, seconds(value)]),
  ),
  ...Object.entries(result.ratios).map(
    ([name, value]) => `\`${name}\`: **${ratio(value)}**: ${verdict(value, 3)}.`,
  ),
  measuredOn(result),
]

const growth = (result: Result<'d'>): readonly string[] => [
  '## Growth with the number of workers',
  'An init with the normal workflow on simulated hosts, which respond to each command after about the time that local nodes need (`test/bench/growth.ts` lists these times). So this is the time that clouder itself adds per node, without the effect of real nodes that share one machine.',
  table(
    ['workers', 'time'],
    Object.entries(result.seconds).map(([workers, value]) => [workers, seconds(value)]),
  ),
  `10 workers compared with 2: **${ratio(result.ratio)}**: ${verdict(result.ratio, 1.2)}.`,
  measuredOn(result),
]

const synth = (result: Result<'e'>): readonly string[] => [
  '## Synthesis of a stack of 3 + 50 nodes',
  'From the spec to the JSON for Terraform in a new process, including the time to load cdktf and the classes of the provider. Median of five runs.',
  table(
    ['cloud', 'time'],
    Object.entries(result.medians).map(([cloud, value]) => [cloud, seconds(value)]),
  ),
  `The slower: **${seconds(result.slowest)}**: ${verdict(result.slowest, 2)} s.`,
  measuredOn(result),
]

const apply = (result: Result<'f'>): readonly string[] => [
  '## Apply in a cloud, compared with Terraform alone',
  '1 + 2 nodes on AWS, with the real provider and an emulator of the AWS API, each time in an empty account. `clouder infra apply` (synthesis, init, plan, apply, outputs) is compared with `terraform init` and `terraform apply` of the same JSON, alternating.',
  table(
    ['pair', 'clouder', 'terraform'],
    result.pairs.map((pair, index) => [
      String(index + 1),
      seconds(pair.clouderSeconds),
      seconds(pair.terraformSeconds),
    ]),
  ),
  `Median time beyond 1.1 times that of Terraform: **${seconds(result.beyond)}**: ${verdict(result.beyond, 2)} s.`,
  measuredOn(result),
]

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`

const checkpoint = (result: Result<'g'>): readonly string[] => [
  '## Moving a process with its memory to another node',
  'A process with random bytes in memory, on a cluster of 1 + 2 that stores checkpoints on the disks of its nodes. `clouder checkpoint migrate`, and the two commands `clouder checkpoint create --stop` and `clouder checkpoint restore`, are each compared with the script `test/bench/by-hand-checkpoint.sh`: the kubelet’s API, tar, `ctr import` over SSH, `kubectl apply`. Unlike the script, clouder also compresses, encrypts, signs, stores, reads back and verifies the memory. All move the process from the same node to the same other node, and end when the pod is Ready there with the same hash of its memory. They run in turn, each round in a different order; before the first round, each has moved a process of 1 MiB. The table shows medians.',
  table(
    ['memory', 'script', 'one command', 'ratio', 'two commands', 'ratio'],
    result.sizes.map(({mebibytes, pairs, ratio: both, moveRatio}) => [
      `${mebibytes} MiB`,
      seconds(median(pairs.map((pair) => pair.byHandSeconds))),
      seconds(median(pairs.map((pair) => pair.moveSeconds))),
      `${ratio(moveRatio)} (${pairs.map((pair) => ratio(pair.moveRatio)).join(', ')})`,
      seconds(median(pairs.map((pair) => pair.clouderSeconds))),
      `${ratio(both)} (${pairs.map((pair) => ratio(pair.ratio)).join(', ')})`,
    ]),
  ),
  `Highest ratio of one command: **${ratio(result.worstMove)}**: ${verdict(result.worstMove, 1.3)}. Of two: **${ratio(result.worst)}**: ${verdict(result.worst, 1.3)}.`,
  'The stored size compared with the memory of the process, and the downtime of the process in a move, from the status of the Migration.',
  table(
    ['memory', 'resident', 'archive', 'stored', 'downtime'],
    result.sizes.map((size) => [
      `${size.mebibytes} MiB`,
      megabytes(size.residentBytes),
      megabytes(size.archiveBytes),
      megabytes(size.storedBytes),
      seconds(size.downtimeSeconds),
    ]),
  ),
  measuredOn(result),
]

const CLIENT_LABELS: {readonly [Name in ClientName]: string} = {
  clouder: 'clouder',
  foreign: 'clouder, with the kubeconfig of another cluster',
  clientNode: '`@kubernetes/client-node`',
  https: '`node:https`',
}

function requests(result: Result<'h'>): readonly string[] {
  const {rounds, ratios, worst} = result
  const medianOf = (name: ClientName, key: keyof CallCost): number =>
    median(rounds.map((round) => round[name][key]))
  const rows = clientNameSchema.options.map((name) => [
    CLIENT_LABELS[name],
    medianOf(name, 'requestsPerSecond').toFixed(0),
    `${medianOf(name, 'cpuMilliseconds').toFixed(2)} ms`,
    megabytes(medianOf(name, 'peakBytes')),
    medianOf(name, 'connections').toFixed(0),
  ])
  const against = (['clientNode', 'https'] as const).map((name) => [
    CLIENT_LABELS[name],
    ratio(ratios[name].requestsPerSecond),
    ratio(ratios[name].cpuMilliseconds),
    ratio(ratios[name].peakBytes),
  ])
  return [
    '## Requests to an API server, compared with other clients',
    `Each client repeatedly reads one Node of about 10 KB, with eight requests in parallel, from a local TLS server that responds from memory. It runs in a new Node.js process that has loaded nothing else. Each client sends the same number of requests, in ${rounds.length} rounds whose order shifts by one. A few requests before the measurement open the connections; the CPU time is that of the client. \`node:https\` keeps its connections and parses JSON, nothing else: the minimum cost of such requests. The table shows medians.`,
    table(['client', 'requests per second', 'CPU time per request', 'peak memory', 'connections'], rows),
    'clouder compared with each client; median of the ratios of all rounds.',
    table(['compared with', 'requests per second', 'CPU time per request', 'peak memory'], against),
    `Worst of the three ratios to \`@kubernetes/client-node\`: **${ratio(worst)}**: ${verdict(worst, 1)}.`,
    measuredOn(result),
  ]
}

const floor = (result: Result<'i'>): readonly string[] => {
  const {from, ...limits} = FLOOR_LIMITS
  const worstOf = (key: 'total' | 'downtime' | 'pause' | 'resume', least = 0): string => {
    const judged = result.sizes.filter(({mebibytes}) => mebibytes >= least)
    if (judged.length === 0) return 'not measured'
    const worst = Math.max(...judged.map((size) => size[key]))
    return `**${ratio(worst)}**: ${verdict(worst, limits[key])}`
  }
  const middle = (size: Result<'i'>['sizes'][number], read: (round: FloorRound) => number): string =>
    seconds(median(size.rounds.map(read)))
  const small = result.sizes.filter(({mebibytes}) => mebibytes < from.total)
  return [
    '## A move, compared with the least that can be done',
    'A process with random bytes in memory, on a cluster of 1 + 2. The floor is made manually on the same two nodes: `runc checkpoint` into a folder in memory on the source, its files as one tar stream over one TCP connection, `runc restore` on the target, in a bundle that is there already (`test/bench/floor-source.sh`, `floor-target.sh`); nothing is encrypted, verified or kept, there is no pod, and both scripts wait on their nodes before the measurement starts. clouder moves a pod with the same program by `clouder checkpoint migrate`, and pauses and resumes it as a Runtime with `clouder runtime pause` and `clouder runtime resume`; its times are those of the complete commands. Downtime is measured on the nodes (`test/bench/floor-answers.sh`): from the last response of the process on the source to the first on the target, requested again every 5 ms on the source and every 20 ms on the target; the nodes share one clock. All ways run in turn, each round in a different order, after one round with 1 MiB. After each move the hash of the memory must be the same. The tables show medians, of the ratios too, and the ratio of each round.',
    table(
      ['memory', 'dump', 'copy', 'restore', 'floor', 'downtime'],
      result.sizes.map((size) => [
        `${size.mebibytes} MiB`,
        middle(size, (round) => round.floor.dumpSeconds),
        middle(size, (round) => round.floor.copySeconds),
        middle(size, (round) => round.floor.restoreSeconds),
        middle(size, (round) => round.floor.totalSeconds),
        middle(size, (round) => round.floor.downtimeSeconds),
      ]),
    ),
    table(
      ['memory', 'clouder', 'ratio', 'downtime', 'reported', 'ratio'],
      result.sizes.map((size) => [
        `${size.mebibytes} MiB`,
        middle(size, ({move}) => move.totalSeconds),
        `${ratio(size.total)} (${size.rounds.map((round) => ratio(round.move.totalSeconds / round.floor.totalSeconds)).join(', ')})`,
        middle(size, ({move}) => move.downtimeSeconds),
        middle(size, ({move}) => move.reportedSeconds),
        `${ratio(size.downtime)} (${size.rounds.map((round) => ratio(round.move.downtimeSeconds / round.floor.downtimeSeconds)).join(', ')})`,
      ]),
    ),
    'Pause compared with the dump of the floor, and with the dump and the time that the disk of the node takes for the same files (`test/bench/floor-write.sh`: one file, synced at its end), since a pause deletes the pod only when the disk has its memory; resume compared with copy and restore of the floor.',
    table(
      ['memory', 'pause', 'of dump', 'write to disk', 'of dump and write', 'resume', 'ratio'],
      result.sizes.map((size) => [
        `${size.mebibytes} MiB`,
        middle(size, ({pauseSeconds}) => pauseSeconds),
        ratio(size.pause),
        middle(size, ({floor: {writeSeconds}}) => writeSeconds),
        ratio(
          median(
            size.rounds.map(
              ({pauseSeconds, floor: {dumpSeconds, writeSeconds}}) =>
                pauseSeconds / (dumpSeconds + writeSeconds),
            ),
          ),
        ),
        middle(size, ({resumeSeconds}) => resumeSeconds),
        ratio(size.resume),
      ]),
    ),
    ...small.map(
      ({mebibytes, totalSeconds}) =>
        `A whole move of ${mebibytes} MiB: **${seconds(totalSeconds)}**: ${verdict(totalSeconds, limits.smallSeconds)} s.`,
    ),
    `Highest ratios: of the whole move from ${from.total} MiB on, ${worstOf('total', from.total)}; of the downtime, ${worstOf('downtime')}; of pause from ${from.pause} MiB on, ${worstOf('pause', from.pause)}; of resume, ${worstOf('resume', from.pause)}.`,
    measuredOn(result),
  ]
}

const sealing = (result: Result<'j'>): readonly string[] => {
  const timesOf = (values: readonly number[]): string => seconds(median(values))
  return [
    '## Sealing and unpacking, compared with one loop',
    'The archive of a container in memory is sealed into a directory on disk and unpacked from it into memory, as the node agent does. The loop is one thread that reads the same bytes in blocks of 4 MiB, encrypts them (AES-256-GCM), hashes what it encrypted (SHA-256), writes it into one file and syncs that; and reads, hashes, decrypts and writes it back into memory. It compresses nothing, reads nothing back, and has neither pieces nor a manifest. Both run in turn in one process, after one round that is not measured. Of compressible memory three quarters of each 64 bytes repeat; mixed memory is both, in turn. The table shows medians, of the ratios too.',
    table(
      ['memory', 'seal', 'loop', 'ratio', 'unpack', 'loop', 'ratio', 'stored'],
      result.kinds.map(({kind, mebibytes, rounds, seal, unpack}) => [
        `${mebibytes} MiB, ${kind}`,
        timesOf(rounds.map(({sealSeconds}) => sealSeconds)),
        timesOf(rounds.map(({plainSealSeconds}) => plainSealSeconds)),
        ratio(seal),
        timesOf(rounds.map(({unpackSeconds}) => unpackSeconds)),
        timesOf(rounds.map(({plainUnpackSeconds}) => plainUnpackSeconds)),
        ratio(unpack),
        megabytes(median(rounds.map(({storedBytes}) => storedBytes))),
      ]),
    ),
    `Highest ratio: **${ratio(result.worst)}**. It has no target of its own: it is a part of pause and resume.`,
    measuredOn(result),
  ]
}

const SECTIONS: {readonly [Name in MeasurementName]: (result: Result<Name>) => readonly string[]} = {
  a: byHand,
  b: secondInit,
  c: startUp,
  d: growth,
  e: synth,
  f: apply,
  g: checkpoint,
  h: requests,
  i: floor,
  j: sealing,
}

function sectionOf<Name extends MeasurementName>(
  name: Name,
  results: {readonly [Key in Name]?: Result<Key> | undefined},
): readonly string[] {
  const result: Result<Name> | undefined = results[name]
  return result === undefined ? [] : SECTIONS[name](result)
}

/** The page of all results. */
export async function pageOf(results: Results): Promise<string> {
  const intro = [
    '# Benchmarks',
    'Written by `npm run bench`; `npm run bench a` (or `b` to `j`) repeats one measurement. Each section describes its method; the programs are in `test/bench/`, the measurements as data in `test/bench/results.json`.',
  ]
  const parts = MEASUREMENT_NAMES.flatMap((name) => sectionOf(name, results))
  return tidy([...intro, ...parts].join('\n\n'), 'markdown')
}

/** Text as the formatter wants it in this project. */
export async function tidy(text: string, parser: 'markdown' | 'json'): Promise<string> {
  return format(text, {...(await resolveConfig(import.meta.filename)), parser})
}
