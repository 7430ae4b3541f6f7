import {dirname, isAbsolute, join} from 'node:path'
import {parse} from 'yaml'
import {z} from 'zod'
import {StateError} from '../base/errors.ts'
import {readIfThere} from '../base/files.ts'

const text = z
  // A password of digits without quotes is a text to kubectl.
  .union([z.string(), z.int().transform(String)])
  .nullish()
  .transform((value) => (value === null || value === '' ? undefined : value))
const flag = z
  .boolean()
  .nullish()
  .transform((value) => value === true)

const clusterSchema = z.object({
  server: z.string(),
  'certificate-authority': text,
  'certificate-authority-data': text,
  'insecure-skip-tls-verify': flag,
  'tls-server-name': text,
  'proxy-url': text,
  extensions: z.array(z.looseObject({name: z.string(), extension: z.unknown()})).nullish(),
})
const execSchema = z.object({
  apiVersion: z.string(),
  command: z.string().min(1),
  args: z.array(z.string()).nullish(),
  env: z.array(z.object({name: z.string(), value: z.string()})).nullish(),
  installHint: text,
  provideClusterInfo: flag,
  interactiveMode: text,
})
const userSchema = z.object({
  'client-certificate': text,
  'client-certificate-data': text,
  'client-key': text,
  'client-key-data': text,
  token: text,
  tokenFile: text,
  username: text,
  password: text,
  as: text,
  'as-uid': text,
  'as-groups': z.array(z.string()).nullish(),
  'as-user-extra': z.record(z.string(), z.array(z.string())).nullish(),
  'auth-provider': z
    .object({name: z.string(), config: z.record(z.string(), z.string()).nullish()})
    .nullish()
    .transform((value) => value ?? undefined),
  exec: execSchema.nullish().transform((value) => value ?? undefined),
})
const contextSchema = z.object({cluster: z.string(), user: z.string(), namespace: text})

const entries = z
  .array(z.looseObject({name: z.string()}))
  .nullish()
  .transform((value) => value ?? [])
const fileSchema = z.looseObject({
  clusters: entries,
  users: entries,
  contexts: entries,
  'current-context': text,
})
type File = z.output<typeof fileSchema> & {readonly path: string | undefined}
type List = 'clusters' | 'users' | 'contexts'

export type ForeignCluster = z.output<typeof clusterSchema>
export type ForeignUser = z.output<typeof userSchema>
export type ExecPlugin = z.output<typeof execSchema>

/** One context of a kubeconfig, with what it leads to; paths in it are absolute. */
export interface ForeignContext {
  readonly name: string
  readonly cluster: ForeignCluster
  readonly user: ForeignUser
}

/** A kubeconfig: files in the order of KUBECONFIG, as absolute paths, or a text. */
export type KubeconfigSource = {readonly files: readonly string[]} | {readonly text: string}

/**
 * Reads one context, by default the current one, by the rules of kubectl: of each entry the first file that has it
 * counts, files that are absent are skipped, and paths begin at the file that names them.
 * Throws StateError RECORD_INVALID, CONTEXT_UNKNOWN, KUBECONFIG_UNSUPPORTED.
 */
export async function readContext(source: KubeconfigSource, wanted?: string): Promise<ForeignContext> {
  const files = await filesOf(source)
  const name = wanted ?? files.map((file) => file['current-context']).find((current) => current !== undefined)
  if (name === undefined) throw unknown('the kubeconfig has no current context, and none was given', files)
  const context = bodyOf(files, 'contexts', name, contextSchema).body
  const cluster = bodyOf(files, 'clusters', context.cluster, clusterSchema)
  const user = bodyOf(files, 'users', context.user, userSchema)
  const found = {
    name,
    cluster: withPaths(cluster.body, cluster.path, ['certificate-authority']),
    user: withCommand(
      withPaths(user.body, user.path, ['client-certificate', 'client-key', 'tokenFile']),
      user.path,
    ),
  }
  if ('text' in source) refuseReach(found)
  return found
}

async function filesOf(source: KubeconfigSource): Promise<readonly File[]> {
  if ('text' in source) return [fileOf(source.text, undefined)]
  const read = await Promise.all(source.files.map(async (path) => ({path, content: await readIfThere(path)})))
  return read.flatMap(({path, content}) => (content === undefined ? [] : [fileOf(content, path)]))
}

function fileOf(content: string, path: string | undefined): File {
  const where = path ?? 'the kubeconfig'
  const read = fileSchema.safeParse(yamlOf(content, where) ?? {})
  if (read.success) return {...read.data, path}
  throw invalid(`${where} is not a kubeconfig: ${problemsOf(read.error)}`)
}

/** Told without its cause, which quotes the text around the error. */
function yamlOf(content: string, where: string): unknown {
  try {
    // As kubectl reads it.
    return parse(content, {
      version: '1.1',
      merge: true,
      uniqueKeys: false,
      logLevel: 'silent',
      prettyErrors: false,
    })
  } catch {
    throw invalid(`${where} is not YAML`)
  }
}

function bodyOf<T>(
  files: readonly File[],
  list: List,
  name: string,
  schema: z.ZodType<T>,
): {readonly body: T; readonly path: string | undefined} {
  const kind = list.slice(0, -1)
  for (const file of files) {
    const entry = file[list].find((item) => item.name === name)
    if (entry === undefined) continue
    const read = schema.safeParse(entry[kind] ?? {})
    if (read.success) return {body: read.data, path: file.path}
    throw invalid(`${kind} ${name} of ${file.path ?? 'the kubeconfig'} is invalid: ${problemsOf(read.error)}`)
  }
  throw unknown(`the kubeconfig has no ${kind} ${name}`, files)
}

/** Paths and problems alone: values may be secrets. */
const problemsOf = ({issues}: z.ZodError): string =>
  issues.map(({path, message}) => `${path.join('.')}: ${message}`).join('; ')

function withPaths<T extends object>(body: T, file: string | undefined, keys: readonly (keyof T)[]): T {
  const result = {...body}
  for (const key of keys) {
    const value: unknown = result[key]
    if (typeof value === 'string') Object.assign(result, {[key]: absolute(value, file)})
  }
  return result
}

/** A command without a slash is looked up in PATH. */
function withCommand(user: ForeignUser, file: string | undefined): ForeignUser {
  if (user.exec?.command.includes('/') !== true) return user
  return {...user, exec: {...user.exec, command: absolute(user.exec.command, file)}}
}

const absolute = (path: string, file: string | undefined): string =>
  isAbsolute(path) || file === undefined ? path : join(dirname(file), path)

/** A text may come from anywhere: it runs no program of this machine, and reads no file of it. */
function refuseReach({name, cluster, user}: ForeignContext): void {
  const reaching = {
    exec: user.exec?.command,
    tokenFile: user.tokenFile,
    'client-certificate': user['client-certificate'],
    'client-key': user['client-key'],
    'certificate-authority': cluster['certificate-authority'],
    'idp-certificate-authority': user['auth-provider']?.config?.['idp-certificate-authority'],
  }
  const found = Object.entries(reaching).flatMap(([key, value]) => (value === undefined ? [] : [key]))
  if (found.length === 0) return
  throw new StateError(
    'KUBECONFIG_UNSUPPORTED',
    `context ${name} uses programs or files of this machine (${found.join(', ')}), which is only allowed in kubeconfig files on this machine`,
  )
}

const invalid = (problem: string): StateError => new StateError('RECORD_INVALID', problem)

function unknown(problem: string, files: readonly File[]): StateError {
  const names = files.flatMap(({contexts}) => contexts.map((context) => context.name))
  const known = names.length === 0 ? 'it has no contexts' : `its contexts: ${[...new Set(names)].join(', ')}`
  return new StateError('CONTEXT_UNKNOWN', `${problem}; ${known}`, {
    suggestions: ['kubectl config get-contexts'],
  })
}
