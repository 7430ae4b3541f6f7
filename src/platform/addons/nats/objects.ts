import {createHash} from 'node:crypto'
import type {KubeObject} from '../../../kubernetes/types.ts'
import {metadataOf, namespaceOf, serviceAccount} from '../pods.ts'
import {httpProbe, serviceOf, statefulSetOf, type Image, type Program} from '../workloads.ts'

export const ADDON = 'nats'
export const NAMESPACE = 'nats'
export const PART = {addon: ADDON, name: 'nats', namespace: NAMESPACE}
const PORTS = {client: 4222, cluster: 6222, monitor: 8222}
const SERVERS = [0, 1, 2]
const FOLDER = '/etc/nats'

export interface NatsOptions {
  readonly image: Image
  readonly replicas: number
  readonly size: string
  readonly storageClassName?: string | undefined
  readonly memoryMebibytes: number
}

export function natsObjects(options: NatsOptions): readonly KubeObject[] {
  const config = configOf(options)
  return [
    namespaceOf(ADDON, NAMESPACE, 'restricted'),
    serviceAccount(PART),
    {apiVersion: 'v1', kind: 'ConfigMap', metadata: metadataOf(PART), data: {'nats.conf': config}},
    ...statefulSetOf(server(options, config), {
      replicas: options.replicas,
      claims: [
        {name: 'data', mountPath: '/data', size: options.size, storageClassName: options.storageClassName},
      ],
      ports: PORTS,
    }),
    serviceOf(PART, {client: PORTS.client, monitor: PORTS.monitor}),
  ]
}

/** Names and passwords are in the file that it includes, which is a Secret. */
const configOf = ({replicas, memoryMebibytes, size}: NatsOptions): string => `server_name: $POD_NAME
listen: 0.0.0.0:${PORTS.client}
http: 0.0.0.0:${PORTS.monitor}
lame_duck_grace_period: 5s
lame_duck_duration: 30s
jetstream {
  store_dir: /data
  max_memory_store: ${memoryMebibytes}MB
  max_file_store: ${storeOf(size)}
}
include ./credentials.conf
${replicas > 1 ? 'include ./cluster.conf\n' : ''}`

/** 90 % of the volume. */
function storeOf(size: string): string {
  const [, number = '0', unit = ''] = /^(\d+)(Mi|Gi|Ti)$/.exec(size) ?? []
  return `${Math.floor(Number(number) * ({Mi: 1, Gi: 1024, Ti: 1024 ** 2}[unit] ?? 0) * 0.9)}MB`
}

const server = ({image, memoryMebibytes}: NatsOptions, config: string): Program => ({
  part: PART,
  image,
  priority: 'none',
  args: [`--config=${FOLDER}/nats.conf`],
  env: [{name: 'POD_NAME', valueFrom: {fieldRef: {fieldPath: 'metadata.name'}}}],
  ports: PORTS,
  readinessProbe: httpProbe('monitor', '/healthz?js-enabled-only=true', {periodSeconds: 3}),
  livenessProbe: httpProbe('monitor', '/healthz?js-server-only=true', {
    periodSeconds: 10,
    failureThreshold: 6,
  }),
  graceSeconds: 60,
  requests: {cpu: '25m', memory: `${memoryMebibytes + 32}Mi`},
  annotations: {'clouder.dev/configuration': createHash('sha256').update(config).digest('hex').slice(0, 16)},
  volumes: [
    {
      volume: {
        name: 'configuration',
        projected: {
          defaultMode: 0o440,
          sources: [{configMap: {name: PART.name}}, {secret: {name: PART.name}}],
        },
      },
      mount: {name: 'configuration', mountPath: FOLDER, readOnly: true},
    },
  ],
})

/** With it programs connect; `uri` has all of it. The two files are what servers include. */
export function credentials(passwords: {readonly client: string; readonly cluster: string}): KubeObject {
  const host = `${PART.name}.${NAMESPACE}.svc`
  const routes = SERVERS.map(
    (at) =>
      `nats-route://cluster:${passwords.cluster}@${PART.name}-${at}.${PART.name}-pods.${NAMESPACE}.svc:${PORTS.cluster}`,
  )
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: metadataOf(PART),
    type: 'Opaque',
    stringData: {
      username: 'clouder',
      password: passwords.client,
      host,
      port: String(PORTS.client),
      uri: `nats://clouder:${passwords.client}@${host}:${PORTS.client}`,
      'credentials.conf': `authorization { user: clouder, password: "${passwords.client}" }\n`,
      'cluster.conf': [
        'cluster {',
        '  name: nats',
        `  listen: 0.0.0.0:${PORTS.cluster}`,
        `  authorization { user: cluster, password: "${passwords.cluster}" }`,
        `  routes: ${JSON.stringify(routes)}`,
        '}',
        '',
      ].join('\n'),
    },
  }
}
