import {execFile} from 'node:child_process'
import {writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {z} from 'zod'
import {elementsOf, type TerraformElement} from './terraform-schema.ts'

/** What a cloud would answer for a resource: its attributes by name. */
export type Answers = (element: TerraformElement) => Readonly<Record<string, unknown>>

export interface Rehearsal {
  /** Outputs by name. */
  readonly outputs: Readonly<Record<string, unknown>>
  /** Arguments of resources as Terraform computed them, by `type.name`. */
  readonly resources: Readonly<Record<string, Readonly<Record<string, unknown>>>>
}

const valuesSchema = z.record(z.string(), z.object({value: z.unknown()}))
const bodySchema = z.record(z.string(), z.unknown())
/** What needs no provider is not stood in for. */
const OWN = 'terraform_data'
const stateSchema = z.object({
  resources: z.array(
    z.object({
      name: z.string(),
      instances: z.array(z.object({attributes: z.object({output: z.object({value: z.unknown()})})})),
    }),
  ),
})

/**
 * Lets Terraform itself work out a configuration without its provider: every resource becomes one of Terraform's own
 * that only keeps what it is given, together with what the cloud would answer. Finds cycles, wrong calls and references,
 * and gives what would be sent. Throws what execFile throws, with Terraform's words.
 */
export async function rehearse(configuration: unknown, answers: Answers, folder: string): Promise<Rehearsal> {
  const elements = elementsOf(configuration)
  const resources = Object.fromEntries(
    elements.map((element) =>
      element.type === OWN
        ? [element.name, element.body]
        : [nameOf(element), standIn(element, answers(element))],
    ),
  )
  const outputs = z.object({output: z.record(z.string(), z.unknown())}).parse(configuration).output
  const stage = {resource: {terraform_data: resources}, output: outputs}
  await writeFile(join(folder, 'main.tf.json'), renamed(JSON.stringify(stage)))
  await terraform(folder, 'init', '-input=false')
  await terraform(folder, 'apply', '-input=false', '-auto-approve')
  await terraform(folder, 'plan', '-input=false', '-detailed-exitcode')
  const values = valuesSchema.parse(JSON.parse(await terraform(folder, 'output', '-json')))
  const state = stateSchema.parse(JSON.parse(await terraform(folder, 'state', 'pull')))
  return {
    outputs: Object.fromEntries(Object.entries(values).map(([name, {value}]) => [name, value])),
    resources: Object.fromEntries(
      state.resources.map(({name, instances}) => [
        name.replace('__', '.'),
        bodySchema.safeParse(instances[0]?.attributes.output.value).data ?? {},
      ]),
    ),
  }
}

const nameOf = ({type, name}: Pick<TerraformElement, 'type' | 'name'>): string => `${type}__${name}`

function standIn({body}: TerraformElement, computed: Readonly<Record<string, unknown>>) {
  const {depends_on: before, lifecycle: _, ...input} = body
  return {input: {...input, ...computed}, ...(before === undefined ? {} : {depends_on: before})}
}

/** References to what stands in, inside expressions and in lists of what must come before. */
function renamed(text: string): string {
  const references = /(?:data\.)?\b((?:azurerm|aws)_\w+)\.([\w-]+)/g
  return text
    .replaceAll(/\$\{(?:[^{}]|\{[^{}]*\})*\}/g, (one) =>
      one.replaceAll(references, 'terraform_data.$1__$2.output'),
    )
    .replaceAll(/"depends_on":\[[^\]]*\]/g, (one) => one.replaceAll(references, 'terraform_data.$1__$2'))
}

async function terraform(folder: string, ...words: readonly string[]): Promise<string> {
  const env = {
    PATH: process.env['PATH'] ?? '',
    HOME: folder,
    CHECKPOINT_DISABLE: '1',
    TF_CLI_ARGS: '-no-color',
  }
  const {stdout} = await promisify(execFile)('terraform', words, {cwd: folder, timeout: 60_000, env})
  return stdout
}
