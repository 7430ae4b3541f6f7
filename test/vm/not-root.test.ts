import {execFile} from 'node:child_process'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {expect, test} from 'vitest'
import {fillWithRuntime, START_RUNTIME} from '../support/vm-runtime.ts'
import {withVm, type Vm} from '../support/with-vm.ts'

const run = promisify(execFile)
const CAP_SYS_RESOURCE = 24n
const SMOKE = join(import.meta.dirname, '../../src/bundle/modules/smoke')

/** The runtime, and a program that draws a token and holds it in memory only. */
async function fill(folder: string): Promise<void> {
  await fillWithRuntime(folder)
  const env = {...process.env, CGO_ENABLED: '0', GOFLAGS: '', GOWORK: 'off'}
  await run('go', ['build', '-o', join(folder, 'smoke'), '.'], {cwd: SMOKE, env})
}

/** Starts a container, ends it with a dump, restores it in the words of clouder's handler; says what it is, before and after. */
const travel = (name: string, flags: string): string => `${START_RUNTIME}
  runc='runc --root /run/containerd/runc/default' images=/var/tmp/images-${name}
  ask() { nsenter -t "$1" -n sh -c "ip link set lo up; curl -sS --retry 60 --retry-connrefused --retry-delay 1 http://127.0.0.1:8080/"; }
  tell() {
    echo "$1 $(ask "$2")"
    sed -n "s/^\\(Uid\\|CapEff\\|CapBnd\\|NoNewPrivs\\|Seccomp\\):\\s*\\([0-9a-f]*\\).*/$1 \\1=\\2/p" "/proc/$2/status"
  }
  mkdir "/var/tmp/root-${name}" "$images"
  cp /mnt/tools/smoke "/var/tmp/root-${name}/"
  ctr run --detach ${flags} --rootfs "/var/tmp/root-${name}" ${name} /smoke serve :8080 1
  pid=$(ctr task ls | awk '$1 == "${name}" {print $2}')
  tell before "$pid"
  $runc checkpoint --image-path "$images" --work-path "$images" ${name} || { grep -a Error "$images/dump.log" >&2; exit 1; }
  for _ in $(seq 300); do [ -e "/proc/$pid" ] || break; sleep 0.2; done
  [ ! -e "/proc/$pid" ]
  # The restored process keeps what is open here: the end of the SSH session would wait for it.
  $runc restore --detach --image-path "$images" --work-path "$images" --pid-file "$images.pid" \\
    --bundle /run/containerd/io.containerd.runtime.v2.task/default/${name} ${name}-restored < /dev/null > /dev/null 2> "$images.said" ||
    { grep -a Error "$images/restore.log" >&2; exit 1; }
  tell after "$(cat "$images.pid")"`

const ALL =
  'CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE'
/** What the profile `restricted` of Pod Security demands of a pod; containerd adds the rest by itself. */
const restricted = [
  '--user 65534:65534 --seccomp',
  ...ALL.split(' ').map((name) => `--cap-drop CAP_${name}`),
].join(' ')

interface Told {
  readonly token: string
  readonly count: number
  readonly status: Readonly<Record<string, string>>
}

function toldOf(output: string, when: 'before' | 'after'): Told {
  const lines = output.split('\n').filter((line) => line.startsWith(`${when} `))
  const [, token = '', count = ''] = /token=([0-9a-f]+) count=(\d+)/.exec(lines.join('\n')) ?? []
  const status = lines.flatMap((line) => {
    const [, name, value] = /^\w+ (\w+)=([0-9a-f]+)$/.exec(line) ?? []
    return name === undefined || value === undefined ? [] : [[name, value] as const]
  })
  return {token, count: Number(count), status: Object.fromEntries(status)}
}

async function expectGoesOn(vm: Vm, name: string, flags: string): Promise<Told> {
  const output = await vm.read(travel(name, flags))
  const [before, after] = [toldOf(output, 'before'), toldOf(output, 'after')]
  expect(before.token, output).toMatch(/^[0-9a-f]{16,}$/)
  expect(after.token, output).toBe(before.token)
  expect(after.count, output).toBeGreaterThanOrEqual(before.count)
  expect(after.status, output).toEqual(before.status)
  return after
}

test('processes that are not root, and restricted ones, go on from memory where root has CAP_SYS_RESOURCE', () =>
  withVm(fill, async (vm) => {
    const machine = await vm.read(
      '. /etc/os-release; echo "$ID $VERSION_ID, Linux $(uname -r), $(stat -fc %T /sys/fs/cgroup)"; sed -n "s/^CapBnd:\\s*//p" /proc/self/status',
    )
    const [, system = '', capabilities = '0'] = /^(.+)\n([0-9a-f]+)\n$/.exec(machine) ?? []
    expect(system).toMatch(/^debian 13, Linux 6\S+, cgroup2fs$/)
    expect((BigInt(`0x${capabilities}`) >> CAP_SYS_RESOURCE) & 1n).toBe(1n)
    const plain = await expectGoesOn(vm, 'plain', '--user 1000:1000 --allow-new-privs')
    expect(plain.status).toMatchObject({Uid: '1000', NoNewPrivs: '0', Seccomp: '0'})
    const confined = await expectGoesOn(vm, 'restricted', restricted)
    const none = '0'.repeat(16)
    expect(confined.status).toEqual({Uid: '65534', CapEff: none, CapBnd: none, NoNewPrivs: '1', Seccomp: '2'})
  }))
