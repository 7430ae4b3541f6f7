import {isDeepStrictEqual} from 'node:util'
import {z} from 'zod'
import {StateError} from '../base/errors.ts'
import {currentContextOf, entriesOf, withCurrentContext, withEntry} from './kubeconfig-text.ts'
import type {EntryList, NamedEntry} from './kubeconfig-text.ts'

export interface KubeconfigFile {
  readonly path: string
  /** Empty: the file is not there yet. */
  readonly text: string
}

export interface MergeOptions {
  /** The cluster whose mark the entries bear. */
  readonly cluster: string
  /** Name of the context and of its cluster; the user is `<context>-admin`. */
  readonly context: string
  /** Replaces entries of the same name that do not bear the mark. */
  readonly force: boolean
  /** Makes it the current context; without, it becomes that only where there is none. */
  readonly use: boolean
  /** Which of the files new entries go to. */
  readonly target: string
}

export interface MergeResult {
  /** Only those that change. */
  readonly changed: readonly KubeconfigFile[]
  /** The current context afterwards, and before. */
  readonly current: string
  readonly before: string | undefined
}

/** Name of the extension by which clouder knows its entries in a kubeconfig of the user; kubectl keeps it. */
const MARK = 'clouder.dev'

const KINDS = {clusters: 'cluster', users: 'user', contexts: 'context'} as const

const bodySchema = z.looseObject({extensions: z.array(z.looseObject({name: z.string()})).nullish()})
const markSchema = z.looseObject({extension: z.looseObject({cluster: z.string()})})
type Body = z.output<typeof bodySchema>

/**
 * Puts cluster, user and context of a cluster's own kubeconfig into the user's files, which kubectl reads as one.
 * Entries of the same name are changed only when they bear the cluster's mark. Throws StateError KUBECONFIG_CLASH.
 */
export function mergeKubeconfig(
  files: readonly KubeconfigFile[],
  source: string,
  options: MergeOptions,
): MergeResult {
  const wanted = wantedEntries(source, options)
  if (!options.force) refuseClash(files, wanted, options)
  const texts = new Map(files.map(({path, text}) => [path, text]))
  for (const {list, entry} of wanted) {
    const holders = files.filter((file) => entryOf(file, list, entry.name) !== undefined)
    const paths = holders.length === 0 ? [options.target] : holders.map(({path}) => path)
    for (const path of paths) {
      const place = {path, text: texts.get(path) ?? ''}
      const found = entryOf(place, list, entry.name)
      const next = updated(found, list, entry, options.cluster)
      if (!isDeepStrictEqual(found, next)) texts.set(path, withEntry(place, list, next))
    }
  }
  const before = files.map(currentContextOf).find((name) => name !== undefined)
  const current = options.use ? options.context : (before ?? options.context)
  if (current !== before) {
    const place = {path: options.target, text: texts.get(options.target) ?? ''}
    texts.set(options.target, withCurrentContext(place, current))
  }
  const old = new Map(files.map(({path, text}) => [path, text]))
  const changed = [...texts]
    .map(([path, text]) => ({path, text}))
    .filter(({path, text}) => old.get(path) !== text)
  return {changed, current, before}
}

interface Wanted {
  readonly list: EntryList
  readonly entry: NamedEntry
}

function wantedEntries(source: string, {context}: MergeOptions): readonly Wanted[] {
  const place = {path: "the cluster's kubeconfig", text: source}
  const body = (list: EntryList): unknown => entriesOf(place, list)[0]?.[KINDS[list]]
  const user = `${context}-admin`
  return [
    {list: 'clusters', entry: {name: context, cluster: body('clusters')}},
    {list: 'users', entry: {name: user, user: body('users')}},
    {list: 'contexts', entry: {name: context, context: {cluster: context, user}}},
  ]
}

function refuseClash(
  files: readonly KubeconfigFile[],
  wanted: readonly Wanted[],
  {cluster, context}: MergeOptions,
): void {
  const clashes = files.flatMap((file) =>
    wanted.flatMap(({list, entry}) => {
      const found = entryOf(file, list, entry.name)
      const mine = found === undefined || markOf(found, list) === cluster || isDeepStrictEqual(found, entry)
      return mine ? [] : [`${KINDS[list]} ${entry.name} in ${file.path}`]
    }),
  )
  if (clashes.length === 0) return
  const verb = clashes.length === 1 ? 'is' : 'are'
  throw new StateError('KUBECONFIG_CLASH', `${clashes.join(', ')} ${verb} not part of cluster ${cluster}`, {
    suggestions: [
      `use another name: clouder kubeadm get-config ${cluster} --merge --context ${context}-clouder`,
      `or replace the existing entries: clouder kubeadm get-config ${cluster} --merge --context ${context} --force`,
    ],
  })
}

function entryOf(file: KubeconfigFile, list: EntryList, name: string): NamedEntry | undefined {
  return entriesOf(file, list).find((entry) => entry.name === name)
}

/** What the user added to an entry of ours, a namespace or a proxy, stays; an entry of others is replaced whole. */
function updated(
  found: NamedEntry | undefined,
  list: EntryList,
  entry: NamedEntry,
  cluster: string,
): NamedEntry {
  const kind = KINDS[list]
  const old = found !== undefined && markOf(found, list) === cluster ? bodyOf(found, list) : {}
  const extensions = (old.extensions ?? []).filter(({name}) => name !== MARK)
  const body = {
    ...old,
    ...bodyOf(entry, list),
    extensions: [...extensions, {name: MARK, extension: {cluster}}],
  }
  return {name: entry.name, [kind]: body}
}

/** The cluster whose mark an entry bears. */
function markOf(entry: NamedEntry, list: EntryList): string | undefined {
  const mark = bodyOf(entry, list).extensions?.find(({name}) => name === MARK)
  return markSchema.safeParse(mark).data?.extension.cluster
}

function bodyOf(entry: NamedEntry, list: EntryList): Body {
  return bodySchema.safeParse(entry[KINDS[list]]).data ?? {}
}
