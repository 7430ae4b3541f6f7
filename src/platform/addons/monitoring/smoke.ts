import {waitFor} from '../../../base/waiting.ts'
import {z} from 'zod'
import type {SmokeTools} from '../addon.ts'
import {KubernetesError} from '../../../kubernetes/errors.ts'
import {ALERTMANAGER, NAMESPACE, PROMETHEUS} from './names.ts'

const SCRAPED_MS = 120_000
const ALERTED_MS = 30_000
const ALERT = 'ClouderSmokeTest'
/** It ends by itself. */
const ALERT_LASTS_MS = 60_000

const proxied = ({name}: typeof PROMETHEUS, path: string): string =>
  `/api/v1/namespaces/${NAMESPACE}/services/${name}:web/proxy${path}`

const resultSchema = z.looseObject({
  data: z.looseObject({
    result: z.array(
      z.looseObject({
        metric: z.looseObject({job: z.string().optional(), node: z.string().optional()}),
        value: z.tuple([z.number(), z.string()]),
      }),
    ),
  }),
})

/** Every node is measured; an alert that is sent to Alertmanager is there. */
export async function smokeMonitoring(tools: SmokeTools): Promise<void> {
  await nodesMeasured(tools)
  await alertArrives(tools)
}

async function nodesMeasured({kube, signal, progress}: SmokeTools): Promise<void> {
  const nodes = (await kube.list({apiVersion: 'v1', kind: 'Node'})).map(({metadata}) => metadata.name)
  const jobs = ['kubelet', 'node-exporter']
  const query = encodeURIComponent(`up{job=~"${jobs.join('|')}"}`)
  await waitFor({
    what: `Prometheus to have metrics of ${nodes.length} nodes`,
    check: async (waiting) => {
      const {status, body} = await kube.fetch(proxied(PROMETHEUS, `/api/v1/query?query=${query}`), waiting)
      if (status !== 200) return {seen: `status ${status}: ${body.trim().slice(0, 300)}`}
      const {result} = resultSchema.parse(JSON.parse(body)).data
      const up = new Set(
        result
          .filter(({value: [, value]}) => value === '1')
          .map(({metric}) => `${metric.job ?? ''} of ${metric.node ?? ''}`),
      )
      const missing = jobs
        .flatMap((job) => nodes.map((node) => `${job} of ${node}`))
        .filter((target) => !up.has(target))
      return missing.length === 0
        ? {value: true, seen: 'all'}
        : {seen: `no metrics from ${missing.join(', ')}`}
    },
    timeoutMs: SCRAPED_MS,
    intervalMs: 1000,
    signal,
    onSeen: progress,
  })
}

async function alertArrives({kube, namespace, signal, progress}: SmokeTools): Promise<void> {
  progress('sending an alert')
  const alert = {
    labels: {alertname: ALERT, severity: 'none', namespace},
    annotations: {summary: 'sent by the smoke test of the addon monitoring'},
    endsAt: new Date(Date.now() + ALERT_LASTS_MS).toISOString(),
  }
  const {status, body} = await kube.post(
    proxied(ALERTMANAGER, '/api/v2/alerts'),
    JSON.stringify([alert]),
    signal,
  )
  if (status !== 200)
    throw new KubernetesError('SMOKE_TEST_FAILED', `Alertmanager refused an alert with ${status}: ${body}`)
  const filter = encodeURIComponent(`namespace="${namespace}"`)
  await waitFor({
    what: 'Alertmanager to show the alert',
    check: async (waiting) => {
      const shown = await kube.fetch(proxied(ALERTMANAGER, `/api/v2/alerts?filter=${filter}`), waiting)
      return shown.status === 200 && shown.body.includes(ALERT)
        ? {value: true, seen: ''}
        : {seen: `status ${shown.status}`}
    },
    timeoutMs: ALERTED_MS,
    intervalMs: 500,
    signal,
  })
}
