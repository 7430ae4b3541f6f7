import {createPrivateKey, X509Certificate} from 'node:crypto'
import {waitFor} from '../../../base/waiting.ts'
import {z} from 'zod'
import {KubernetesError} from '../../../kubernetes/errors.ts'
import type {SmokeTools} from '../addon.ts'
import {CLUSTER_CA} from './names.ts'

const ISSUED_MS = 120_000
const NAME = 'smoke'
const HOST = 'smoke.example.com'

const secretSchema = z.looseObject({
  'tls.crt': z.string().min(1),
  'tls.key': z.string().min(1),
  'ca.crt': z.string().min(1),
})

/** A certificate of the authority of the cluster is issued; its Secret has the key, the name, and a chain that verifies. */
export async function smokeCertificates(tools: SmokeTools): Promise<void> {
  const {kube, namespace, signal, progress} = tools
  const certificate = {
    apiVersion: 'cert-manager.io/v1',
    kind: 'Certificate',
    metadata: {name: NAME, namespace},
    spec: {
      secretName: NAME,
      dnsNames: [HOST],
      duration: '1h',
      renewBefore: '30m',
      privateKey: {algorithm: 'ECDSA', size: 256, rotationPolicy: 'Always'},
      issuerRef: {name: CLUSTER_CA, kind: 'ClusterIssuer', group: 'cert-manager.io'},
    },
  }
  await kube.apply([certificate], signal)
  progress('waiting for a certificate')
  const data = await waitFor({
    what: `Certificate ${namespace}/${NAME} to be issued`,
    check: async () => {
      const [secret, live] = await Promise.all([
        kube.get({apiVersion: 'v1', kind: 'Secret', namespace, name: NAME}),
        kube.get({apiVersion: 'cert-manager.io/v1', kind: 'Certificate', namespace, name: NAME}),
      ])
      const parsed = secretSchema.safeParse(secret?.['data'])
      return parsed.success ? {value: parsed.data, seen: ''} : {seen: conditionsOf(live?.['status'])}
    },
    timeoutMs: ISSUED_MS,
    intervalMs: 500,
    signal,
    onSeen: progress,
  })
  verify(data, `Secret ${namespace}/${NAME}`)
}

const statusSchema = z.looseObject({
  conditions: z
    .array(z.looseObject({type: z.string(), status: z.string(), message: z.string().optional()}))
    .default([]),
})

const conditionsOf = (status: unknown): string =>
  statusSchema
    .parse(status ?? {})
    .conditions.map(({type, status: is, message = ''}) => `${type}=${is} ${message}`.trim())
    .join('; ')

const decoded = (base64: string): Buffer => Buffer.from(base64, 'base64')

function verify(data: z.output<typeof secretSchema>, what: string): void {
  const [leaf, authority] = [data['tls.crt'], data['ca.crt']].map((pem) => new X509Certificate(decoded(pem)))
  const faults = [
    ...(leaf !== undefined && authority !== undefined && leaf.verify(authority.publicKey)
      ? []
      : ['the authority in ca.crt did not sign it']),
    ...(leaf?.checkHost(HOST) === HOST ? [] : [`it is not for ${HOST}`]),
    ...(leaf?.checkPrivateKey(createPrivateKey(decoded(data['tls.key']))) === true
      ? []
      : ['tls.key does not belong to it']),
  ]
  if (faults.length > 0)
    throw new KubernetesError('SMOKE_TEST_FAILED', `the certificate in ${what}: ${faults.join('; ')}`)
}
