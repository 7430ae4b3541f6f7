import {execFile} from 'node:child_process'
import {promisify} from 'node:util'
import {beforeAll, expect, test} from 'vitest'
import {addonImages, addonTools} from '../../../src/bundle/addon-catalogue.ts'
import {toolOf} from '../../../src/bundle/contents.ts'
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
}

/** Made here; the others are taken as their authors publish them. */
const BUILT = addonImages().filter(({recipe}) => !('published' in recipe))

/** What shows per image that its programs start: a library or a tool that is missing fails here. */
const STARTS: Readonly<Record<string, readonly Start[]>> = {
  'aws-cloud-provider': [{argv: ['/bin/aws-cloud-controller-manager', '--version'], prints: /v1\.35\.3/}],
  'local-path-provisioner': [
    {argv: ['/usr/bin/local-path-provisioner', '--version'], prints: /version v0\.0\.30/},
  ],
  'metrics-server': [{argv: ['/metrics-server', '--version'], prints: /^v0\.9\.0/m}],
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
  for (const {argv, prints} of STARTS[name] ?? []) {
    const {stdout, stderr} = await run('chroot', [folder.dir, ...argv], {env: {PATH: '/usr/sbin:/usr/bin'}})
    expect(`${stdout}${stderr}`).toMatch(prints)
  }
})

test('helm of the bundle runs from the cache', async () => {
  const [pinned] = addonTools()
  const path = await toolOf(bundle, 'helm', {cacheDir: userCacheDir, signal})
  const {stdout} = await run(path, ['version', '--short'])
  expect(stdout).toContain(`v${pinned?.version ?? 'absent'}`)
})
