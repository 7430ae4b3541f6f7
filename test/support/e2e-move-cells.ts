import type {Cell, Place} from './move-matrix.ts'
import {PROGRAMS_IMAGE} from './e2e-programs-image.ts'
import type {Program, Talk} from './e2e-programs.ts'

/** The ConfigMap and the Secret that pods of cells mount: a file `key`, and a shell `sh`. */
export const SHELL = 'shell'

const READ_ONLY: readonly Place[] = ['ConfigMap', 'Secret', 'projected token']
const executable = {defaultMode: 0o755}
const VOLUMES: Partial<Readonly<Record<Place, object>>> = {
  emptyDir: {emptyDir: {}},
  'emptyDir in memory': {emptyDir: {medium: 'Memory'}},
  ConfigMap: {configMap: {name: SHELL, ...executable}},
  Secret: {secret: {secretName: SHELL, ...executable}},
  'projected token': {
    projected: {
      ...executable,
      sources: [
        {serviceAccountToken: {path: 'key'}},
        {configMap: {name: SHELL, items: [{key: 'sh', path: 'sh'}]}},
      ],
    },
  },
  claim: {persistentVolumeClaim: {claimName: 'shared'}},
  hostPath: {hostPath: {path: '/var/tmp/move-cells', type: 'DirectoryOrCreate'}},
}

const nameOf = (place: Place): string =>
  place
    .toLowerCase()
    .replace(/[^a-z]+/g, '-')
    .replace(/^-/, '')
const folderOf = (place: Place): string =>
  place === 'root file system' ? '/data' : place === '/dev/shm' ? place : `/mnt/${nameOf(place)}`

/** Python that takes hold (as `h<index>`), and an expression that is true as long as it has it. */
function scriptOf({hold, place}: Cell, index: number, pod: string): {take: string; has: string} {
  const [h, file] = [`h${index}`, JSON.stringify(`${folderOf(place)}/${pod}-${index}`)]
  const isReadOnly = READ_ONLY.includes(place)
  const key = JSON.stringify(`${folderOf(place)}/key`)
  const written = `${h}.seek(0) == 0 and ${h}.read() == token`
  switch (hold) {
    case 'open file':
      if (isReadOnly) return {take: `${h} = open(${key})`, has: `${h}.seek(0) == 0 and len(${h}.read()) > 0`}
      return {take: `${h} = open(${file}, "a+"); n = ${h}.write(token); ${h}.flush()`, has: written}
    case 'unlinked file':
      return {
        take: `${h} = open(${file}, "w+"); n = ${h}.write(token); ${h}.flush(); os.unlink(${file})`,
        has: written,
      }
    case 'mapped file': {
      const path = isReadOnly ? JSON.stringify(`${folderOf(place)}/sh`) : file
      const copy = `n = open(${path}, "wb").write(open("/usr/bin/sh", "rb").read()); os.chmod(${path}, 0o755)`
      // A program that waits for what never comes.
      const start = `${h}i, ${h}o = os.pipe(); ${h} = os.posix_spawn(${path}, ["sh", "-c", "read x"], {}, file_actions=[(os.POSIX_SPAWN_DUP2, ${h}i, 0)])`
      return {take: isReadOnly ? start : `${copy}; ${start}`, has: `os.waitpid(${h}, os.WNOHANG) == (0, 0)`}
    }
    case 'FIFO':
      return {
        take: `os.mkfifo(${file}); ${h} = os.open(${file}, os.O_RDWR)`,
        has: `os.write(${h}, b"x") == 1 and os.read(${h}, 1) == b"x"`,
      }
    case 'unix socket':
      return {
        take: `${h} = _socket.socket(1, 1); ${h}.bind(${file}); ${h}.listen(5)`,
        has: `answers(${h}, ${file})`,
      }
    case 'lock': {
      const path = isReadOnly ? key : file
      const open = isReadOnly ? `open(${path})` : `open(${path}, "w+")`
      return {take: `${h} = ${open}; fcntl.flock(${h}, ${isReadOnly ? 1 : 2})`, has: `not lockable(${path})`}
    }
  }
}

const PYTHON = 'mkfifo /tmp/in; exec 3<>/tmp/in; exec python3 -i -q -u -S <&3'
export const PYTHON_CONTAINER = {
  image: PROGRAMS_IMAGE,
  command: ['sh', '-c', PYTHON],
  env: [
    {name: 'PYTHONDONTWRITEBYTECODE', value: '1'},
    {name: 'PYTHON_BASIC_REPL', value: '1'},
  ],
}

const FUNCTIONS = [
  `def lockable(path):
    try:
        fcntl.flock(open(path), 6)
        return True
    except BlockingIOError:
        return False
`,
  // A connection that is not taken from the queue stands against a dump.
  `def answers(listener, path):
    client = _socket.socket(1, 1)
    client.connect(path)
    os.close(listener._accept()[0])
    return True
`,
]

/** A Python with a token in its memory that holds all of these. */
export function programHolding(name: string, cells: readonly Cell[], labels: object = {}): Program {
  const places = [...new Set(cells.map(({place}) => place))].filter((place) => VOLUMES[place] !== undefined)
  const scripts = cells.map((cell, index) => scriptOf(cell, index, name))
  const identity = (talk: Talk): Promise<string> =>
    talk.python([], `[token, next(counter) > 0, ${scripts.map(({has}) => `(${has})`).join(', ')}]`)
  return {
    name,
    labels,
    container: {
      ...PYTHON_CONTAINER,
      volumeMounts: places.map((place) => ({name: nameOf(place), mountPath: folderOf(place)})),
    },
    pod: {volumes: places.map((place) => ({name: nameOf(place), ...VOLUMES[place]}))},
    prime: async (talk) => {
      const lines = [
        'import os, _socket, fcntl',
        ...FUNCTIONS,
        'token = os.urandom(16).hex()',
        'def count():\n    n = 0\n    while True:\n        n += 1\n        yield n\n',
        'counter = count()',
        ...scripts.map(({take}) => take),
      ]
      await talk.python(lines, 'token')
      return identity(talk)
    },
    identity,
  }
}

/** What `identity` gives of a process that has all that it held. */
export const hasAll = (identity: string): boolean => !identity.includes('False')
