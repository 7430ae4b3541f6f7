import {z} from 'zod'
import {quantity} from '../kubernetes/pod.ts'

/** Headers of a tar, and files that the kubelet has not counted yet. */
export const SLACK_BYTES = 16 * 1024 * 1024

const podSpecSchema = z.looseObject({
  containers: z.array(
    z.looseObject({
      name: z.string(),
      resources: z.looseObject({limits: z.record(z.string(), z.string()).optional()}).optional(),
    }),
  ),
})

/** Bytes of files that each container may keep, by its name; above it the kubelet evicts the pod. Absent: no limit. */
export function storageLimits(podSpec: unknown): ReadonlyMap<string, number> {
  const limits = podSpecSchema
    .parse(podSpec)
    .containers.map(({name, resources}) => [name, resources?.limits?.['ephemeral-storage']] as const)
  return new Map(limits.flatMap(([name, text]) => (text === undefined ? [] : [[name, quantity(text)]])))
}
