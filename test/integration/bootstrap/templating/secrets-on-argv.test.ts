import {spawnSync} from 'node:child_process'
import {chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {createRenderer} from '../../../../src/bootstrap/templating/render.ts'
import {templatesDir} from '../../../templates/golden.ts'

const KEY = '5ec2e7'.repeat(11).slice(0, 64)
const TOKEN = 'abcdef.0123456789abcdef'
const RENEWED = 'header.renewed.signature'

interface SecretScript {
  readonly template: string
  readonly view: Readonly<Record<string, unknown>>
  readonly secrets: readonly string[]
  /** The program that must get the secrets all the same, by file. */
  readonly reader: string
}

/** Every template that is given a secret and runs programs. */
const scripts: readonly SecretScript[] = [
  {
    template: 'kubeadm/upload-certs.sh',
    view: {certificateKey: KEY},
    secrets: [KEY],
    reader: 'kubeadm',
  },
  {
    template: 'kubeadm/join.sh',
    view: {
      patchesDir: '/etc/kubernetes/clouder/patches',
      files: [],
      discovery: `users:\n- user:\n    token: ${TOKEN}`,
      config: `tlsBootstrapToken: ${TOKEN}\ncertificateKey: ${KEY}`,
      ignored: 'Port-10250',
      proxy: [],
      auditDir: '',
    },
    secrets: [TOKEN, KEY],
    reader: 'kubeadm',
  },
  {
    template: 'byoc/heartbeat.sh',
    view: {
      name: 'mine',
      statusUrl: 'https://api.test/',
      tokenUrl: 'https://api.test/token',
      tokenRequest: '{"kind":"TokenRequest"}',
      ca: 'PEM',
      token: TOKEN,
    },
    // The second one is the answer to a renewal, which is due at once: the first one tells no time.
    secrets: [TOKEN, RENEWED],
    reader: 'curl',
  },
]

const PROGRAMS = [
  'cut',
  'tr',
  'base64',
  'rm',
  'mkdir',
  'cat',
  'dirname',
  'sed',
  'mktemp',
  'date',
  'uname',
  'chmod',
  'mv',
  'sync',
]
const STUBS = ['kubeadm', 'systemctl', 'curl', 'sleep']
/** What programs do beside what every stub does: the API server takes all, and the second pause is the last. */
const ACTS: Readonly<Record<string, string>> = {
  curl: `case "$*" in *TokenRequest*) echo '{"status": {"token": "${RENEWED}"}}';; *) printf 200;; esac\n`,
  sleep: 'if [ -e "$TMPDIR/paused" ]; then kill "$PPID"; fi\n: >"$TMPDIR/paused"\n',
}

/** Runs a script below a folder of its own, and gives what every program that it started was given. */
function commandLines({template, view}: SecretScript): {readonly lines: string; readonly read: string} {
  const dir = mkdtempSync(join(tmpdir(), 'clouder-argv-'))
  try {
    const bin = join(dir, 'bin')
    mkdirSync(bin)
    mkdirSync(join(dir, 'etc/kubernetes/clouder'), {recursive: true})
    writeFileSync(
      join(dir, 'etc/kubernetes/clouder/kubeadm.yaml'),
      'kind: InitConfiguration\n---\nkind: Other\n',
    )
    const log = `printf '%s\\n' "$0 $*" >> ${dir}/argv\n`
    for (const program of PROGRAMS)
      writeFileSync(join(bin, program), `#!/bin/bash\n${log}PATH=/usr/bin:/bin exec ${program} "$@"\n`)
    for (const program of STUBS)
      writeFileSync(
        join(bin, program),
        `#!/bin/bash\n${log}for word in "$@"; do word=\${word#@}; if [ -f "$word" ]; then PATH=/usr/bin:/bin cat "$word" >> ${dir}/read; fi; done\n` +
          (ACTS[program] ?? ''),
      )
    for (const program of [...PROGRAMS, ...STUBS]) chmodSync(join(bin, program), 0o755)
    const text = createRenderer(templatesDir)
      .render(template, view)
      .replaceAll('/etc/kubernetes', `${dir}/etc/kubernetes`)
      .replaceAll('/run/clouder', `${dir}/run/clouder`)
      .replaceAll('/var/lib/kubelet', `${dir}/var/lib/kubelet`)
    const run = spawnSync('/bin/bash', ['-s', join(dir, 'token')], {
      input: text,
      encoding: 'utf8',
      env: {PATH: bin, TMPDIR: dir},
    })
    expect(run.status, run.stderr).toBe(0)
    const readIfThere = (name: string): string =>
      existsSync(join(dir, name)) ? readFileSync(join(dir, name), 'utf8') : ''
    return {lines: readIfThere('argv'), read: readIfThere('read')}
  } finally {
    rmSync(dir, {recursive: true, force: true})
  }
}

for (const script of scripts) {
  test(`${script.template} gives its secrets to ${script.reader} by file, and to nobody on a command line`, () => {
    const {lines, read} = commandLines(script)
    expect(lines).toContain(`/${script.reader} `)
    for (const secret of script.secrets) {
      expect(read).toContain(secret)
      expect(lines).not.toContain(secret)
    }
  })
}
