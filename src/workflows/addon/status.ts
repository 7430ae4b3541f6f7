import {setTimeout} from 'node:timers/promises'
import {addonNotReady, installedAddons} from '../../bootstrap/phases/addon-releases.ts'
import {describeRef, refOf} from '../../kubernetes/refs.ts'
import type {KubeReader} from '../../kubernetes/types.ts'
import {PlatformError} from '../../platform/errors.ts'
import {explainNotReady} from '../../platform/release/explain.ts'
import {installedReleases} from '../../platform/release/history.ts'
import type {NotReady, Revision} from '../../platform/release/types.ts'
import type {SessionTools} from '../session/types.ts'
import type {AddonCluster} from './cluster.ts'

/** An object of an addon, as the tree shows it. */
export interface ObjectStatus {
  /** `Deployment kube-system/metrics-server`. */
  readonly object: string
  readonly isReady: boolean
  /** It does not pass by itself. */
  readonly isStuck: boolean
  readonly problems: readonly string[]
}

export interface AddonStatus {
  readonly id: string
  readonly version: string
  readonly revision: number
  readonly state: Revision['state']
  readonly message?: string
  readonly isReady: boolean
  /** Workloads, and everything that is not ready. */
  readonly objects: readonly ObjectStatus[]
  /** How many more there are, all of them as they should be. */
  readonly otherObjects: number
  /** Events, log lines and the next command, of what is not ready. */
  readonly explanation?: string
}

export interface AddonStatusResult {
  readonly cluster: string
  readonly isReady: boolean
  readonly addons: readonly AddonStatus[]
}

const WORKLOADS = new Set(['Deployment', 'DaemonSet', 'StatefulSet', 'Job'])

/** The addons that are installed, or one of them, with what of them is not ready. Throws PlatformError RELEASE_UNKNOWN. */
export async function addonStatus(
  {cluster, kube, context}: AddonCluster,
  id: string | undefined,
): Promise<AddonStatusResult> {
  const [releases, installed] = await Promise.all([
    installedReleases(kube, 'addon'),
    installedAddons(context, kube),
  ])
  const chosen = releases.filter(({name}) => id === undefined || name === id)
  if (id !== undefined && chosen.length === 0) throw notInstalled(id, cluster)
  const addons = await Promise.all(
    chosen.map(async (release) => {
      const addon = installed.find((other) => other.id === release.name)
      const unready = addon === undefined ? [] : await addonNotReady(kube, addon)
      return statusOf(kube, release, unready)
    }),
  )
  return {cluster, isReady: addons.every(({isReady}) => isReady), addons}
}

export function notInstalled(id: string, cluster: string): PlatformError {
  return new PlatformError('RELEASE_UNKNOWN', `addon ${id} is not installed in cluster ${cluster}`, {
    suggestions: [
      `install it: clouder addon install ${id} --cluster ${cluster}`,
      `see what is installed: clouder addon ls --cluster ${cluster}`,
    ],
  })
}

async function statusOf(
  kube: KubeReader,
  release: Revision,
  unready: readonly NotReady[],
): Promise<AddonStatus> {
  const problems = new Map<string, NotReady[]>()
  for (const problem of unready) {
    const key = describeRef(problem.ref)
    problems.set(key, [...(problems.get(key) ?? []), problem])
  }
  const all = release.objects.map((object) => ({kind: object.kind, text: describeRef(refOf(object))}))
  const own = new Set(all.map(({text}) => text))
  const shown = [
    ...all.filter(({kind, text}) => WORKLOADS.has(kind) || problems.has(text)).map(({text}) => text),
    ...[...problems.keys()].filter((text) => !own.has(text)),
  ]
  const explanation = unready.length === 0 ? '' : await explainNotReady(kube, unready)
  const {name, version, revision, state, message} = release
  return {
    ...{id: name, version, revision, state},
    ...(message === undefined ? {} : {message}),
    isReady: unready.length === 0 && state === 'deployed',
    objects: shown.map((object) => {
      const found = problems.get(object) ?? []
      return {
        object,
        isReady: found.length === 0,
        isStuck: found.some(({isStuck}) => isStuck),
        problems: found.map(({problem}) => problem),
      }
    }),
    otherObjects: all.length - shown.filter((text) => own.has(text)).length,
    ...(explanation === '' ? {} : {explanation}),
  }
}

const WATCH_INTERVAL_MS = 1000

/** The status, shown once; with `follow` shown at each change until everything is ready. */
export async function watchAddons(
  opened: AddonCluster,
  {id, follow}: {readonly id: string | undefined; readonly follow: boolean},
  {signal}: Pick<SessionTools, 'signal'>,
  show: (seen: AddonStatusResult) => Promise<void>,
): Promise<AddonStatusResult> {
  let shown = ''
  for (;;) {
    const status = await addonStatus(opened, id)
    const text = JSON.stringify(status)
    if (text !== shown) await show(status)
    shown = text
    if (!follow || status.isReady) return status
    await setTimeout(WATCH_INTERVAL_MS, undefined, {signal})
  }
}
