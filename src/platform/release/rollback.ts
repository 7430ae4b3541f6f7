import {refOf} from '../../kubernetes/refs.ts'
import type {KubeClient, KubeObject, KubeReader} from '../../kubernetes/types.ts'
import {PlatformError} from '../errors.ts'
import {applyLocked, type ApplyOptions} from './apply.ts'
import {revisionsOf} from './history.ts'
import {keyOfObject} from './identity.ts'
import {withLock} from './lock.ts'
import {ensureSystemNamespace} from './namespaces.ts'
import {planRelease} from './plan.ts'
import {waitUntilReady} from './readiness.ts'
import type {NotReady, Release, ReleaseName, ReleasePlan, Revision} from './types.ts'

export interface GateOptions extends ApplyOptions {
  /** What is not ready yet. */
  readonly ready: () => Promise<readonly NotReady[]>
  readonly timeoutMs: number
  /** So long something may look stuck before the gate fails early. Default: a minute. */
  readonly graceMs?: number
}

/**
 * Applies a plan and waits for the gate. Where that fails, the last revision that was deployed is applied again, as a
 * new one; a first install stays, to be looked at. Throws PlatformError RELEASE_NOT_READY that explains what is not.
 */
export async function applyWithGate(
  kube: KubeClient,
  plan: ReleasePlan,
  options: GateOptions,
): Promise<Revision> {
  const {installed, changes, release} = plan
  if (installed !== undefined && changes.length === 0) return installed
  await ensureSystemNamespace(kube)
  return withLock(kube, release, options, async (signal) => {
    const under = {...options, signal}
    const good = (await revisionsOf(kube, release)).findLast(({state}) => state === 'deployed')
    const secrets = await liveSecrets(kube, good?.objects ?? [])
    try {
      return await applyLocked(kube, plan, under, () => waitUntilReady(kube, options.ready, under))
    } catch (error) {
      const isNotReady = error instanceof PlatformError && error.code === 'RELEASE_NOT_READY'
      if (!isNotReady || good === undefined) throw error
      options.progress(`not ready; back to revision ${good.revision}`)
      const made = await applyLocked(kube, await planRelease(kube, releaseOf(good, secrets)), under)
      throw new PlatformError(
        'RELEASE_NOT_READY',
        `${error.message}\n${release.owner} ${release.name} ${release.version} was rolled back to ${good.version}, as revision ${made.revision}`,
        {cause: error, suggestions: error.suggestions},
      )
    }
  })
}

/**
 * Applies an earlier revision again, as a new one. What its Secrets hold is not kept: they stay as they are. Throws
 * PlatformError RELEASE_UNKNOWN, and what applyRelease throws.
 */
export async function rollbackTo(
  kube: KubeClient,
  name: ReleaseName,
  revision: number,
  options: ApplyOptions,
): Promise<Revision> {
  const found = (await revisionsOf(kube, name)).find((one) => one.revision === revision)
  if (found === undefined)
    throw new PlatformError('RELEASE_UNKNOWN', `${name.owner} ${name.name} has no revision ${revision}`)
  return withLock(kube, name, options, async (signal) => {
    const secrets = await liveSecrets(kube, found.objects)
    return applyLocked(kube, await planRelease(kube, releaseOf(found, secrets)), {...options, signal})
  })
}

const isSecret = ({kind, apiVersion}: KubeObject): boolean => kind === 'Secret' && apiVersion === 'v1'

/** What the Secrets of a revision hold now. */
async function liveSecrets(
  kube: KubeReader,
  objects: readonly KubeObject[],
): Promise<ReadonlyMap<string, KubeObject | undefined>> {
  const secrets = objects.filter(isSecret)
  const found = await Promise.all(secrets.map((secret) => kube.get(refOf(secret))))
  return new Map(secrets.map((secret, index) => [keyOfObject(secret), found[index]]))
}

function releaseOf(revision: Revision, secrets: ReadonlyMap<string, KubeObject | undefined>): Release {
  const {owner, name, version, parameters, objects} = revision
  const whole = objects.map((object) => {
    const data = secrets.get(keyOfObject(object))?.['data']
    if (!isSecret(object) || data === undefined) return object
    return {...object, data}
  })
  return {owner, name, version, parameters, objects: whole}
}
