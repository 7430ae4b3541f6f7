import {readdir} from 'node:fs/promises'
import {join, relative} from 'node:path'
import {pathToFileURL} from 'node:url'
import type {Command} from '@oclif/core'
import {packageRoot} from './cli.ts'

export interface CommandFile {
  /** `kubeadm init`. */
  readonly id: string
  readonly path: string
  readonly command: typeof Command
}

const commandsDir = join(packageRoot, 'src/commands')

/** Every command class of src/commands, sorted by id. */
export async function commandFiles(): Promise<readonly CommandFile[]> {
  const names = await readdir(commandsDir, {recursive: true})
  const files = names.filter((name) => name.endsWith('.ts')).map((name) => join(commandsDir, name))
  const loaded = await Promise.all(
    files.map(async (path): Promise<CommandFile> => {
      const module = (await import(pathToFileURL(path).href)) as {default: typeof Command}
      const id = relative(commandsDir, path).replace(/\.ts$/, '').replaceAll('/', ' ')
      return {id, path, command: module.default}
    }),
  )
  return loaded.toSorted((a, b) => (a.id < b.id ? -1 : 1))
}

/** Every flag of a command, those of all commands first. */
export function flagsOf({command}: CommandFile): readonly (readonly [string, Command.Flag])[] {
  return Object.entries({...command.baseFlags, ...command.flags})
}

/** docs/commands.md, as Prettier would have it: loading that takes longer than all commands. */
export function commandsPage(files: readonly CommandFile[]): string {
  return [
    '# Commands',
    '',
    'Generated from the commands themselves; `UPDATE_GOLDEN=1 npx vitest run --project unit test/unit/cli` writes it.',
    'Every command takes `--json` (`CLOUDER_JSON`) and `--help`. Exit codes: 0 done, 1 declined or a bug, 2 wrong flag, 3 wrong configuration, 4 preflight or doctor findings, 5 machines, 6 connection, 7 command on a host, 8 cluster, 9 state on this machine, 10 bundle, 130 interrupted.',
    '',
    ...files.map(
      ({id, command}) => `- [\`${id}\`](#clouder-${id.replaceAll(' ', '-')}): ${command.summary ?? ''}`,
    ),
    '',
    ...files.flatMap(section),
  ].join('\n')
}

function section(file: CommandFile): readonly string[] {
  const {id, command} = file
  const args = Object.keys(command.args).map((name) => ` [${name.toUpperCase()}]`)
  const usage = typeof command.usage === 'string' ? command.usage : `${id}${args.join('')} [FLAGS]`
  return [
    `## clouder ${id}`,
    '',
    `${sentence(command.summary ?? '')}${command.description === undefined ? '' : ` ${command.description}`}`,
    '',
    '```',
    `clouder ${usage}`,
    '```',
    '',
    ...table(file),
    ...examples(command),
  ]
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`
}

function table(file: CommandFile): readonly string[] {
  const args = Object.entries(file.command.args).map(([name, arg]) => [
    `\`${name.toUpperCase()}\``,
    '',
    cell(arg.description ?? ''),
  ])
  const flags = flagsOf(file)
    .filter(([name]) => name !== 'json')
    .map(([name, flag]) => {
      const short = flag.char === undefined ? '' : `, \`-${flag.char}\``
      return [
        `\`--${name}${valueOf(flag)}\`${short}`,
        `\`${flag.env ?? ''}\``,
        `${cell(flag.description ?? '')}${defaultOf(flag)}`,
      ]
    })
  const rows = [...args, ...flags]
  return rows.length === 0 ? [] : [...aligned([['flag', 'variable', 'meaning'], ...rows]), '']
}

/** Lines of a table, the first row its heading, columns as wide as their widest cell. */
function aligned([heading = [], ...rows]: readonly (readonly string[])[]): readonly string[] {
  const widths = heading.map((_, column) =>
    Math.max(...[heading, ...rows].map((row) => row[column]?.length ?? 0)),
  )
  const rule = widths.map((width) => '-'.repeat(width))
  return [heading, rule, ...rows].map(
    (row) => `| ${row.map((text, column) => text.padEnd(widths[column] ?? 0)).join(' | ')} |`,
  )
}

function valueOf(flag: Command.Flag): string {
  if (flag.type === 'boolean') return ''
  if (flag.options !== undefined) return ` ${flag.options.join('\\|')}`
  return ` ${cell(typeof flag.helpValue === 'string' ? flag.helpValue : 'VALUE')}`
}

function defaultOf(flag: Command.Flag): string {
  const value: unknown = flag.default
  return typeof value === 'string' || typeof value === 'number' ? `; default: ${value}` : ''
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|')
}

function examples({examples: all = []}: {examples?: typeof Command.examples}): readonly string[] {
  const lines = all.flatMap((example) =>
    typeof example === 'string' ? [example] : [`# ${example.description}`, example.command],
  )
  return ['```sh', ...lines.map((line) => line.replaceAll('<%= config.bin %>', 'clouder')), '```', '']
}
