import {open, readdir, rm, stat} from 'node:fs/promises'
import {join} from 'node:path'
import {isDeepStrictEqual} from 'node:util'
import {z} from 'zod'
import {unlessMissing} from '../../base/system-errors.ts'
import {tarMembers} from '../../checkpoint/archive/tar.ts'
import type {Named} from './checkpoint-object.ts'
import type {Pod} from '../../kubernetes/pod.ts'

/** What the kubelet, which agents once had make archives, names one after. */
export interface FormerTarget {
  readonly namespace: string
  readonly pod: string
  readonly container: string
}

/** Archives that an agent had its kubelet write before, and did not live to claim. */
export interface FormerArchives {
  /**
   * Removes what was written of a container in that time. Its file name may be that of another container's archive too:
   * of team/b-main and team-b/main. So it is what the archive says that counts; one that was broken off, and says
   * nothing, goes unless `isAnothers`.
   */
  removeUnclaimed(
    target: FormerTarget,
    time: {readonly sinceMs: number; readonly untilMs: number},
    isAnothers: boolean,
  ): Promise<void>
}

/** Files get the time of the kernel's last tick, which was before now. */
const COARSE_MS = 100
const READ_BYTES = 1024 * 1024
const MAX_SPEC_BYTES = 16 * 1024 * 1024

/** The kubelet's folder: `checkpoint-<pod>_<namespace>-<container>-<time>.tar`. */
export function kubeletArchives(folder: string): FormerArchives {
  return {
    async removeUnclaimed(target, {sinceMs, untilMs}, isAnothers) {
      const {namespace, pod, container} = target
      const prefix = `checkpoint-${pod}_${namespace}-${container}-`
      for (const name of (await readdir(folder).catch(unlessMissing)) ?? []) {
        const path = join(folder, name)
        if (!name.startsWith(prefix) || !/^\d{4}-[^/]*\.tar$/.test(name.slice(prefix.length))) continue
        const {mtimeMs} = (await stat(path).catch(unlessMissing)) ?? {}
        if (mtimeMs === undefined || mtimeMs < sinceMs - COARSE_MS || mtimeMs > untilMs) continue
        const owner = await ownerOf(path)
        if (owner === undefined ? !isAnothers : isDeepStrictEqual(owner, target))
          await rm(path, {force: true})
      }
    },
  }
}

/** Of dumps that another agent began before `untilMs`. */
export async function removeFormer(
  archives: FormerArchives,
  {status, spec, namespace}: Named,
  pods: readonly Pod[],
  untilMs: number,
): Promise<void> {
  const sinceMs = Date.parse(status?.startTime ?? '')
  const pod = pods.find(({metadata}) => metadata.uid === status?.podUID)
  if (pod === undefined || !(sinceMs < untilMs)) return
  const {name} = pod.metadata
  // What the pod does not have was not dumped, whoever asked for it.
  const own = pod.spec.containers.map((one) => one.name)
  for (const container of own.filter((one) => spec.containers?.includes(one) !== false)) {
    const target = {namespace, pod: name, container}
    const isAnothers = pods.some((other) => isNamedAlike(other, target))
    await archives.removeUnclaimed(target, {sinceMs, untilMs}, isAnothers)
  }
}

/** Whether archives of a container of another pod have the same file name. */
const isNamedAlike = ({metadata, spec}: Pod, own: FormerTarget): boolean =>
  metadata.name === own.pod &&
  metadata.namespace !== own.namespace &&
  spec.containers.some(({name}) => `${metadata.namespace}-${name}` === `${own.namespace}-${own.container}`)

const ownerSchema = z.looseObject({
  annotations: z.looseObject({
    'io.kubernetes.cri.sandbox-namespace': z.string(),
    'io.kubernetes.cri.sandbox-name': z.string(),
    'io.kubernetes.cri.container-name': z.string(),
  }),
})

/** The container that an archive says it was made of; undefined: it is not whole. */
async function ownerOf(path: string): Promise<FormerTarget | undefined> {
  try {
    await using file = await open(path)
    for await (const {path: name, sizeBytes, content} of tarMembers(
      file.createReadStream({highWaterMark: READ_BYTES, autoClose: false}),
    )) {
      if (name !== 'spec.dump' || sizeBytes > MAX_SPEC_BYTES) continue
      const chunks: Uint8Array[] = []
      for await (const chunk of content) chunks.push(chunk)
      const {annotations} = ownerSchema.parse(JSON.parse(Buffer.concat(chunks).toString()))
      return {
        namespace: annotations['io.kubernetes.cri.sandbox-namespace'],
        pod: annotations['io.kubernetes.cri.sandbox-name'],
        container: annotations['io.kubernetes.cri.container-name'],
      }
    }
    return undefined
  } catch {
    return undefined
  }
}
