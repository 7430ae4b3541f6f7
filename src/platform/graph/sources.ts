import {readdir, readFile, stat} from 'node:fs/promises'
import {dirname, join, relative, resolve} from 'node:path'
import {parse} from 'yaml'
import {z} from 'zod'
import type {ConfigProblem} from '../../base/errors.ts'
import {describeRef, refOf} from '../../kubernetes/refs.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import {parseObjects} from '../charts/documents.ts'
import {runProgram} from '../charts/program.ts'
import {PlatformError} from '../errors.ts'
import type {Service} from './stack-schema.ts'

/** What a service is made from, before references have values. */
export type Source =
  | {readonly kind: 'objects'; readonly objects: readonly KubeObject[]}
  /** Rendered when the values are known. */
  | {readonly kind: 'chart'}

export interface SourceTools {
  /** Where paths of the stack begin. */
  readonly folder: string
  /** Path of kubectl, for kustomizations. */
  readonly kubectl: () => Promise<string>
  readonly signal: AbortSignal
}

/** Reads what a service is made from. Throws PlatformError SOURCE_INVALID with every problem. */
export async function readSource(service: Service, tools: SourceTools): Promise<Source> {
  const {manifests, kustomization} = service.source
  if (manifests !== undefined)
    return {kind: 'objects', objects: await readManifests(service, manifests, tools)}
  if (kustomization === undefined) return {kind: 'chart'}
  return {kind: 'objects', objects: await buildKustomization(service, kustomization, tools)}
}

const isYaml = (name: string): boolean => /\.(ya?ml|json)$/.test(name)

async function readManifests(
  service: Service,
  path: string,
  tools: SourceTools,
): Promise<readonly KubeObject[]> {
  const root = resolve(tools.folder, path)
  const files = await filesBelow(root, path, service)
  const problems: ConfigProblem[] = []
  const objects: KubeObject[] = []
  for (const file of files) {
    const parsed = parseObjects(await readFile(file, 'utf8'))
    objects.push(...parsed.objects)
    const shown = relative(tools.folder, file)
    problems.push(
      ...parsed.problems.map(({place, problem}) => ({path: `${shown}: ${place}`, value: undefined, problem})),
    )
  }
  if (problems.length > 0) throw invalid(service, `${path} is not valid`, problems)
  return checked(service, path, objects)
}

async function filesBelow(root: string, path: string, service: Service): Promise<readonly string[]> {
  try {
    if (!(await stat(root)).isDirectory()) return [root]
    const entries = await readdir(root, {recursive: true, withFileTypes: true})
    return entries
      .filter((entry) => entry.isFile() && isYaml(entry.name))
      .map((entry) => join(entry.parentPath, entry.name))
      .sort()
  } catch (cause) {
    throw invalid(service, `${path} cannot be read: no such file or folder`, [], cause)
  }
}

function checked(service: Service, path: string, objects: readonly KubeObject[]): readonly KubeObject[] {
  if (objects.length === 0) throw invalid(service, `${path} holds no objects`, [])
  const names = objects.map((object) => `${object.apiVersion} ${describeRef(refOf(object))}`)
  const twice = [...new Set(names.filter((name, index) => names.indexOf(name) !== index))]
  if (twice.length === 0) return objects
  throw invalid(service, `${path} holds objects more than once: ${twice.join(', ')}`, [])
}

function invalid(
  service: Service,
  problem: string,
  problems: readonly ConfigProblem[],
  cause?: unknown,
): PlatformError {
  return new PlatformError('SOURCE_INVALID', `the source of service ${service.name}: ${problem}`, {
    problems,
    cause,
  })
}

async function buildKustomization(
  service: Service,
  path: string,
  tools: SourceTools,
): Promise<readonly KubeObject[]> {
  const root = resolve(tools.folder, path)
  const remote = await remoteBases(root, service, new Set())
  if (remote.length > 0) throw invalid(service, `${path} uses what is not in its folder`, remote)
  const text = await runProgram({
    program: await tools.kubectl(),
    args: ['kustomize', root, '--load-restrictor', 'LoadRestrictionsNone'],
    // git would be what fetches a base.
    environment: {PATH: ''},
    signal: tools.signal,
    code: 'SOURCE_INVALID',
    what: `the source of service ${service.name}: cannot build the kustomization ${path}`,
  })
  const {objects, problems} = parseObjects(text)
  if (problems.length > 0) {
    throw invalid(
      service,
      `${path} gives what are no objects`,
      problems.map(({place, problem}) => ({path: place, value: undefined, problem})),
    )
  }
  return checked(service, path, objects)
}

const KUSTOMIZATION_FILES = ['kustomization.yaml', 'kustomization.yml', 'Kustomization']

const kustomizationSchema = z.looseObject({
  resources: z.array(z.string()).nullish(),
  bases: z.array(z.string()).nullish(),
  components: z.array(z.string()).nullish(),
  crds: z.array(z.string()).nullish(),
  generators: z.array(z.string()).nullish(),
  transformers: z.array(z.string()).nullish(),
  validators: z.array(z.string()).nullish(),
  configurations: z.array(z.string()).nullish(),
  openapi: z.looseObject({path: z.string().optional()}).nullish(),
  helmCharts: z.unknown().optional(),
})
const LISTS = [
  'resources',
  'bases',
  'components',
  'crds',
  'generators',
  'transformers',
  'validators',
  'configurations',
] as const

/** Entries of a kustomization, and of those it uses, that are no files here: they would be fetched, whatever is there then. */
async function remoteBases(
  folder: string,
  service: Service,
  visited: Set<string>,
): Promise<readonly ConfigProblem[]> {
  if (visited.has(folder)) return []
  visited.add(folder)
  const file = await firstOf(KUSTOMIZATION_FILES.map((name) => join(folder, name)))
  if (file === undefined) throw invalid(service, `${folder} has no kustomization.yaml`, [])
  const parsed = kustomizationSchema.safeParse(parse(await readFile(file, 'utf8')) ?? {})
  if (!parsed.success) throw invalid(service, `${file} is not a kustomization`, [])
  const {data} = parsed
  const found: ConfigProblem[] = []
  const refuse = (path: string, value: unknown, problem: string): void => {
    found.push({path: `${file}: ${path}`, value, problem})
  }
  if (data.helmCharts !== undefined)
    refuse('helmCharts', undefined, 'is not supported: use a service whose source is a chart')
  const openapi = data.openapi?.path
  if (openapi !== undefined && (await kindOfPath(resolve(folder, openapi))) !== 'file') {
    refuse('openapi.path', openapi, 'is not a file here: remote files are not fetched')
  }
  for (const key of LISTS) {
    for (const [index, entry] of (data[key] ?? []).entries()) {
      // Generators and the like may be written in place.
      if (entry.includes('\n')) continue
      const target = resolve(folder, entry)
      const kind = await kindOfPath(target)
      if (kind === undefined)
        refuse(`${key}[${index}]`, entry, 'is not a file or folder here: remote bases are not fetched')
      else if (kind === 'folder') found.push(...(await remoteBases(target, service, visited)))
    }
  }
  return found
}

async function firstOf(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) if ((await kindOfPath(path)) === 'file') return path
  return undefined
}

async function kindOfPath(path: string): Promise<'file' | 'folder' | undefined> {
  try {
    return (await stat(path)).isDirectory() ? 'folder' : 'file'
  } catch {
    return undefined
  }
}

/** The folder that paths of a stack file begin in. */
export const folderOf = (file: string): string => dirname(resolve(file))
