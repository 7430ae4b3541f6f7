// Puts the stacks with what they use of cdktf and the provider bindings (700 MB) into a few files of dist/stacks, so
// that neither has to be installed with the package. Runs after tsc, in place of whose output its own goes.
import {readFile, readdir, rm, writeFile} from 'node:fs/promises'
import {join, relative} from 'node:path'
import {build} from 'esbuild'

const root = join(import.meta.dirname, '..')
const out = join(root, 'dist/stacks')
const source = join(root, 'src')

/** What stacks share with the rest stays one module: its error classes must be the same ones. */
const ownSources = {
  name: 'own-sources',
  setup: ({onResolve}) =>
    onResolve({filter: /^\.{1,2}\/.*\.ts$/}, ({path, resolveDir}) => {
      const inside = relative(source, join(resolveDir, path))
      if (inside.startsWith('..')) return undefined
      return {path: `../src/${inside.replace(/\.ts$/, '.js')}`, external: true}
    }),
}

// What tsc wrote for the parts of a stack is inside the stack now, and pieces of an older bundle are stale.
for (const entry of await readdir(out))
  if (!entry.startsWith('main.')) await rm(join(out, entry), {recursive: true})

const {metafile} = await build({
  absWorkingDir: root,
  entryPoints: ['stacks/aws.ts', 'stacks/azure.ts'],
  outdir: out,
  bundle: true,
  splitting: true,
  chunkNames: 'shared-[hash]',
  format: 'esm',
  platform: 'node',
  target: 'node22',
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: 'none',
  metafile: true,
  logLevel: 'warning',
  plugins: [ownSources],
  // cdktf is CommonJS and requires what belongs to Node.
  banner: {js: "import {createRequire} from 'node:module';const require=createRequire(import.meta.url);"},
})
await writeFile(join(out, 'LICENSES.txt'), await licencesOf(Object.keys(metafile.inputs)))

/** Names, versions and licence texts of every package that something was taken from. */
async function licencesOf(inputs) {
  const folders = new Set(
    inputs.flatMap((path) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? []),
  )
  const parts = [...folders].sort().map(async (folder) => {
    const {name, version, license} = JSON.parse(await readFile(join(root, folder, 'package.json'), 'utf8'))
    const file = (await readdir(join(root, folder))).find((entry) => /^licen[cs]e/i.test(entry))
    const text = file === undefined ? '' : await readFile(join(root, folder, file), 'utf8')
    return `${name} ${version} (${license}), source: https://www.npmjs.com/package/${name}/v/${version}\n\n${text.trim()}\n`
  })
  return (await Promise.all(parts)).join(`\n${'-'.repeat(80)}\n\n`)
}
