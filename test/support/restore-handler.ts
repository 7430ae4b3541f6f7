import {execFile, spawn, type ChildProcess} from 'node:child_process'
import {existsSync} from 'node:fs'
import {chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile} from 'node:fs/promises'
import {createServer, type Server} from 'node:net'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {z} from 'zod'
import {RESTORE_ANNOTATION} from '../../src/api/names.ts'
import {
  restoredNoteSchema,
  restoreRequestSchema,
  type RestoreAnswer,
  type RestoredNote,
  type RestoreRequest,
} from '../../src/api/handler-protocol.ts'

export const MODULE = join(import.meta.dirname, '../../src/bundle/modules/restore')
const run = promisify(execFile)
const logSchema = z.object({level: z.string(), msg: z.string(), time: z.iso.datetime()})

export interface Outcome {
  readonly code: number
  readonly stderr: string
  /** What runc was given, call by call; empty: it was not called. */
  readonly runc: readonly (readonly string[])[]
  /** Last message of runc's log. */
  readonly logged: string | undefined
}

/** What the node agent does with a question: an answer, text as it comes, or nothing but the end. */
export type Agent = (request: RestoreRequest) => RestoreAnswer | string

/** A node with the real handler, a runc that writes down its words, a bundle of a container, and an agent. */
export class HandlerNode implements AsyncDisposable {
  readonly dir: string
  readonly requests: RestoreRequest[] = []
  /** What it reported, which asks for nothing. */
  readonly notes: RestoredNote[] = []
  #server: Server | undefined

  private constructor(dir: string) {
    this.dir = dir
  }

  /** Compiles the handler for a new folder; the node is used by one test after the other. */
  static async build(): Promise<HandlerNode> {
    const node = new HandlerNode(await mkdtemp(join(tmpdir(), 'clouder-test-')))
    const linked = {
      runc: node.path('runc'),
      criu: node.path('criu'),
      socket: node.path('agent.sock'),
      restoreDir: node.path('restore'),
      markerDir: node.path('markers'),
    }
    const flags = Object.entries(linked).map(([name, value]) => `-X main.${name}=${value}`)
    const environment = {...process.env, CGO_ENABLED: '0', GOFLAGS: '', GOWORK: 'off'}
    await run('go', ['build', '-ldflags', flags.join(' '), '-o', node.path('handler'), '.'], {
      cwd: MODULE,
      env: environment,
    })
    return node
  }

  /** As a node is before its first container. */
  async reset(): Promise<void> {
    await this.#close()
    this.requests.length = 0
    this.notes.length = 0
    for (const name of await readdir(this.dir))
      if (name !== 'handler') await rm(this.path(name), {recursive: true})
    await mkdir(this.path('bundle/rootfs/etc'), {recursive: true})
    await mkdir(this.path('restore/pod/counter/checkpoint'), {recursive: true})
    await this.setRunc('')
    await this.setAnnotations({[RESTORE_ANNOTATION]: 'redis-1'})
  }

  path(name: string): string {
    return join(this.dir, name)
  }

  /** What runc does after it has written down its words. */
  async setRunc(body: string): Promise<void> {
    const record = `for word in "$@"; do printf '%s\\n' "$word"; done >>'${this.path('calls')}'; echo -- >>'${this.path('calls')}'`
    await writeFile(this.path('runc'), `#!/bin/sh\n${record}\n${body}\n`)
    await chmod(this.path('runc'), 0o755)
  }

  /** What CRIU does, whose daemon has a connection on file descriptor 3, and reports on 4 that it is ready. */
  async setCriu(body: string): Promise<void> {
    await writeFile(this.path('criu'), `#!/bin/sh\n${body}\n`)
    await chmod(this.path('criu'), 0o755)
  }

  /** The annotations of the container beside those that containerd gives. */
  async setAnnotations(annotations: Readonly<Record<string, string>>): Promise<void> {
    const cri = {
      'container-type': 'container',
      'container-name': 'counter',
      'sandbox-name': 'traveller',
      'sandbox-namespace': 'default',
      'sandbox-uid': 'uid-1',
    }
    const given = Object.fromEntries(
      Object.entries(cri).map(([name, value]): [string, string] => [`io.kubernetes.cri.${name}`, value]),
    )
    const config = {
      ociVersion: '1.2.0',
      annotations: {...given, ...annotations},
      linux: {},
    }
    await writeFile(this.path('bundle/config.json'), JSON.stringify(config))
  }

  async listen(agent: Agent): Promise<void> {
    const server = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.once('data', (line) => {
        const text: unknown = JSON.parse(line.toString())
        const note = restoredNoteSchema.safeParse(text).data
        if (note !== undefined) {
          this.notes.push(note)
          socket.destroy()
          return
        }
        const request = restoreRequestSchema.parse(text)
        this.requests.push(request)
        const answer = agent(request)
        socket.end(typeof answer === 'string' ? answer : `${JSON.stringify(answer)}\n`)
      })
    })
    await new Promise<void>((resolve) => server.listen(this.path('agent.sock'), resolve))
    this.#server = server
  }

  /** The answer that restores what lies in this node's folder. */
  restoreAnswer(more: Partial<Extract<RestoreAnswer, {action: 'restore'}>> = {}): RestoreAnswer {
    const workDir = this.path('restore/pod/counter')
    return {version: 1, action: 'restore', imageDir: `${workDir}/checkpoint`, workDir, deleted: [], ...more}
  }

  /** `runc create` in the words of containerd's shim. */
  readonly createWords = (...more: readonly string[]): readonly string[] => [
    ...['--root', '/run/runc', '--log', this.path('log.json'), '--log-format', 'json', '--systemd-cgroup'],
    ...['create', '--bundle', this.path('bundle'), '--pid-file', this.path('init.pid'), ...more, 'abc123'],
  ]

  async call(...words: readonly string[]): Promise<Outcome> {
    await rm(this.path('calls'), {force: true})
    const {code, stderr} = await new Promise<{code: number; stderr: string}>((resolve, reject) => {
      const child = this.spawn(...words)
      let text = ''
      child.stderr?.on('data', (chunk: Buffer) => (text += chunk.toString()))
      child.once('error', reject)
      child.once('close', (exitCode) => {
        resolve({code: exitCode ?? -1, stderr: text})
      })
    })
    const calls = (await this.read('calls')).split('--\n').slice(0, -1)
    const last = (await this.read('log.json')).trim().split('\n').at(-1) ?? ''
    const logged = last === '' ? undefined : logSchema.parse(JSON.parse(last))
    return {
      code,
      stderr,
      runc: calls.map((text) => text.split('\n').slice(0, -1)),
      logged: logged?.level === 'error' ? logged.msg : undefined,
    }
  }

  spawn(...words: readonly string[]): ChildProcess {
    return spawn(this.path('handler'), words, {stdio: ['ignore', 'ignore', 'pipe']})
  }

  async read(name: string): Promise<string> {
    return existsSync(this.path(name)) ? readFile(this.path(name), 'utf8') : ''
  }

  async #close(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    if (server !== undefined) await new Promise((resolve) => server.close(resolve))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close()
    await rm(this.dir, {recursive: true, force: true})
  }
}
