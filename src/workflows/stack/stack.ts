import {lookup} from 'node:dns/promises'
import {dirname, resolve} from 'node:path'
import {z} from 'zod'
import {parseYamlDocument, readSpecFile} from '../../spec/document.ts'
import type {KubeClient} from '../../kubernetes/types.ts'
import {applyStack, type StackResult} from '../../platform/graph/apply.ts'
import {destroyStack, servicesToDestroy, type DestroyResult} from '../../platform/graph/destroy.ts'
import {discoveryOf} from '../../platform/graph/discovery.ts'
import {stackNames} from '../../platform/graph/history.ts'
import {planStack, type StackPlan} from '../../platform/graph/plan.ts'
import {prepareStack, type Prepared, type StackTools} from '../../platform/graph/prepare.ts'
import {driftOfStack, prepareRollback} from '../../platform/graph/rollback.ts'
import {loadStack} from '../../platform/graph/stack-load.ts'
import {statusOfStack, type StackStatus} from '../../platform/graph/status.ts'
import {withCheckpoints} from '../checkpoint/cluster.ts'
import type {Tools} from '../session/types.ts'

/** Which cluster: one that clouder made, or one of the user's own kubeconfig. */
export interface StackTarget {
  readonly cluster?: string | undefined
  readonly context?: string | undefined
}

export interface OpenedTarget {
  /** As messages name it. */
  readonly name: string
  readonly kube: KubeClient
}

const SERVICES_AT_ONCE = 8
const GRACE_MS = 60_000

/**
 * Opens the cluster of a stack: the one that is named, the context that is named, the default cluster, or what kubectl uses
 * now. Throws StateError CLUSTER_UNKNOWN, CONTEXT_UNKNOWN, KubernetesError API_UNREACHABLE.
 */
export async function withStackCluster<T>(
  {cluster, context}: StackTarget,
  tools: Tools,
  use: (opened: OpenedTarget) => Promise<T>,
): Promise<T> {
  const named = cluster ?? (context === undefined ? await tools.store.defaultCluster() : undefined)
  if (named !== undefined) {
    return withCheckpoints(named, tools, ({kube}) => use({name: named, kube}), {withAddon: false})
  }
  const kube = await tools.stacks.openContext(context)
  try {
    return await use({name: context === undefined ? 'the current context' : `context ${context}`, kube})
  } finally {
    kube.close()
  }
}

function stackTools(kube: KubeClient, folder: string, tools: Tools): StackTools {
  const {stacks, now, signal, report, hideSecret} = tools
  const version = (): Promise<string> => discoveryOf(kube, signal).kubeVersion()
  return {
    kube,
    folder,
    helm: async () => stacks.program('helm', await version()),
    kubectl: async () => stacks.program('kubectl', await version()),
    environment: stacks.helmEnvironment,
    temporaryDir: stacks.temporaryDir,
    resolveName: (name) => lookup(name),
    now,
    holder: stacks.holder,
    signal,
    hideSecret,
    redact: stacks.redact,
    report,
    concurrency: SERVICES_AT_ONCE,
    graceMs: GRACE_MS,
  }
}

export interface StackFile {
  /** `-`: standard input, whose paths begin in the working folder. */
  readonly file: string
  readonly environment?: string | undefined
}

async function prepareFile(
  {file, environment}: StackFile,
  kube: KubeClient,
  tools: Tools,
): Promise<{prepared: Prepared; tools: StackTools}> {
  const text = await readSpecFile(file, process.stdin)
  const own = stackTools(kube, file === '-' ? resolve('.') : dirname(resolve(file)), tools)
  return {prepared: await prepareStack(loadStack({text, file, environment}), own), tools: own}
}

/** What applying a file would change. */
export async function planStackFile(file: StackFile, kube: KubeClient, tools: Tools): Promise<StackPlan> {
  const {prepared, tools: own} = await prepareFile(file, kube, tools)
  return planStack(prepared, own)
}

/** Plans a file, shows the plan, and applies it. `agree` throws where it is declined. */
export async function applyStackFile(
  file: StackFile,
  agree: (plan: StackPlan) => Promise<void>,
  kube: KubeClient,
  tools: Tools,
): Promise<StackResult> {
  const {prepared, tools: own} = await prepareFile(file, kube, tools)
  await agree(await planStack(prepared, own))
  return applyStack(prepared, own)
}

/** Brings a revision back; the one before the newest where none is named. */
export async function rollbackTo(
  {stack, revision}: {readonly stack: string; readonly revision: number | undefined},
  agree: (plan: StackPlan, revision: number) => Promise<void>,
  kube: KubeClient,
  tools: Tools,
): Promise<StackResult> {
  const own = stackTools(kube, '/', tools)
  const prepared = await prepareRollback(stack, revision, own)
  await agree(await planStack(prepared, own), prepared.rollbackTo ?? 0)
  return applyStack(prepared, own)
}

/** How the cluster differs from what was applied last. */
export const stackDrift = (stack: string, kube: KubeClient, tools: Tools): Promise<StackPlan> =>
  driftOfStack(stack, stackTools(kube, '/', tools))

export const stackStatus = (stack: string, kube: KubeClient): Promise<StackStatus> =>
  statusOfStack(kube, stack)

/** All stacks of a cluster. */
export const allStacks = async (kube: KubeClient): Promise<readonly StackStatus[]> =>
  Promise.all((await stackNames(kube)).map((name) => statusOfStack(kube, name)))

/** Removes a stack. `agree` throws where it is declined. */
export async function destroyWhole(
  stack: string,
  agree: (services: readonly string[]) => Promise<void>,
  kube: KubeClient,
  tools: Tools,
): Promise<DestroyResult> {
  const own = stackTools(kube, '/', tools)
  await agree(await servicesToDestroy(kube, stack))
  return destroyStack(stack, own)
}

const namedSchema = z.looseObject({metadata: z.looseObject({name: z.string()})})

/** The stack that an argument names: its file, or its name. Throws ConfigError CONFIG_UNREADABLE, CONFIG_INVALID. */
export async function stackNameOf(argument: string): Promise<string> {
  if (!/\.ya?ml$/.test(argument)) return argument
  const text = await readSpecFile(argument)
  const parsed = namedSchema.safeParse(parseYamlDocument(text, {source: argument, page: 'docs/stacks.md'}))
  return parsed.success ? parsed.data.metadata.name : loadStack({text, file: argument}).name
}
