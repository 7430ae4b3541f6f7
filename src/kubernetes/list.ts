import {z} from 'zod'
import {KubernetesError} from './errors.ts'
import {accepted} from './answers.ts'
import type {Call} from './transport.ts'
import {kubeObjectSchema, type HttpAnswer, type KubeObject, type ListQuery} from './types.ts'

/** Of one answer: a list of everything blocks the server, and this process while it is parsed. */
const PAGE = 500
const GONE = 410

const pageSchema = z.looseObject({
  metadata: z.looseObject({resourceVersion: z.string(), continue: z.string().optional()}),
  items: z.array(z.looseObject({})),
})
type Page = z.output<typeof pageSchema>

export interface ListOptions {
  /** Of the collection. */
  readonly path: string
  readonly query: ListQuery
  readonly send: (call: Call) => Promise<HttpAnswer>
  /** Further parameters of the first page. */
  readonly parameters?: Readonly<Record<string, string>>
}

export interface Listed {
  readonly items: readonly object[]
  /** Of the whole list: watch from here. */
  readonly resourceVersion: string
}

/**
 * Lists page by page. The server keeps what the pages are read from for some minutes: where that is over between two of
 * them it begins again, without pages. Throws KubernetesError.
 */
export async function listAll(options: ListOptions): Promise<Listed> {
  const {parameters = {}} = options
  return (
    (await allPages({...parameters, limit: String(PAGE)}, options)) ?? (await onePage(parameters, options))
  )
}

/** Undefined: the pages have expired. */
async function allPages(
  first: Readonly<Record<string, string>>,
  options: ListOptions,
): Promise<Listed | undefined> {
  const all: object[] = []
  for (let parameters = first; ;) {
    const answer = await ask(parameters, options)
    if (answer.status === GONE && 'continue' in parameters) return undefined
    const {items, metadata} = pageOf(answer, options.query)
    all.push(...items)
    const {resourceVersion, continue: next = ''} = metadata
    if (next === '') return {items: all, resourceVersion}
    parameters = {limit: String(PAGE), continue: next}
  }
}

async function onePage(parameters: Readonly<Record<string, string>>, options: ListOptions): Promise<Listed> {
  const {items, metadata} = pageOf(await ask(parameters, options), options.query)
  return {items, resourceVersion: metadata.resourceVersion}
}

const ask = (
  parameters: Readonly<Record<string, string>>,
  {path, query, send}: ListOptions,
): Promise<HttpAnswer> => send({method: 'GET', path: `${path}?${selection(query, parameters)}`})

/** What stands between may answer in the server's place. */
function pageOf(answer: HttpAnswer, {kind}: ListQuery): Page {
  const body = accepted(answer, `list ${kind}`)
  try {
    return pageSchema.parse(JSON.parse(body))
  } catch (error) {
    throw new KubernetesError('API_UNREACHABLE', `the answer to listing ${kind} is no list`, {cause: error})
  }
}

/** Items of a list bear no kind. */
export const withKind = (item: object, {apiVersion, kind}: ListQuery): KubeObject =>
  kubeObjectSchema.parse({apiVersion, kind, ...item})

/** Parameters of a list or a watch. */
export function selection(query: ListQuery, parameters: Readonly<Record<string, string>>): string {
  const {labelSelector, fieldSelector} = query
  return new URLSearchParams({
    ...parameters,
    ...(labelSelector === undefined ? {} : {labelSelector}),
    ...(fieldSelector === undefined ? {} : {fieldSelector}),
  }).toString()
}
