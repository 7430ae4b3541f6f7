import {waitFor} from '../../../base/waiting.ts'
import {z} from 'zod'
import type {ClusterSpec} from '../../../spec/cluster-spec.ts'
import {defineAddon, type SmokeTools} from '../addon.ts'
import {workersOf} from '../pods.ts'
import {metricsServerObjects, PART} from './objects.ts'

const FIRST_SCRAPES_MS = 120_000

/** The CPU and memory that pods and nodes use: `kubectl top`, and autoscaling of pods. */
export const metricsServerAddon = defineAddon({
  id: PART.addon,
  title: 'Metrics server',
  version: '0.9.0',
  description: 'CPU and memory of nodes and pods for `kubectl top` and the HorizontalPodAutoscaler',
  profile: 'standard',
  stage: 'platform',
  needs: ['pod-network'],
  provides: ['resource-metrics'],
  images: ['metrics-server'],
  parameters: (spec) =>
    z.strictObject({
      resolutionSeconds: z.int().min(15).max(300).default(15).describe('interval between two measurements'),
      replicas: z
        .int()
        .min(1)
        .max(2)
        .default(workersOf(spec) >= 3 ? 2 : 1)
        .describe('default: 2 with three workers or more, else 1'),
    }),
  unavailable: withoutServingCertificates,
  objects: (parameters, {image}) => metricsServerObjects({...parameters, image: image('metrics-server')}),
  smoke: {proves: 'every node has CPU and memory metrics', run: answersForNodes},
})

/** Kubelets are only talked to when their certificates are of the cluster's CA. */
function withoutServingCertificates({checkpoint}: ClusterSpec): string | undefined {
  if (checkpoint.enabled) return undefined
  return 'spec.checkpoint.enabled is false: the controller of clouder, which approves serving certificates of kubelets, is not installed, and metrics of a kubelet with a self-signed certificate are not read'
}

const metricsSchema = z.looseObject({
  items: z.array(
    z.looseObject({
      metadata: z.looseObject({name: z.string()}),
      usage: z.looseObject({cpu: z.string(), memory: z.string()}),
    }),
  ),
})

/** Every node has an answer, as `kubectl top nodes` reads it. */
async function answersForNodes({kube, signal, progress}: SmokeTools): Promise<void> {
  const nodes = (await kube.list({apiVersion: 'v1', kind: 'Node'})).map(({metadata}) => metadata.name)
  await waitFor({
    what: `metrics.k8s.io to answer for ${nodes.length} nodes`,
    check: async (waiting) => {
      const {status, body} = await kube.fetch('/apis/metrics.k8s.io/v1beta1/nodes', waiting)
      if (status !== 200) return {seen: `status ${status}: ${body.trim().slice(0, 300)}`}
      const {items} = metricsSchema.parse(JSON.parse(body))
      const measured = new Set(
        items.filter(({usage}) => usage.memory !== '0').map(({metadata}) => metadata.name),
      )
      const missing = nodes.filter((name) => !measured.has(name))
      return missing.length === 0 ? {value: true, seen: 'all'} : {seen: `no metrics of ${missing.join(', ')}`}
    },
    timeoutMs: FIRST_SCRAPES_MS,
    intervalMs: 1000,
    signal,
    onSeen: progress,
  })
}
