import {execFile} from 'node:child_process'
import {chmod, mkdir} from 'node:fs/promises'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {beforeAll, expect, test} from 'vitest'
import {addonImages, addonManifests, addonTools} from '../../../src/bundle/addon-catalogue.ts'
import {manifestsOf, toolOf} from '../../../src/bundle/contents.ts'
import type {Bundle} from '../../../src/bundle/types.ts'
import {buildRealBundle, COLD_BUILD_MS, unpackImage, userCacheDir} from '../../support/real-bundle.ts'
import {temporaryFolder} from '../../support/tiny-bundle.ts'

const run = promisify(execFile)
const {signal} = new AbortController()
const isRoot = process.getuid?.() === 0

let bundle: Bundle

beforeAll(async () => {
  bundle = await buildRealBundle('1.35.4', signal)
}, COLD_BUILD_MS)

interface Start {
  readonly argv: readonly [string, ...string[]]
  readonly prints: RegExp
  /** Default: root. */
  readonly user?: string
}

/** Made here; the others are taken as their authors publish them. */
const BUILT = addonImages().filter(({recipe}) => !('published' in recipe))
const BIN = '/usr/lib/postgresql/18/bin'
const SQL = 'CREATE EXTENSION pgcrypto; SELECT count(*) FROM generate_series(1, 3);'

/** Makes a database, loads an extension into it, and asks it. */
const DATABASE = [
  `${BIN}/initdb --pgdata=/data/db --locale=C.UTF-8 --encoding=UTF8 -c dynamic_shared_memory_type=mmap`,
  `echo "${SQL}" | ${BIN}/postgres --single -j -D /data/db postgres`,
].join(' && ')

/** What shows per image that its programs start: a library or a tool that is missing fails here. */
const STARTS: Readonly<Record<string, readonly Start[]>> = {
  'aws-cloud-provider': [{argv: ['/bin/aws-cloud-controller-manager', '--version'], prints: /v1\.35\.3/}],
  'kube-router': [
    {argv: ['/usr/local/bin/kube-router', '--version'], prints: /version v2\.1\.0/},
    {argv: ['ipset', '--version'], prints: /ipset v7/},
    {argv: ['iptables-restore', '--version'], prints: /nf_tables/},
    {argv: ['ip', '-V'], prints: /iproute2/},
  ],
  'local-path-provisioner': [
    {argv: ['/usr/bin/local-path-provisioner', '--version'], prints: /version v0\.0\.30/},
  ],
  'metrics-server': [{argv: ['/metrics-server', '--version'], prints: /^v0\.9\.0/m}],
  ...Object.fromEntries(
    ['controller', 'webhook', 'cainjector', 'acmesolver'].map((name) => [
      `cert-manager-${name}`,
      [{argv: [`/app/cmd/${name}/${name}`, '--version'], prints: /^v1\.21\.2$/m, user: '65532:65532'}],
    ]),
  ),
  traefik: [{argv: ['/usr/local/bin/traefik', 'version'], prints: /^Version: +3\.6\.12$/m}],
  'metallb-controller': [{argv: ['/controller', '-help'], prints: /-webhook-mode/}],
  'metallb-speaker': [{argv: ['/speaker', '-help'], prints: /-ml-bindaddr/}],
  prometheus: [{argv: ['/bin/prometheus', '--version'], prints: /version 3\./, user: '65534:65534'}],
  alertmanager: [{argv: ['/bin/alertmanager', '--version'], prints: /version 0\./, user: '65534:65534'}],
  'node-exporter': [{argv: ['/bin/node_exporter', '--version'], prints: /version 1\./, user: '65534:65534'}],
  nats: [{argv: ['/usr/sbin/nats-server', '--version'], prints: /v2\./, user: '65534:65534'}],
  postgresql: [
    {
      argv: ['/bin/sh', '-c', DATABASE],
      prints: /count = "3"/,
      user: '999:999',
    },
  ],
  shell: [{argv: ['/bin/sh', '-c', 'mkdir -m 0777 -p /a/b && ls /a && rm -rf /a'], prints: /^b$/m}],
}

test('every image of addons is started here', () => {
  expect(Object.keys(STARTS).sort()).toEqual(BUILT.map(({name}) => name).sort())
})

test.for(BUILT.map(({name}) => name))('the programs of the image %s start', async (name, context) => {
  if (!isRoot) {
    if (process.env['CLOUDER_REQUIRE_E2E'] === '1') throw new Error('chroot needs root')
    context.skip('chroot needs root')
  }
  await using folder = await temporaryFolder()
  await unpackImage(bundle, name, folder.dir)
  await chmod(folder.dir, 0o755)
  await mkdir(join(folder.dir, 'dev'), {recursive: true})
  await mkdir(join(folder.dir, 'data'))
  await chmod(join(folder.dir, 'data'), 0o777)
  // The devices are gone with the namespace, also when the program is killed.
  const inside = 'mount --rbind /dev "$0/dev" && exec chroot --userspec="$@"'
  for (const {argv, prints, user = '0:0'} of STARTS[name] ?? []) {
    const command = ['--mount', 'sh', '-c', inside, folder.dir, user, folder.dir, ...argv]
    const {stdout, stderr} = await run('unshare', command, {env: {PATH: '/usr/sbin:/usr/bin:/sbin:/bin'}})
    expect(`${stdout}${stderr}`).toMatch(prints)
  }
})

test('helm of the bundle runs from the cache', async () => {
  const [pinned] = addonTools()
  const path = await toolOf(bundle, 'helm', {cacheDir: userCacheDir, signal})
  const {stdout} = await run(path, ['version', '--short'])
  expect(stdout).toContain(`v${pinned?.version ?? 'absent'}`)
})

/** A definition that is among those of each entry. */
const DEFINITIONS = {
  'cert-manager-crds': 'certificates.cert-manager.io',
  'gateway-api-crds': 'httproutes.gateway.networking.k8s.io',
  'traefik-crds': 'ingressroutes.traefik.io',
  'metallb-crds': 'ipaddresspools.metallb.io',
  'volume-snapshot-crds': 'volumesnapshots.snapshot.storage.k8s.io',
}

test('every entry of manifests is looked at here', () => {
  const names = Object.keys(DEFINITIONS).sort()
  expect(
    addonManifests()
      .map(({name}) => name)
      .sort(),
  ).toEqual(names)
  expect(bundle.lock.manifests.map(({name}) => name).sort()).toEqual(names)
})

test.each(Object.entries(DEFINITIONS))(
  '%s has the definition of %s, and no other kind',
  async (name, definition) => {
    const objects = await manifestsOf(bundle, name)
    expect(objects.map(({metadata}) => metadata.name)).toContain(definition)
    expect(new Set(objects.map(({kind}) => kind))).toEqual(new Set(['CustomResourceDefinition']))
    expect(objects[0]).toHaveProperty('spec.versions')
  },
)
