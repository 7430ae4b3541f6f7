// Puts the stacks with what they use of cdktf and the provider bindings (700 MB) into a few files of dist/stacks, so
// that neither has to be installed with the package. Runs after tsc, in place of whose output its own goes.
import {readdir, rm, writeFile} from 'node:fs/promises'
import {join, relative} from 'node:path'
import {build} from 'esbuild'
import {licencesOf} from './licences.js'

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
await writeFile(join(out, 'LICENSES.txt'), await licencesOf(root, Object.keys(metafile.inputs)))
