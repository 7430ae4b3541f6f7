import {randomBytes} from 'node:crypto'
import {waitFor} from '../../src/base/waiting.ts'
import {PROGRAMS_IMAGE} from './e2e-programs-image.ts'
import type {Program, Talk} from './e2e-programs.ts'

const TIMEOUT_MS = 120_000
const {signal} = new AbortController()
/** Rows of the table that is scanned again and again, and how long one of them takes: some two seconds each time. */
const ROWS = 300
const ROW_SECONDS = 0.02

/**
 * PostgreSQL refuses to run as root, and CRIU cannot dump other users' processes on nodes that lack CAP_SYS_RESOURCE, as
 * those in containers do. So its processes are root's, and Debian's uid_wrapper, which is preloaded, answers getuid(2)
 * with another user: the same shared memory, signals, sockets and files. It does not reach what initdb starts through the
 * C library's popen(3), hence the wrapper.
 */
const SERVER = `set -e
  bin=$(echo /usr/lib/postgresql/*/bin)
  echo 'postgres:x:1000:1000::/:/bin/sh' > /etc/passwd
  mkdir -p /data/bin; mkdir -m 700 /data/db; chown 1000 /data/db
  cat $bin/initdb > /data/bin/initdb
  for name in initdb-as postgres; do
    echo '#!/bin/sh' > /data/bin/$name
    echo 'export LD_PRELOAD=libuid_wrapper.so UID_WRAPPER=1 UID_WRAPPER_INITIAL_RUID=1000 UID_WRAPPER_INITIAL_EUID=1000' >> /data/bin/$name
  done
  echo 'exec /data/bin/initdb "$@"' >> /data/bin/initdb-as
  echo "exec $bin/postgres \\"\\$@\\"" >> /data/bin/postgres
  chmod 755 /data/bin/*
  /data/bin/initdb-as -D /data/db -U postgres -A trust --locale=C -E UTF8 --no-sync
  /data/bin/postgres -D /data/db -c unix_socket_directories=/tmp -c listen_addresses= -c dynamic_shared_memory_type=posix -c jit=off &
  client="$bin/psql -h /tmp -U postgres -XqAt"
  until $client -c 'SELECT 1' > /dev/null 2>&1; do sleep 0.3; done
  mkfifo /tmp/in /tmp/scan; exec 3<>/tmp/in 4<>/tmp/scan
  $client <&4 > /tmp/scanned 2>&1 &
  $client <&3 > /tmp/out 2>&1`

/** Lines for a client that runs in the container, and is moved with it; gives what it prints for the last one. */
async function query(talk: Talk, lines: readonly string[]): Promise<string> {
  const id = randomBytes(4).toString('hex')
  const text = [`\\echo begin-${id}`, ...lines, `\\echo end-${id}`, ''].join('\n')
  await talk.sh(`cat > /tmp/in <<'END'\n${text}END\n`)
  return waitFor({
    what: 'a client of PostgreSQL to answer',
    check: async () => {
      const seen = await talk.sh('cat /tmp/out 2>/dev/null || true')
      const [, answer] = new RegExp(`begin-${id}\n([^]*)end-${id}`).exec(seen) ?? []
      return answer === undefined ? {seen: seen.slice(-500)} : {value: answer.trim(), seen: answer}
    },
    timeoutMs: TIMEOUT_MS,
    intervalMs: 300,
    signal,
  })
}

/** Waits until so many scans have ended, and gives what all of them found; an error of one would be among it. */
async function scanned(talk: Talk, more: number): Promise<string> {
  const read = async (): Promise<readonly string[]> =>
    (await talk.sh('cat /tmp/scanned 2>/dev/null || true')).split('\n').filter((line) => line !== '')
  const before = (await read()).length
  return waitFor({
    what: `${more} parallel scans to end`,
    check: async () => {
      const lines = await read()
      const seen = [...new Set(lines)].join(' ')
      return lines.length >= before + more ? {value: seen, seen} : {seen}
    },
    timeoutMs: TIMEOUT_MS,
    intervalMs: 300,
    signal,
  })
}

/**
 * A database whose shared memory is in /dev/shm, with a client in a transaction that was never committed (a temporary
 * table, a cursor halfway through, a prepared statement), and one whose parallel scans never end.
 */
export const postgres: Program = {
  name: 'postgres',
  container: {image: PROGRAMS_IMAGE, command: ['sh', '-c', SERVER]},
  prime: async (talk) => {
    const token = randomBytes(8).toString('hex')
    // Tried again until it is: the server has to make its database first.
    await talk.sh('test -p /tmp/in && test -p /tmp/scan')
    await query(talk, [
      `CREATE TABLE stored AS SELECT n, '${token}' || n AS text FROM generate_series(1, ${ROWS}) n;`,
      'PREPARE ask (int) AS SELECT text FROM stored WHERE n = $1;',
      'BEGIN;',
      `CREATE TEMPORARY TABLE unsaved AS SELECT n, '${token}' || n AS text FROM generate_series(1, 1000) n;`,
      `INSERT INTO stored VALUES (0, '${token}');`,
      // Lives on in the transaction: the next rows come from where it is.
      'DECLARE halfway SCROLL CURSOR FOR SELECT n FROM unsaved ORDER BY n;',
      'MOVE 500 IN halfway;',
    ])
    const scan = [
      // Each scan is done by two workers besides, over segments of shared memory that are made for it.
      'SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;',
      'ALTER TABLE scanned SET (parallel_workers = 2);',
      `SELECT count(*) FROM scanned WHERE pg_sleep(${ROW_SECONDS}) IS NOT NULL \\watch 0.1`,
    ]
    const table = `CREATE TABLE scanned AS SELECT n, repeat('x', 500) AS text FROM generate_series(1, ${ROWS}) n;`
    await talk.sh(`cat > /tmp/scan <<'END'\n${[table, ...scan, ''].join('\n')}END\n`)
    await waitFor({
      what: 'a parallel scan that uses /dev/shm',
      check: async () => {
        const seen = await talk.sh(
          "grep -al 'parallel [w]orker' /proc/[0-9]*/cmdline | wc -l; ls /dev/shm | grep -c '^PostgreSQL'",
        )
        const [workers = 0, segments = 0] = seen.split('\n').map(Number)
        return workers === 2 && segments > 0 ? {value: true, seen} : {seen}
      },
      timeoutMs: TIMEOUT_MS,
      intervalMs: 200,
      signal,
    })
    return postgres.identity(talk)
  },
  identity: async (talk) => {
    const session = await query(talk, [
      "SELECT pg_backend_pid(), current_setting('dynamic_shared_memory_type'), txid_current(), pg_postmaster_start_time();",
      'FETCH 1 FROM halfway; MOVE BACKWARD 1 IN halfway;',
      "SELECT md5(string_agg(text, '' ORDER BY n)) FROM unsaved;",
      // What nobody else sees, as long as the transaction runs.
      'SELECT text FROM stored WHERE n = 0;',
      'EXECUTE ask (7);',
    ])
    const others = await talk.sh(
      "$(echo /usr/lib/postgresql/*/bin)/psql -h /tmp -U postgres -XqAt -c 'SELECT count(*) FROM stored'",
    )
    return `${session.replaceAll('\n', ' ')} ${others.trim()} ${await scanned(talk, 2)}`
  },
}
