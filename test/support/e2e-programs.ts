import {randomBytes} from 'node:crypto'
import {z} from 'zod'
import {PROGRAM_REFERENCE} from '../../src/bundle/catalogue.ts'
import {waitFor} from '../../src/base/waiting.ts'
import type {E2eCluster} from './e2e-cluster.ts'
import {kubectl} from './e2e-checkpoints.ts'
import {postgres} from './e2e-postgres.ts'
import {PROGRAMS_IMAGE} from './e2e-programs-image.ts'

/** Where the pods of these tests are. */
export const NAMESPACE = 'programs'
const PORT = 8080
const TIMEOUT_MS = 120_000
const {signal} = new AbortController()

/** A running pod of a program, to talk to. */
export interface Talk {
  /** Standard output of a shell script in its container. */
  sh(script: string): Promise<string>
  /** Body of a GET of its port. */
  get(): Promise<string>
  /** Lines of a Python that reads what it does from a pipe; gives what the last one is worth. */
  python(lines: readonly string[], value: string): Promise<string>
}

/** A program of Debian that is moved. */
export interface Program {
  readonly name: string
  /** Besides `app`. */
  readonly labels?: object
  /** Of its pod: of the container, and beside it. */
  readonly container: object
  readonly pod?: object
  /** Other containers of it. */
  readonly besides?: readonly object[]
  /** Gives it what only it holds, and gives what it is to be known by. */
  prime(talk: Talk): Promise<string>
  /** Asks it: the same for the same process, which goes on where it was. */
  identity(talk: Talk): Promise<string>
}

const PYTHON = 'mkfifo /tmp/in; exec 3<>/tmp/in; exec python3 -i -q -u -S <&3'
const python = {
  image: PROGRAMS_IMAGE,
  command: ['sh', '-c', PYTHON],
  env: [
    {name: 'PYTHONDONTWRITEBYTECODE', value: '1'},
    {name: 'PYTHON_BASIC_REPL', value: '1'},
  ],
}

/** A Python that answers line by line: a variable, a function, a generator in the middle. */
const repl: Program = {
  name: 'repl',
  container: python,
  prime: async (talk) => {
    const lines = [
      'import os',
      'secret = os.urandom(16).hex()',
      'def count():\n    n = 0\n    while True:\n        n += 1\n        yield n\n',
      'counter = count()',
    ]
    await talk.python(lines, 'next(counter)')
    return repl.identity(talk)
  },
  // The counter goes on by one with each question, so that a copy which began anew, or is behind, is seen.
  identity: (talk) => talk.python(['turns = next(counter)'], 'secret'),
}

/** Files that are open in the container's own file system: at an offset, for writing, and one that has no name any more. */
const openFiles: Program = {
  name: 'files',
  container: python,
  prime: async (talk) => {
    const lines = [
      'import os',
      'token = os.urandom(8).hex()',
      'book = open("/data/book", "w+"); n = book.write("0123456789" + token); n = book.seek(0); head = book.read(10)',
      'journal = open("/data/journal", "w+"); n = journal.write(token + "\\n"); journal.flush()',
      'ghost = open("/data/ghost", "w+"); n = ghost.write(token); ghost.flush(); os.unlink("/data/ghost")',
      'os.mkdir("/data/made"); n = open("/data/made/file", "w").write(token)',
    ]
    await talk.python(lines, 'token')
    return openFiles.identity(talk)
  },
  identity: async (talk) => {
    const lines = [
      // From where it stood; then back there.
      'at = book.tell(); rest = book.read(); n = book.seek(at)',
      'n = journal.write(token + "\\n"); journal.flush(); end = journal.tell(); n = journal.seek(0)',
      'journal_lines = journal.read().split(); n = journal.seek(end)',
      'n = ghost.seek(0); unnamed = ghost.read()',
      'closed = open("/data/made/file").read(); written = open("/data/journal").read().split()',
    ]
    const value =
      '[token, at, rest == token, set(journal_lines) == {token}, journal_lines == written, unnamed == token, closed == token]'
    return talk.python(lines, value)
  },
}

const SERVER = `
  const token = crypto.randomUUID()
  const memory = Buffer.from(crypto.getRandomValues(new Uint8Array(65536)))
  const hash = () => require('crypto').createHash('sha256').update(memory).digest('hex')
  let count = 0
  setInterval(() => count++, 50)
  require('http').createServer((request, response) => {
    response.end(JSON.stringify({token, hash: hash(), count}))
  }).listen(${PORT})`

/** Node.js, with what its event loop waits for. */
const node: Program = {
  name: 'node',
  container: {image: PROGRAM_REFERENCE, command: ['/usr/bin/node', '-e', SERVER]},
  prime: (talk) => node.identity(talk),
  identity: async (talk) => {
    const schema = z.object({token: z.string(), hash: z.string(), count: z.int()})
    const read = async () => schema.parse(JSON.parse(await talk.get()))
    const {token, hash, count} = await read()
    await waitFor({
      what: 'the timer of Node.js to go on',
      check: async () => {
        const {count: now} = await read()
        return now > count ? {value: now, seen: String(now)} : {seen: String(now)}
      },
      timeoutMs: TIMEOUT_MS,
      intervalMs: 200,
      signal,
    })
    return `${token} ${hash}`
  },
}

/** Debian's Redis, with a file that it appends to. */
const redis: Program = {
  name: 'redis',
  container: {
    image: PROGRAMS_IMAGE,
    command: ['redis-server', '--dir', '/data', '--appendonly', 'yes', '--save', ''],
  },
  prime: async (talk) => {
    const value = randomBytes(512).toString('hex')
    await waitFor({
      what: 'Redis to answer',
      check: async () => {
        const said = await talk.sh('redis-cli ping || true')
        return said.trim() === 'PONG' ? {value: true, seen: said} : {seen: said}
      },
      timeoutMs: TIMEOUT_MS,
      intervalMs: 500,
      signal,
    })
    await talk.sh(
      `redis-cli set secret ${value} && redis-cli rpush list a b c && redis-cli config set save ''`,
    )
    return redis.identity(talk)
  },
  identity: async (talk) => {
    // What is written goes into the file that was open, and is in memory.
    const script = `redis-cli incr asked >&2
      redis-cli info server | grep run_id | cut -c8-47
      redis-cli get secret | sha256sum
      redis-cli lrange list 0 -1
      grep -c '^asked' /data/appendonlydir/*.incr.aof >&2`
    return talk.sh(script)
  },
}

const TREE = `
  token=$(cat /proc/sys/kernel/random/uuid)
  (n=0; while :; do n=$((n+1)); echo $n; sleep 0.1; done) |
    while read -r n; do echo "$token $n" > /tmp/new; mv /tmp/new /tmp/last; done &
  sleep 100000 &
  trap 'echo "$token" > /tmp/asked' USR1
  while :; do wait; done`

/** A shell with children and grandchildren: a loop that counts into a pipe, and one that reads from it. */
const tree: Program = {
  name: 'tree',
  container: {image: PROGRAMS_IMAGE, command: ['sh', '-c', TREE]},
  prime: (talk) => tree.identity(talk),
  identity: async (talk) => {
    const last = () => talk.sh('cat /tmp/last 2>/dev/null || true')
    const [token = '', count = ''] = (
      await waitFor({
        what: 'the tree to count',
        check: async () => {
          const seen = await last()
          return / \d+\n/.test(seen) ? {value: seen, seen} : {seen}
        },
        timeoutMs: TIMEOUT_MS,
        intervalMs: 200,
        signal,
      })
    ).split(' ')
    await waitFor({
      what: 'the tree to count on',
      check: async () => {
        const seen = await last()
        const [, now = ''] = seen.split(' ')
        return Number(now) > Number(count) ? {value: now, seen} : {seen}
      },
      timeoutMs: TIMEOUT_MS,
      intervalMs: 200,
      signal,
    })
    // The first process takes signals, and has its variables.
    await talk.sh('rm -f /tmp/asked; kill -USR1 1')
    const asked = await waitFor({
      what: 'the first shell to answer a signal',
      check: async () => {
        const seen = await talk.sh('cat /tmp/asked 2>/dev/null || true')
        return seen === '' ? {seen} : {value: seen.trim(), seen}
      },
      timeoutMs: TIMEOUT_MS,
      intervalMs: 200,
      signal,
    })
    // Its grandchild has the process id that it had.
    const child = await talk.sh('for at in /proc/[0-9]*; do grep -q "[1]00000" $at/cmdline && echo $at; done')
    return `${token} ${asked} ${child.trim()}`
  },
}

/** Holds a file of a claim open while it is moved. */
const withClaim: Program = {
  name: 'claim',
  container: {...python, volumeMounts: [{name: 'claim', mountPath: '/claim'}]},
  pod: {volumes: [{name: 'claim', persistentVolumeClaim: {claimName: 'shared'}}]},
  prime: async (talk) => {
    const lines = [
      'import os',
      'token = os.urandom(8).hex()',
      'journal = open("/claim/journal", "w+"); n = journal.write(token + "\\n"); journal.flush()',
    ]
    await talk.python(lines, 'token')
    return withClaim.identity(talk)
  },
  identity: (talk) => {
    const lines = [
      'n = journal.write(token + "\\n"); journal.flush(); end = journal.tell(); n = journal.seek(0)',
      'inside = journal.read().split(); n = journal.seek(end); outside = open("/claim/journal").read().split()',
    ]
    return talk.python(lines, '[token, set(inside) == {token}, inside == outside]')
  },
}

const WORK = {name: 'work', mountPath: '/data'}

/**
 * Volumes that end with their pod: one on disk that two containers share and an init container fills, one in memory,
 * and /dev/shm. Files of each are open.
 */
const volumes: Program = {
  name: 'volumes',
  container: {...python, volumeMounts: [WORK, {name: 'fast', mountPath: '/fast'}]},
  besides: [
    {
      name: 'second',
      image: PROGRAMS_IMAGE,
      imagePullPolicy: 'IfNotPresent',
      command: ['sh', '-c', 'exec 3<>/data/shared; while :; do read -r line <&3; sleep 1; done'],
      volumeMounts: [WORK],
    },
  ],
  pod: {
    volumes: [
      {name: 'work', emptyDir: {}},
      {name: 'fast', emptyDir: {medium: 'Memory', sizeLimit: '64Mi'}},
    ],
    initContainers: [
      {
        name: 'init',
        image: PROGRAMS_IMAGE,
        imagePullPolicy: 'IfNotPresent',
        command: ['sh', '-c', 'echo new > /data/init; echo new > /data/shared'],
        volumeMounts: [WORK],
      },
    ],
  },
  prime: async (talk) => {
    await talk.sh(
      'rm /data/init; echo old > /data/shared; mkdir -p /data/below; head -c 104857600 /dev/urandom > /data/below/blob',
    )
    const lines = [
      'import os',
      'token = os.urandom(8).hex()',
      'held = [open(f"/{at}/journal", "w+") for at in ("data/below", "fast", "dev/shm")]',
      'n = [(one.write(token + "\\n"), one.flush()) for one in held]',
    ]
    await talk.python(lines, 'token')
    return volumes.identity(talk)
  },
  identity: async (talk) => {
    const same = await talk.python(
      ['n = [one.seek(0) for one in held]'],
      '[token, [one.read().split() == [token] for one in held]]',
    )
    const files = await talk.sh(
      'ls /data /data/below /fast /dev/shm; cat /data/shared; sha256sum < /data/below/blob; cat /data/below/journal /fast/journal /dev/shm/journal',
    )
    return `${same} ${files}`
  },
}

export const PROGRAMS: readonly Program[] = [
  ...[repl, openFiles, node, redis, tree, withClaim, volumes, postgres],
]

/** Starts the pod of a program on a node. */
export async function startProgram(
  cluster: E2eCluster,
  {name, labels = {}, container, pod = {}, besides = []}: Program,
  machine: string,
): Promise<void> {
  const object = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: NAMESPACE,
      labels: {app: name, ...labels},
      // Of several it talks to this one.
      annotations: {'kubectl.kubernetes.io/default-container': 'main'},
    },
    spec: {
      nodeName: machine,
      terminationGracePeriodSeconds: 1,
      ...pod,
      containers: [{name: 'main', imagePullPolicy: 'IfNotPresent', ...container}, ...besides],
    },
  }
  await kubectl(cluster, 'apply -f -', JSON.stringify(object))
}

/** Talks to the first container of a pod; a pod that is not yet reached is asked again. */
export function talkTo(cluster: E2eCluster, pod: string): Talk {
  const again = <T>(what: string, ask: () => Promise<T>): Promise<T> =>
    waitFor({
      what,
      check: async () => {
        const said = await ask().then(
          (value) => ({value}),
          (error: unknown) => ({seen: String(error)}),
        )
        return 'value' in said ? {...said, seen: 'answers'} : said
      },
      timeoutMs: TIMEOUT_MS,
      intervalMs: 500,
      signal,
    })
  const sh = (script: string): Promise<string> => {
    const coded = Buffer.from(script).toString('base64')
    const inside = `exec -i -n ${NAMESPACE} ${pod} -- sh`
    return again(`${pod} to run a script`, () =>
      cluster.read(
        'cp-1',
        `base64 -d <<<${coded} | kubectl --kubeconfig /etc/kubernetes/admin.conf ${inside}`,
      ),
    )
  }
  return {
    sh,
    get: () =>
      again(`${pod} to answer`, () =>
        kubectl(cluster, `get --raw /api/v1/namespaces/${NAMESPACE}/pods/${pod}:${PORT}/proxy/`),
      ),
    async python(lines, value) {
      const id = randomBytes(4).toString('hex')
      const text = [...lines, `print("${id}", ${value}, flush=True)`, ''].join('\n')
      await sh(`cat > /tmp/in <<'END'\n${text}END\n`)
      return waitFor({
        what: `Python in ${pod} to answer`,
        check: async () => {
          // A container that answers may for a moment not be known to the API server as one that runs.
          const log = await kubectl(cluster, `logs -n ${NAMESPACE} ${pod} --tail=20`).catch(String)
          const [, answer] = new RegExp(`${id} (.*)`).exec(log) ?? []
          return answer === undefined ? {seen: log} : {value: answer, seen: answer}
        },
        timeoutMs: TIMEOUT_MS,
        intervalMs: 300,
        signal,
      })
    },
  }
}
