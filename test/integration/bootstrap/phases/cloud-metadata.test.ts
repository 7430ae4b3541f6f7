import {execFile, spawn} from 'node:child_process'
import {promisify} from 'node:util'
import {expect, test} from 'vitest'
import {metadataFiles, metadataRules} from '../../../../src/bootstrap/phases/cloud-metadata.ts'
import {waitFor} from '../../../../src/base/waiting.ts'
import {specOf} from '../../../support/local-cluster.ts'
import {renderer} from '../../../support/phase-context.ts'

const run = promisify(execFile)
const ip = (...words: string[]) => run('ip', words)
const ID = `clm${process.pid}`
const [pod, node, cloud] = ['pod', 'node', 'cloud'].map((name) => `${ID}-${name}`)

/** A pod behind a node that forwards for it, and a metadata service beyond the node: three network namespaces. */
async function network(): Promise<AsyncDisposable> {
  const spaces = [pod, node, cloud].flatMap((name) => name ?? [])
  const inside = (space: string | undefined, ...words: string[]) => ip('-n', space ?? '', ...words)
  for (const name of spaces) {
    await ip('netns', 'add', name)
    await inside(name, 'link', 'set', 'lo', 'up')
  }
  const link = async (left = '', right = '', [from = '', to = '']: readonly string[]) => {
    await ip(
      'link',
      'add',
      'name',
      'down0',
      'netns',
      left,
      'type',
      'veth',
      'peer',
      'name',
      'up0',
      'netns',
      right,
    )
    await inside(left, 'address', 'add', from, 'dev', 'down0')
    await inside(right, 'address', 'add', to, 'dev', 'up0')
    await inside(left, 'link', 'set', 'down0', 'up')
    await inside(right, 'link', 'set', 'up0', 'up')
  }
  await link(pod, node, ['10.244.0.2/24', '10.244.0.1/24'])
  await link(node, cloud, ['10.0.0.2/24', '10.0.0.1/24'])
  for (const address of ['169.254.169.254/32', '168.63.129.16/32'])
    await inside(cloud, 'address', 'add', address, 'dev', 'lo')
  await inside(pod, 'route', 'add', 'default', 'via', '10.244.0.1')
  await inside(node, 'route', 'add', 'default', 'via', '10.0.0.1')
  await inside(cloud, 'route', 'add', '10.244.0.0/24', 'via', '10.0.0.2')
  await ip('netns', 'exec', node ?? '', 'sysctl', '-q', '-w', 'net.ipv4.ip_forward=1')
  const script = `import http.server,threading,socketserver
class H(http.server.BaseHTTPRequestHandler):
  def do_GET(self): self.send_response(200); self.end_headers(); self.wfile.write(b'role')
  def log_message(self,*a): pass
for p in (80,32526,53): threading.Thread(target=socketserver.ThreadingTCPServer(('',p),H).serve_forever).start()`
  const server = spawn('ip', ['netns', 'exec', cloud ?? '', 'python3', '-c', script], {stdio: 'ignore'})
  return {
    async [Symbol.asyncDispose]() {
      server.kill('SIGKILL')
      for (const name of spaces) await ip('netns', 'delete', name)
    },
  }
}

async function reaches(space: string | undefined, address: string): Promise<boolean> {
  const words = ['netns', 'exec', space ?? '', 'curl', '-s', '--max-time', '5', `http://${address}/`]
  return ip(...words).then(
    ({stdout}) => stdout === 'role',
    () => false,
  )
}

/** What the unit does when it starts or stops, as systemd would: `-` before a command means that it may fail. */
async function unit(kind: 'aws' | 'azure', what: 'ExecStart' | 'ExecStop'): Promise<void> {
  const files = metadataFiles(metadataRules(specOf('demo', {provider: {kind}})), renderer)
  const lines = (files[0]?.content ?? '').split('\n').filter((line) => line.startsWith(`${what}=`))
  expect(lines.length).toBeGreaterThan(0)
  for (const line of lines) {
    const command = line.slice(what.length + 1)
    const words = command.replace(/^-/, '').split(' ')
    await ip('netns', 'exec', node ?? '', ...words).catch((error: unknown) => {
      if (!command.startsWith('-')) throw error
    })
  }
}

test('pods do not reach the metadata service, the node and its programs do, and all else is as before', async () => {
  await using _network = await network()
  await waitFor({
    what: 'the metadata service to answer',
    check: async () => ((await reaches(node, '169.254.169.254')) ? {value: true, seen: ''} : {seen: 'no'}),
    timeoutMs: 20_000,
    intervalMs: 100,
    signal: AbortSignal.timeout(25_000),
  })
  expect(await reaches(pod, '169.254.169.254')).toBe(true)
  for (const kind of ['aws', 'azure'] as const) {
    await unit(kind, 'ExecStart')
    // As after a restart of networkd.
    await unit(kind, 'ExecStart')
    expect(await reaches(pod, '169.254.169.254'), kind).toBe(false)
    expect(await reaches(node, '169.254.169.254'), kind).toBe(true)
    expect(await reaches(pod, '168.63.129.16'), kind).toBe(kind === 'aws')
    expect(await reaches(pod, '168.63.129.16:32526'), kind).toBe(kind === 'aws')
    // The name server of Azure has the same address.
    expect(await reaches(pod, '168.63.129.16:53'), kind).toBe(true)
    expect(await reaches(node, '168.63.129.16'), kind).toBe(true)
    await unit(kind, 'ExecStop')
    expect(await reaches(pod, '169.254.169.254'), kind).toBe(true)
  }
})
