import {readdir, readFile} from 'node:fs/promises'
import {join} from 'node:path'
import {pathToFileURL} from 'node:url'
import {format, resolveConfig} from 'prettier'
import {z} from 'zod'
import type {Addon} from '../../src/platform/addons/addon.ts'
import {packageRoot} from './cli.ts'
import {fieldsBelow, type NamedField} from './custom-resources-page.ts'
import {specOf} from './phase-context.ts'

const FOLDER = join(packageRoot, 'src/platform/addons')

export interface AddonPage {
  readonly addon: Addon
  /** Of docs/addons/<id>.md. */
  readonly text: string
}

const isAddon = (value: unknown): value is Addon =>
  typeof value === 'object' && value !== null && 'id' in value && 'schema' in value && 'objects' in value

/** Every entry below src/platform/addons, by its folder. */
export async function entries(): Promise<readonly Addon[]> {
  const folders = await readdir(FOLDER, {recursive: true})
  const files = folders.filter((name) => /^[^/]+\/addon\.ts$/.test(name)).toSorted()
  const found = await Promise.all(
    files.map(async (name) => {
      const module = (await import(pathToFileURL(join(FOLDER, name)).href)) as Record<string, unknown>
      return Object.values(module).filter(isAddon)
    }),
  )
  return found.flat()
}

/** README of the folder, then what its definition says. */
export async function addonPages(): Promise<readonly AddonPage[]> {
  const all = await entries()
  return Promise.all(
    all.map(async (addon) => {
      const readme = await readFile(join(FOLDER, addon.id, 'README.md'), 'utf8')
      const text = [readme.trimEnd(), '', '## Reference', '', ...factsOf(addon), '', ...parametersOf(addon)]
      return {addon, text: await pretty(`${text.join('\n').trimEnd()}\n`)}
    }),
  )
}

const code = (names: readonly string[]): string =>
  names.length === 0 ? 'nothing' : names.map((name) => `\`${name}\``).join(', ')

const factsOf = ({
  id,
  version,
  profile,
  needs,
  provides,
  images,
  manifests = [],
}: Addon): readonly string[] => [
  `| | |`,
  `| --- | --- |`,
  `| id | \`${id}\` |`,
  `| version | ${version} |`,
  `| profile | ${profile ?? 'none: install it by its id'} |`,
  `| needs | ${code(needs)} |`,
  `| provides | ${code(provides)} |`,
  `| images | ${code(images)} |`,
  ...(manifests.length === 0 ? [] : [`| published objects | ${code(manifests)} |`]),
]

function parametersOf(addon: Addon): readonly string[] {
  const json = JSON.stringify(z.toJSONSchema(addon.schema(specOf()), {io: 'input', unrepresentable: 'any'}))
  // That a strict object has no other fields is no field of it.
  const schema: unknown = JSON.parse(json, (key, value: unknown) =>
    key === 'additionalProperties' && typeof value === 'boolean' ? undefined : value,
  )
  const fields = fieldsBelow(schema, '')
  if (fields.length === 0) return ['It has no parameters.']
  return [
    `Parameters, below \`spec.addons.parameters.${addon.id}\`; defaults are those of a local cluster:`,
    '',
    ...fields.map(lineOf),
  ]
}

function lineOf({path, field, isRequired}: NamedField): string {
  const {description, type, items, enum: values, default: value} = field
  const shown = items === undefined ? type : 'list'
  const facts = [
    values === undefined ? shown : values.map((each) => `\`${String(each)}\``).join(', '),
    ...(isRequired ? ['required'] : []),
    ...(value === undefined ? [] : [`default \`${JSON.stringify(value)}\``]),
  ]
  const indent = '  '.repeat(path.split('.').length - 1)
  return `${indent}- \`${path}\` (${facts.join('; ')})${description === undefined ? '' : `: ${description}`}`
}

async function pretty(text: string): Promise<string> {
  return format(text, {...(await resolveConfig(join(packageRoot, 'README.md'))), parser: 'markdown'})
}

/** docs/addons/README.md. */
export function indexPage(all: readonly Addon[]): Promise<string> {
  const rows = all.map(
    ({id, title, version, profile, description}) =>
      `| [${title}](${id}.md) | \`${id}\` | ${version} | ${profile ?? ''} | ${description} |`,
  )
  return pretty(`# Addons

What clouder can install into a cluster. \`spec.addons.profile\` selects a set, \`standard\` by default, and each profile includes the ones before it: \`minimal\`, \`standard\`, \`full\`. An addon without a profile is installed only when it is named. In a cluster where an addon of the profile is unavailable, it is left out.

\`\`\`yaml
spec:
  addons:
    profile: standard
    install: [cert-manager]
    without: [metrics-server]
\`\`\`

| addon | id | version | profile | what it gives a cluster |
| --- | --- | --- | --- | --- |
${rows.join('\n')}

These pages are generated from the definitions and READMEs in \`src/platform/addons\`; \`UPDATE_GOLDEN=1 npx vitest run --project unit test/unit/platform/addons/pages.test.ts\` writes them.
`)
}
