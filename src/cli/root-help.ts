/** What the root help needs to know of a command; the manifest and oclif's own list both have it. */
export interface ListedCommand {
  /** `kubeadm:init`. */
  readonly id: string
  readonly summary?: string | undefined
  readonly hidden?: boolean | undefined
  readonly pluginName?: string | undefined
}

export interface ProgramFacts {
  readonly bin: string
  readonly version: string
  readonly description: string
}

/** What the help shows, in the order in which one meets it: topics, and commands that have none. */
const SECTIONS: readonly (readonly [title: string, ids: readonly string[]])[] = [
  ['KUBEADM', ['kubeadm']],
  ['NODE', ['node']],
  ['CLUSTER', ['doctor', 'ssh', 'kubectl']],
  ['ADDON', ['addon']],
  ['STACK', ['stack']],
  ['CHECKPOINT', ['checkpoint']],
  ['RUNTIME', ['runtime']],
  ['INFRA', ['infra']],
  ['CTX', ['ctx']],
  ['AWS', ['aws']],
  ['AZURE', ['azure']],
  ['COST', ['cost']],
  ['BUNDLE', ['bundle']],
  ['BYOC', ['byoc']],
]

const fromPlugins: readonly ListedCommand[] = [
  {id: 'autocomplete', summary: 'enable completion in your shell'},
  {id: 'help', summary: 'help for a command'},
]

/** The text of `clouder --version`, in oclif's form. */
export function versionLine(program: ProgramFacts): string {
  return `${program.bin}/${program.version} ${process.platform}-${process.arch} node-${process.version}`
}

/** The text of `clouder --help`: every command, by topic, in the order in which one meets them. */
export function rootHelp(program: ProgramFacts, commands: readonly ListedCommand[]): string {
  const own = commands.filter(({hidden, pluginName}) => hidden !== true && pluginName === program.bin)
  const listed = [...own, ...fromPlugins].toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const names = listed.map(({id}) => id.replaceAll(':', ' '))
  const width = Math.max(...names.map((name) => name.length))
  const line = (command: ListedCommand) =>
    `  ${command.id.replaceAll(':', ' ').padEnd(width)}  ${command.summary ?? ''}`.trimEnd()
  const sectionOf = ({id}: ListedCommand): string | undefined =>
    SECTIONS.find(([, ids]) => ids.includes(id.split(':')[0] ?? ''))?.[0]
  const sections = SECTIONS.map(([title, ids]) => ({
    title,
    lines: ids.flatMap((id) =>
      listed.filter((command) => command.id === id || command.id.startsWith(`${id}:`)).map(line),
    ),
  }))
  const rest = {title: 'OTHER', lines: listed.filter((command) => sectionOf(command) === undefined).map(line)}
  return [
    program.description,
    `USAGE\n  $ ${program.bin} [COMMAND]`,
    ...[...sections, rest]
      .filter(({lines}) => lines.length > 0)
      .map(({title, lines}) => `${title}\n${lines.join('\n')}`),
    [
      'EXAMPLES',
      `  a cluster of three local nodes:      $ ${program.bin} kubeadm init demo --provider local --workers 2`,
      `  what that would do, without changes: $ ${program.bin} kubeadm plan demo --provider local --workers 2`,
      `  flags of a command:                  $ ${program.bin} kubeadm init --help`,
    ].join('\n'),
    '',
  ].join('\n\n')
}
