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

const fromPlugins: readonly ListedCommand[] = [
  {id: 'autocomplete', summary: 'how to switch on completion in your shell'},
  {id: 'help', summary: 'help for a command'},
]

/** The text of `clouder --version`, in oclif's form. */
export function versionLine(program: ProgramFacts): string {
  return `${program.bin}/${program.version} ${process.platform}-${process.arch} node-${process.version}`
}

/** The text of `clouder --help`: every command, grouped by topic. */
export function rootHelp(program: ProgramFacts, commands: readonly ListedCommand[]): string {
  const own = commands.filter(({hidden, pluginName}) => hidden !== true && pluginName === program.bin)
  const listed = [...own, ...fromPlugins].toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const names = listed.map(({id}) => id.replaceAll(':', ' '))
  const width = Math.max(...names.map((name) => name.length))
  const line = (command: ListedCommand) =>
    `  ${command.id.replaceAll(':', ' ').padEnd(width)}  ${command.summary ?? ''}`.trimEnd()
  const topics = [...new Set(listed.filter(({id}) => id.includes(':')).map(({id}) => id.split(':')[0] ?? ''))]
  const sections = topics.map((topic) => ({
    title: topic.toUpperCase(),
    lines: listed.filter(({id}) => id.startsWith(`${topic}:`)).map(line),
  }))
  const rest = {title: 'OTHER', lines: listed.filter(({id}) => !id.includes(':')).map(line)}
  return [
    program.description,
    `USAGE\n  $ ${program.bin} [COMMAND]`,
    ...[...sections.toReversed(), rest].map(({title, lines}) => `${title}\n${lines.join('\n')}`),
    [
      'EXAMPLES',
      `  a cluster of three local nodes:      $ ${program.bin} kubeadm init demo --provider local --workers 2`,
      `  what that would do, changing nothing: $ ${program.bin} kubeadm plan demo --provider local --workers 2`,
      `  flags of a command:                  $ ${program.bin} kubeadm init --help`,
    ].join('\n'),
    '',
  ].join('\n\n')
}
