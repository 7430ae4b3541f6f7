import {fanOut} from '../engine/fan-out.ts'
import type {ClusterStep, StepContext} from '../engine/types.ts'
import {describeRef} from '../../kubernetes/refs.ts'
import type {KubeClient, KubeReader} from '../../kubernetes/types.ts'
import {groupsOf, providersOf} from '../../platform/addons/selection.ts'
import {PlatformError} from '../../platform/errors.ts'
import {applyRelease} from '../../platform/release/apply.ts'
import {installedReleases} from '../../platform/release/history.ts'
import {planRelease} from '../../platform/release/plan.ts'
import {applyWithGate} from '../../platform/release/rollback.ts'
import type {ReleasePlan} from '../../platform/release/types.ts'
import {addonNotReady, addonReleases, type AddonRelease} from './addon-releases.ts'
import type {ClouderPhase, ClusterTools, PhaseContext} from './context.ts'
import {nodeProblem} from './node-conditions.ts'

const GATE_TIMEOUT_MS = 300_000
/** Addons that are worked on at the same time. */
const CONCURRENCY = 8

/** What nodes need to be Ready and pods to start; nothing waits for it until the end, as no worker is there yet. */
export const bootstrapAddonsPhase: ClouderPhase = {
  id: 'bootstrap-addons',
  title: 'Installing the pod network and what pods need to start',

  async plan(context) {
    const all = await addonReleases(context)
    const kube = await context.kube()
    return planGroup(
      kube,
      all.filter(({addon}) => addon.stage === 'bootstrap'),
      () => false,
    )
  },
}

/** The other addons: each after what it needs, and what others need until it is ready; `ready` waits for the rest. */
export const addonsPhase: ClouderPhase = {
  id: 'addons',
  title: 'Installing the addons',

  async plan(context) {
    const all = await addonReleases(context)
    const kube = await context.kube()
    if (kube !== undefined) await noteOthers(context, kube, all)
    const platform = all.filter(({addon}) => addon.stage === 'platform')
    if (platform.length === 0) return []
    if (kube !== undefined && !(await hasPodNetwork(context, kube))) {
      context.note(
        'addons are installed once the nodes are Ready: install a pod network, then run init again',
      )
      return []
    }
    const addons = platform.map(({addon}) => addon)
    const needed = new Set(addons.flatMap((addon) => providersOf(addon, addons)).map(({id}) => id))
    return planGroups(kube, platform, ({addon}) => needed.has(addon.id))
  },
}

/** These addons and no others, each until it is ready: what `addon install` and `addon upgrade` do. */
export const chosenAddonsPhase = (
  releasesOf: (context: PhaseContext) => Promise<readonly AddonRelease[]>,
): ClouderPhase => ({
  id: 'addons',
  title: 'Installing the addons',
  plan: async (context) => planGroups(await context.kube(), await releasesOf(context), () => true),
})

/** One step for each parallel group. */
async function planGroups(
  kube: KubeReader | undefined,
  releases: readonly AddonRelease[],
  isGated: (release: AddonRelease) => boolean,
): Promise<readonly ClusterStep<ClusterTools>[]> {
  const byId = new Map(releases.map((release) => [release.id, release]))
  const groups = groupsOf(releases).map((group) => group.flatMap(({addon}) => byId.get(addon.id) ?? []))
  return (await Promise.all(groups.map((group) => planGroup(kube, group, isGated)))).flat()
}

/** Without a network of ours nothing starts until the user has installed one. */
async function hasPodNetwork({spec}: PhaseContext, kube: KubeReader): Promise<boolean> {
  if (spec.network.cni !== 'none') return true
  const nodes = await kube.list({apiVersion: 'v1', kind: 'Node'})
  return nodes.some((node) => nodeProblem(node) === undefined)
}

/** init removes nothing: what is installed and not selected is named. */
async function noteOthers(
  {spec, note}: PhaseContext,
  kube: KubeReader,
  selected: readonly AddonRelease[],
): Promise<void> {
  const ids = new Set(selected.map(({addon}) => addon.id))
  for (const {name} of await installedReleases(kube, 'addon'))
    if (!ids.has(name))
      note(
        `addon ${name} is installed, but the specification does not select it; to remove it: clouder addon remove ${name} --cluster ${spec.name}`,
      )
}

/** One step for addons that do not need each other; none when all are as wanted. */
async function planGroup(
  kube: KubeReader | undefined,
  group: readonly AddonRelease[],
  isGated: (release: AddonRelease) => boolean,
): Promise<readonly ClusterStep<ClusterTools>[]> {
  const plans = await Promise.all(
    group.map(async (item) => ({item, plan: await planRelease(kube, item.release)})),
  )
  const open = plans.filter(({plan}) => plan.changes.length > 0)
  if (open.length === 0) return []
  return [
    {
      summary: `install ${open.map(({plan: {release}}) => `${release.name} ${release.version}`).join(', ')}`,
      reason:
        kube === undefined ? 'there is no API server yet' : open.map(({plan}) => reasonOf(plan)).join('; '),
      run: async (tools, context) => {
        const client = await tools.kube()
        const outcomes = await fanOut(
          open,
          CONCURRENCY,
          ({item}) => install(client, item, isGated(item), tools, context),
          context.signal,
        )
        throwAll(outcomes.flatMap((outcome) => ('error' in outcome ? [outcome.error] : [])))
      },
    },
  ]
}

/** Plans again: since the plan of the whole phase, what others need may have been installed. */
async function install(
  kube: KubeClient,
  item: AddonRelease,
  isGated: boolean,
  {now, holder, isStaleHolder}: ClusterTools,
  context: StepContext,
): Promise<void> {
  const plan = await planRelease(kube, item.release)
  const progress = (text: string): void => context.progress(`${item.id}: ${text}`)
  const options = {signal: context.signal, now, holder, isStaleHolder, progress}
  await (isGated
    ? applyWithGate(kube, plan, {
        ...options,
        timeoutMs: GATE_TIMEOUT_MS,
        ready: () => addonNotReady(kube, item),
      })
    : applyRelease(kube, plan, options))
}

const SHOWN = 3

/** `metrics-server: create Deployment kube-system/metrics-server and 8 more`. */
function reasonOf({release, changes}: ReleasePlan): string {
  const shown = changes.slice(0, SHOWN).map(({action, ref}) => `${action} ${describeRef(ref)}`)
  const more = changes.length - shown.length
  return `${release.name}: ${shown.join(', ')}${more === 0 ? '' : ` and ${more} more`}`
}

function throwAll(errors: readonly Error[]): void {
  const [first] = errors
  if (first === undefined) return
  if (errors.length === 1 || !(first instanceof PlatformError)) throw first
  throw new PlatformError(first.code, errors.map(({message}) => message).join('\n'), {
    suggestions: errors.flatMap((error) => (error instanceof PlatformError ? error.suggestions : [])),
    cause: first,
  })
}
