import type {KubeObject} from '../../../kubernetes/types.ts'
import {metadataOf, namespaceOf, serviceAccount} from '../pods.ts'
import {serviceOf, statefulSetOf, type Image, type Program} from '../workloads.ts'

export const ADDON = 'postgresql'
export const NAMESPACE = 'postgresql'
export const PART = {addon: ADDON, name: 'postgresql', namespace: NAMESPACE}
export const PORT = 5432
export const MAJOR = 18
/** Of the image. */
const USER = 999
export const PROGRAMS = `/usr/lib/postgresql/${MAJOR}/bin`
const DATA = '/var/lib/postgresql/data'

export interface PostgresqlOptions {
  readonly image: Image
  readonly size: string
  readonly storageClassName?: string | undefined
  readonly maxConnections: number
  readonly sharedBuffersMebibytes: number
}

export const postgresqlObjects = (options: PostgresqlOptions): readonly KubeObject[] => [
  namespaceOf(ADDON, NAMESPACE, 'restricted'),
  serviceAccount(PART),
  {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: metadataOf(PART),
    data: {'prepare.sh': PREPARE, 'pg_hba.conf': ACCESS},
  },
  ...statefulSetOf(postgres(options), {
    replicas: 1,
    claims: [{name: 'data', mountPath: DATA, size: options.size, storageClassName: options.storageClassName}],
    ports: {postgresql: PORT},
  }),
  serviceOf(PART, {postgresql: PORT}),
]

/** Whoever runs in the pod is trusted by the name of its user; all others need the password. */
const ACCESS = `local all all peer
host all all all scram-sha-256
`

/**
 * Makes the data folder at the first start, whole or not at all, and sets the password that the Secret has now: after
 * a removal the data is still there, and its Secret is another one.
 */
const PREPARE = `set -eu
data=${DATA}/pgdata
if [ ! -s "$data/PG_VERSION" ]; then
  rm -rf "$data.new"
  initdb --pgdata="$data.new" --username=postgres --encoding=UTF8 --locale=C.UTF-8 --data-checksums \\
    --auth-local=peer --auth-host=scram-sha-256
  mv "$data.new" "$data"
fi
version=$(cat "$data/PG_VERSION")
if [ "$version" != ${MAJOR} ]; then
  echo "the data is of PostgreSQL $version, this is ${MAJOR}: dump it with the old version and restore it into an empty volume" >&2
  exit 1
fi
printf "ALTER ROLE postgres PASSWORD '%s';\\n" "$POSTGRES_PASSWORD" |
  postgres --single -D "$data" -c log_min_messages=fatal postgres > /dev/null
`

const postgres = ({image, maxConnections, sharedBuffersMebibytes}: PostgresqlOptions): Program => ({
  part: PART,
  image,
  user: USER,
  priority: 'none',
  command: [`${PROGRAMS}/postgres`],
  args: [
    '-D',
    `${DATA}/pgdata`,
    ...Object.entries({
      listen_addresses: '*',
      port: String(PORT),
      hba_file: '/etc/postgresql/pg_hba.conf',
      unix_socket_directories: '/run/postgresql',
      max_connections: String(maxConnections),
      shared_buffers: `${sharedBuffersMebibytes}MB`,
    }).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ],
  env: [
    {name: 'PATH', value: `${PROGRAMS}:/usr/bin:/bin`},
    {name: 'POSTGRES_PASSWORD', valueFrom: {secretKeyRef: {name: PART.name, key: 'password'}}},
  ],
  prepare: {command: ['/bin/sh', '/etc/postgresql/prepare.sh']},
  ports: {postgresql: PORT},
  readinessProbe: {
    exec: {command: [`${PROGRAMS}/pg_isready`, '--host=127.0.0.1', `--port=${PORT}`]},
    periodSeconds: 3,
    timeoutSeconds: 5,
  },
  // Not SIGTERM alone, which waits until every client has gone.
  lifecycle: {
    preStop: {
      exec: {command: [`${PROGRAMS}/pg_ctl`, 'stop', '--mode=fast', `--pgdata=${DATA}/pgdata`]},
    },
  },
  graceSeconds: 60,
  requests: {cpu: '50m', memory: `${sharedBuffersMebibytes + 64}Mi`},
  volumes: [
    {
      volume: {name: 'configuration', configMap: {name: PART.name}},
      mount: {name: 'configuration', mountPath: '/etc/postgresql', readOnly: true},
    },
    {
      volume: {name: 'run', emptyDir: {medium: 'Memory', sizeLimit: '8Mi'}},
      mount: {name: 'run', mountPath: '/run/postgresql'},
    },
    {volume: {name: 'tmp', emptyDir: {sizeLimit: '64Mi'}}, mount: {name: 'tmp', mountPath: '/tmp'}},
    // Parallel queries exchange rows in it, and get 64 MiB otherwise.
    {
      volume: {name: 'shm', emptyDir: {medium: 'Memory', sizeLimit: '256Mi'}},
      mount: {name: 'shm', mountPath: '/dev/shm'},
    },
  ],
})

/** With it programs connect; `uri` has all of it. */
export function credentials(password: string, dnsDomain: string): KubeObject {
  const host = `${PART.name}.${NAMESPACE}.svc.${dnsDomain}`
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: metadataOf(PART),
    type: 'Opaque',
    stringData: {
      username: 'postgres',
      password,
      host,
      port: String(PORT),
      uri: `postgresql://postgres:${password}@${host}:${PORT}/postgres`,
    },
  }
}
