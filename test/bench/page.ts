// docs/benchmarks.md from what was measured; no number in it comes from anywhere else.
import {format, resolveConfig} from 'prettier'
import {median} from './clusters.ts'
import {clientNameSchema, type ClientName} from './client-names.ts'
import {
  MEASUREMENT_NAMES,
  type MeasurementName,
  type CallCost,
  type Result,
  type Results,
  type Taken,
} from './results.ts'

const seconds = (value: number): string => `${value.toFixed(value < 1 ? 3 : 1)} s`
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
    '## A cluster of 1 + 2, against the shortest way by hand',
    'Machines of the local provider are made first, by `clouder kubeadm create`; the clock starts when they answer SSH. `clouder kubeadm setup` is measured against `test/bench/by-hand.sh`: the same files and images of the same bundle, the same configuration, all nodes in parallel over one OpenSSH connection each, no check, no plan and no journal. Both end when every node is Ready and flannel, kube-proxy and CoreDNS are available. Runs alternate, each on fresh machines; image tars and configuration files of the way by hand are ready before its clock starts.',
    table(['pair', 'clouder', 'by hand', 'ratio'], rows),
    `Median ratio **${ratio(result.ratio)}**: ${verdict(result.ratio, 1.25)}.`,
    'Where the last run of clouder spent its time:',
    table(['phase', 'time'], phases),
    measuredOn(result),
  ]
}

const secondInit = (result: Result<'b'>): readonly string[] => [
  '## The same init again, on 3 nodes',
  'A cluster of 1 + 2 that is as it should be; `clouder kubeadm init` with the same words, whole command from start to end, which must find nothing to do.',
  table(
    ['run', 'time'],
    result.seconds.map((value, index) => [String(index + 1), seconds(value)]),
  ),
  `Median **${seconds(result.median)}**: ${verdict(Number(result.median.toFixed(1)), 4)} s.`,
  measuredOn(result),
]

const startUp = (result: Result<'c'>): readonly string[] => [
  '## Start of the command line',
  'Twenty rounds; each runs every command once. The median wall time of each, and its ratio to `node -e 0`.',
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
  'An init with the ordinary workflow over simulated hosts, which answer each command after a time of the order seen on local nodes (`test/bench/growth.ts` names them). So this is the time that clouder itself adds as nodes are added, without what real nodes on one machine take from each other.',
  table(
    ['workers', 'time'],
    Object.entries(result.seconds).map(([workers, value]) => [workers, seconds(value)]),
  ),
  `10 workers against 2: **${ratio(result.ratio)}**: ${verdict(result.ratio, 1.2)}.`,
  measuredOn(result),
]

const synth = (result: Result<'e'>): readonly string[] => [
  '## Synthesis of a stack of 3 + 50 nodes',
  'From the spec to Terraform’s JSON in a fresh process, the load of cdktf and the classes of the provider included. The median of five.',
  table(
    ['cloud', 'time'],
    Object.entries(result.medians).map(([cloud, value]) => [cloud, seconds(value)]),
  ),
  `The slower: **${seconds(result.slowest)}**: ${verdict(result.slowest, 2)} s.`,
  measuredOn(result),
]

const apply = (result: Result<'f'>): readonly string[] => [
  '## Apply in a cloud, against Terraform alone',
  '1 + 2 nodes on AWS, by the real provider against an emulator of its API, each time in an empty account. `clouder infra apply` (synthesis, init, plan, apply, outputs) against `terraform init` and `terraform apply` of the same JSON, alternating.',
  table(
    ['pair', 'clouder', 'terraform'],
    result.pairs.map((pair, index) => [
      String(index + 1),
      seconds(pair.clouderSeconds),
      seconds(pair.terraformSeconds),
    ]),
  ),
  `Beyond 1.1 times Terraform's own, the median: **${seconds(result.beyond)}**: ${verdict(result.beyond, 2)} s.`,
  measuredOn(result),
]

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`

const checkpoint = (result: Result<'g'>): readonly string[] => [
  '## A process and its memory, moved to another node',
  'A process with random bytes in memory, on a cluster of 1 + 2 whose checkpoints lie on the disks of its nodes. `clouder checkpoint migrate`, and the two commands `clouder checkpoint create --stop` and `clouder checkpoint restore`, each against `test/bench/by-hand-checkpoint.sh`: the kubelet’s API, tar, `ctr import` over SSH, `kubectl apply`. clouder compresses, encrypts, signs, stores, reads back and verifies the memory besides. All go from the same node to the same other one, and end when the pod is Ready there with the same hash of its memory. They take turns, and so does which goes first; before the first round, each has moved a process of 1 MiB. The medians.',
  table(
    ['memory', 'by hand', 'one command', 'ratio', 'two commands', 'ratio'],
    result.sizes.map(({mebibytes, pairs, ratio: both, moveRatio}) => [
      `${mebibytes} MiB`,
      seconds(median(pairs.map((pair) => pair.byHandSeconds))),
      seconds(median(pairs.map((pair) => pair.moveSeconds))),
      `${ratio(moveRatio)} (${pairs.map((pair) => ratio(pair.moveRatio)).join(', ')})`,
      seconds(median(pairs.map((pair) => pair.clouderSeconds))),
      `${ratio(both)} (${pairs.map((pair) => ratio(pair.ratio)).join(', ')})`,
    ]),
  ),
  `The highest ratio of one command: **${ratio(result.worstMove)}**: ${verdict(result.worstMove, 1.3)}. Of two: **${ratio(result.worst)}**: ${verdict(result.worst, 1.3)}.`,
  'What is stored, against the memory of the process, and how long the process stands still in a move, by the Migration’s own account.',
  table(
    ['memory', 'resident', 'archive', 'stored', 'stands still'],
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
    '## Calls of an API server, against other clients',
    `Each client reads one Node of about 10 KB again and again, eight calls at a time, from one local TLS server that answers from memory. It does so in a fresh Node.js process that has loaded nothing but it, the same number of calls each, in ${rounds.length} rounds whose order shifts by one. A few calls before the clock starts open the connections; processor time is that of the client. \`node:https\` keeps its connections and reads JSON, nothing else: what is the least that such calls cost. The medians.`,
    table(
      ['client', 'requests per second', 'processor time per request', 'peak memory', 'connections'],
      rows,
    ),
    'clouder against each, the median of the ratios of each round.',
    table(['against', 'requests per second', 'processor time per request', 'peak memory'], against),
    `Against \`@kubernetes/client-node\`, the worst of the three: **${ratio(worst)}** times as much: ${verdict(worst, 1)}.`,
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
    'Written by `npm run bench`; `npm run bench a` (or `b` to `h`) measures one of them anew. The method is part of each section, the programs are in `test/bench/`, the figures as data in `test/bench/results.json`.',
  ]
  const parts = MEASUREMENT_NAMES.flatMap((name) => sectionOf(name, results))
  return tidy([...intro, ...parts].join('\n\n'), 'markdown')
}

/** Text as the formatter wants it in this project. */
export async function tidy(text: string, parser: 'markdown' | 'json'): Promise<string> {
  return format(text, {...(await resolveConfig(import.meta.filename)), parser})
}
