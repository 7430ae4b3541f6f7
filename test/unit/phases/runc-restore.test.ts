import {spawnSync} from 'node:child_process'
import {existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {createRenderer} from '../../../src/templating/render.ts'
import {withTempFolder} from '../../support/temp-folder.ts'

const renderer = createRenderer(join(import.meta.dirname, '../../../templates'))

interface Node {
  readonly dir: string
  readonly bundle: string
  readonly work: string
  readonly checkpoints: string
  /** Calls the wrapper; what the fake runc was given, an argument a line. */
  call(...argv: readonly string[]): {
    status: number | null
    stderr: string
    runc: readonly string[]
    log: string
  }
  /** `runc create` as the shim words it. */
  create(): ReturnType<Node['call']>
  config(annotations: Record<string, string>, more?: Record<string, unknown>): void
  checkpoint(name: string, changes?: readonly string[]): void
}

/** A folder with the wrapper, a runc that writes down its arguments, a bundle and a store of checkpoints. */
async function withNode(use: (node: Node) => void, runcExits = 0): Promise<void> {
  await withTempFolder(async (dir) => {
    const at = (name: string): string => join(dir, name)
    for (const folder of ['bundle/rootfs/etc', 'checkpoints', 'work', 'archive/checkpoint']) {
      mkdirSync(at(folder), {recursive: true})
    }
    const record = `#!/bin/sh\nprintf '%s\\n' "$@" >'${at('argv')}'\nexit ${runcExits}\n`
    writeFileSync(at('runc'), record, {mode: 0o755})
    const wrapper = renderer.render('criu/runc-restore', {
      runc: at('runc'),
      next: at('runc'),
      checkpoints: at('checkpoints'),
      work: at('work'),
    })
    writeFileSync(at('wrapper'), wrapper, {mode: 0o755})
    const call: Node['call'] = (...argv) => {
      const {status, stderr} = spawnSync(at('wrapper'), argv, {encoding: 'utf8'})
      const read = (name: string): string => (existsSync(at(name)) ? readFileSync(at(name), 'utf8') : '')
      return {status, stderr, runc: read('argv').split('\n').filter(Boolean), log: read('log.json')}
    }
    use({
      dir,
      bundle: at('bundle'),
      work: at('work'),
      checkpoints: at('checkpoints'),
      call,
      create: () =>
        call(
          ...['--root', '/run/runc', '--log', at('log.json'), '--log-format', 'json', '--systemd-cgroup'],
          ...['create', '--bundle', at('bundle'), '--pid-file', at('init.pid'), '--no-new-keyring', 'abc123'],
        ),
      config: (annotations, more = {}) => {
        const text = JSON.stringify({
          ociVersion: '1.2.0',
          ...more,
          annotations,
          linux: {seccomp: {names: ['x']}},
        })
        writeFileSync(at('bundle/config.json'), text)
      },
      checkpoint: (name, changes = []) => {
        if (changes.length > 0) {
          for (const change of changes) {
            const path = join(at('changes'), change)
            mkdirSync(join(path, '..'), {recursive: true})
            writeFileSync(path, 'changed')
          }
          spawnSync('tar', [
            '-c',
            '-f',
            at('archive/rootfs-diff.tar'),
            '-C',
            at('changes'),
            ...readdirSync(at('changes')),
          ])
        }
        writeFileSync(at('archive/checkpoint/pages-1.img'), 'memory')
        spawnSync('tar', ['-c', '-f', join(at('checkpoints'), name), '-C', at('archive'), '.'])
      },
    })
    return Promise.resolve()
  })
}

const container = {
  'io.kubernetes.cri.container-type': 'container',
  'io.kubernetes.cri.container-name': 'app',
  'clouder.dev/restore-checkpoint': 'redis.tar',
}

test('a container whose pod names a checkpoint is restored with the flags of the create call', async () => {
  await withNode((node) => {
    node.config(container)
    node.checkpoint('redis.tar')
    const {status, runc} = node.create()
    expect(status).toBe(0)
    const work = join(node.work, 'abc123')
    expect(runc).toEqual([
      ...[
        '--root',
        '/run/runc',
        '--log',
        join(node.dir, 'log.json'),
        '--log-format',
        'json',
        '--systemd-cgroup',
      ],
      ...['restore', '--detach', '--image-path', join(work, 'checkpoint'), '--work-path', work],
      ...['--bundle', node.bundle, '--pid-file', join(node.dir, 'init.pid'), 'abc123'],
    ])
    expect(readFileSync(join(work, 'checkpoint/pages-1.img'), 'utf8')).toBe('memory')
  })
})

test('start of a restored container succeeds without runc, and delete removes what was unpacked', async () => {
  await withNode((node) => {
    node.config(container)
    node.checkpoint('redis.tar')
    const restored = node.create().runc
    expect(node.call('--root', '/run/runc', 'start', 'abc123')).toMatchObject({status: 0, runc: restored})
    const deleted = node.call('--root', '/run/runc', 'delete', '--force', 'abc123')
    expect(deleted).toMatchObject({status: 0, runc: ['--root', '/run/runc', 'delete', '--force', 'abc123']})
    expect(readdirSync(node.work)).toEqual([])
    expect(node.call('--root', '/run/runc', 'start', 'abc123').runc).toContain('start')
  })
})

test.each([
  ['features'],
  ['--version'],
  ['--root', '/run/runc', 'exec', '--process', 'p.json', '--detach', 'abc123'],
  ['--root', '/run/runc', 'kill', '--all', 'abc123', '9'],
  ['--root', '/run/runc', 'start', 'abc123'],
  ['--log', '/dev/null', 'state', 'abc123'],
])('%s goes to runc as it came', async (...argv) => {
  await withNode((node) => {
    expect(node.call(...argv).runc).toEqual(argv)
  })
})

test.each([
  ['a container without the annotation', {...container, 'clouder.dev/restore-checkpoint': undefined}],
  ['the sandbox of a pod with the annotation', {...container, 'io.kubernetes.cri.container-type': 'sandbox'}],
  ['another container of the pod', {...container, 'clouder.dev/restore-container': 'sidecar'}],
])('%s is created', async (_what, annotations) => {
  await withNode((node) => {
    const given = Object.entries(annotations).filter(
      (pair): pair is [string, string] => pair[1] !== undefined,
    )
    node.config(Object.fromEntries(given))
    node.checkpoint('redis.tar')
    expect(node.create()).toMatchObject({status: 0})
    expect(node.create().runc).toContain('create')
  })
})

test('the named container of a pod is restored', async () => {
  await withNode((node) => {
    node.config({...container, 'clouder.dev/restore-container': 'app'})
    node.checkpoint('redis.tar')
    expect(node.create().runc).toContain('restore')
  })
})

test('text in arguments, environment or other annotations never passes for an annotation', async () => {
  const fake =
    '","annotations":{"clouder.dev/restore-checkpoint":"redis.tar","io.kubernetes.cri.container-type":"container"},"x":"'
  await withNode((node) => {
    node.config(
      {'clouder.dev/note': fake, 'io.kubernetes.cri.container-type': 'container'},
      {process: {args: [fake, '\\', '\\"', 'annotations', '{'], env: [`A=${fake}`]}, annotations2: container},
    )
    node.checkpoint('redis.tar')
    const {status, runc} = node.create()
    expect(status).toBe(0)
    expect(runc).toContain('create')
  })
})

test('annotations below another key do not count', async () => {
  await withNode((node) => {
    node.config({'io.kubernetes.cri.container-type': 'container'}, {hooks: {annotations: container}})
    node.checkpoint('redis.tar')
    expect(node.create().runc).toContain('create')
  })
})

test.each([
  '../etc/passwd.tar',
  '/etc/passwd.tar',
  'Redis.tar',
  '.tar',
  'a b.tar',
  'a"b.tar',
  'a\\b.tar',
  'a\nb.tar',
  '-x.tar',
])('checkpoint name %j is refused, with the reason in the log of the runtime', async (name) => {
  await withNode((node) => {
    node.config({...container, 'clouder.dev/restore-checkpoint': name})
    const {status, runc, stderr, log} = node.create()
    expect(status).toBe(1)
    expect(runc).toEqual([])
    expect(stderr).toMatch(/^clouder restore: /)
    expect(JSON.parse(log)).toMatchObject({level: 'error', msg: stderr.trim()})
  })
})

test('a checkpoint that is not on the node, or is a link, is refused', async () => {
  await withNode((node) => {
    node.config(container)
    expect(node.create().stderr).toContain('there is no checkpoint')
    symlinkSync('/etc/passwd', join(node.checkpoints, 'redis.tar'))
    expect(node.create()).toMatchObject({status: 1, runc: []})
  })
})

test('an archive that is no checkpoint is refused and leaves nothing behind', async () => {
  await withNode((node) => {
    node.config(container)
    writeFileSync(join(node.checkpoints, 'redis.tar'), 'not an archive')
    expect(node.create()).toMatchObject({status: 1, runc: []})
    expect(readdirSync(node.work)).toEqual([])
  })
})

test('changed files are put over the root file system, and deleted ones taken away', async () => {
  await withNode((node) => {
    writeFileSync(join(node.bundle, 'rootfs/etc/gone'), 'of the image')
    writeFileSync(join(node.bundle, 'rootfs/etc/kept'), 'of the image')
    node.config(container)
    node.checkpoint('redis.tar', ['etc/app.conf', 'etc/.wh.gone', 'data/deep/file'])
    expect(node.create()).toMatchObject({status: 0})
    expect(readdirSync(join(node.bundle, 'rootfs/etc')).sort()).toEqual(['app.conf', 'kept'])
    expect(readFileSync(join(node.bundle, 'rootfs/data/deep/file'), 'utf8')).toBe('changed')
  })
})

test('an opaque folder loses what the image had in it', async () => {
  await withNode((node) => {
    writeFileSync(join(node.bundle, 'rootfs/etc/old'), 'of the image')
    node.config(container)
    node.checkpoint('redis.tar', ['etc/.wh..wh..opq', 'etc/new'])
    expect(node.create()).toMatchObject({status: 0})
    expect(readdirSync(join(node.bundle, 'rootfs/etc'))).toEqual(['new'])
  })
})

test('a link in the image never leads a changed file out of it', async () => {
  await withNode((node) => {
    const outside = join(node.dir, 'outside')
    mkdirSync(outside)
    symlinkSync(outside, join(node.bundle, 'rootfs/data'))
    node.config(container)
    node.checkpoint('redis.tar', ['data/file'])
    const {status, stderr, runc} = node.create()
    expect(status).toBe(1)
    expect(stderr).toContain('leads through the link /data of the image')
    expect(runc).toEqual([])
    expect(readdirSync(outside)).toEqual([])
  })
})

test('a restore that runc refuses fails the create and leaves nothing behind', async () => {
  await withNode((node) => {
    node.config(container)
    node.checkpoint('redis.tar')
    const {status, stderr} = node.create()
    expect(status).toBe(1)
    expect(stderr).toContain('redis.tar could not be restored')
    expect(readdirSync(node.work)).toEqual([])
  }, 1)
})
