import type {DebianRecipe} from './debian-recipes.ts'

/** One program of a package of the testing suite; stable has releases of years ago. */
const service = (name: string, path: string, names: readonly string[]): DebianRecipe => ({
  from: 'debian',
  suite: 'testing',
  packages: [name, 'ca-certificates'],
  programs: [{path, names}],
  joined: {folder: 'usr/share/ca-certificates/mozilla', path: 'etc/ssl/certs/ca-certificates.crt'},
  plugins: [],
})

export const PROMETHEUS_RECIPE: DebianRecipe = {
  ...service('prometheus', 'usr/bin/prometheus', []),
  folders: ['usr/share/prometheus/web'],
}

/** As it is called in the image of its authors, too. */
export const ALERTMANAGER_RECIPE: DebianRecipe = {
  ...service('prometheus-alertmanager', 'usr/bin/prometheus-alertmanager', ['alertmanager']),
  folders: ['usr/share/prometheus/alertmanager'],
}

export const NODE_EXPORTER_RECIPE: DebianRecipe = service(
  'prometheus-node-exporter',
  'usr/bin/prometheus-node-exporter',
  ['node_exporter'],
)

export const NATS_RECIPE: DebianRecipe = service('nats-server', 'usr/sbin/nats-server', [])

const POSTGRESQL = 'usr/lib/postgresql/18'
const SERVER_PROGRAMS = ['postgres', 'initdb', 'pg_ctl', 'pg_controldata', 'pg_resetwal']
const CLIENT_PROGRAMS = [
  ...['psql', 'pg_isready', 'createdb', 'createuser', 'dropdb', 'vacuumdb'],
  ...['pg_dump', 'pg_dumpall', 'pg_restore', 'pg_basebackup'],
]
const SHELL_PROGRAMS = [
  'cat',
  'chmod',
  'chown',
  'cp',
  'id',
  'ls',
  'mkdir',
  'mv',
  'rm',
  'sleep',
  'test',
  'touch',
  'true',
]

/** PostgreSQL with its extensions, and the shell that initdb and start scripts need. */
export const POSTGRESQL_RECIPE: DebianRecipe = {
  from: 'debian',
  suite: 'testing',
  packages: [
    'postgresql-18',
    'postgresql-client-18',
    'tzdata',
    'libc-bin',
    'dash',
    'coreutils',
    'sed',
    'grep',
  ],
  programs: [
    ...[...SERVER_PROGRAMS, ...CLIENT_PROGRAMS].map((name) => ({path: `${POSTGRESQL}/bin/${name}`})),
    {path: 'usr/bin/dash', names: ['sh']},
    ...[...SHELL_PROGRAMS, 'sed', 'grep', 'locale'].map((name) => ({path: `usr/bin/${name}`})),
  ],
  folders: ['usr/share/postgresql/18', 'usr/share/zoneinfo', 'usr/lib/locale/C.utf8'],
  texts: {
    // initdb asks for the name of the user that it runs as; the number is that of the image of the authors.
    'etc/passwd': 'root:x:0:0:root:/:/bin/sh\npostgres:x:999:999:postgres:/var/lib/postgresql:/bin/sh\n',
    'etc/group': 'root:x:0:\npostgres:x:999:\n',
    'etc/nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\n',
  },
  plugins: [`${POSTGRESQL}/lib`],
}
