import {execFile} from 'node:child_process'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {expect, test} from 'vitest'
import {packageRoot} from '../../support/cli.ts'
import {withTempFolder} from '../../support/temp-folder.ts'

/** Tells on standard error of each module of the package that reads the kubeconfigs of others, and of those of clouder. */
const HOOK = `import {registerHooks} from 'node:module'
registerHooks({resolve: (name, context, next) => {
  const found = next(name, context)
  if (found.url.includes('@kubernetes/client-node') || found.url.includes('/src/kubernetes/'))
    process.stderr.write('loads ' + found.url + '\\n')
  return found
}})`

async function loadedBy(argv: readonly string[]): Promise<readonly string[]> {
  return withTempFolder(async (home) => {
    const hook = `data:text/javascript,${encodeURIComponent(HOOK)}`
    const options = {cwd: packageRoot, env: {PATH: process.env.PATH, CLOUDER_HOME: home}}
    const {stderr} = await promisify(execFile)(process.execPath, ['--import', hook, ...argv], options)
    return [...stderr.matchAll(/^loads (.*)$/gm)].map(([, url = '']) => url)
  })
}

const imports = (file: string) => [
  ...['--import', 'tsx', '--input-type=module', '-e'],
  `await import(${JSON.stringify(join(packageRoot, file))})`,
]

for (const words of ['--help', 'kubeadm ls']) {
  test(`clouder ${words} does not load what reads the kubeconfigs of others`, async () => {
    const loaded = await loadedBy(['bin/dev.js', ...words.split(' ')])
    expect(loaded.filter((url) => url.includes('client-node'))).toEqual([])
  })
}

test('it is loaded with the first of them, not with the client', async () => {
  const [client, foreign, identity] = await Promise.all([
    loadedBy(imports('src/kubernetes/client.ts')),
    loadedBy(imports('src/kubernetes/foreign.ts')),
    loadedBy(imports('src/kubernetes/foreign-identity.ts')),
  ])
  for (const loaded of [client, foreign]) {
    expect(loaded.some((url) => url.endsWith('/src/kubernetes/transport.ts'))).toBe(true)
    expect(loaded.filter((url) => url.includes('client-node'))).toEqual([])
  }
  expect(identity.some((url) => url.endsWith('client-node/dist/config.js'))).toBe(true)
})
