// Puts the programs of the cluster (node agent, controller) with everything they load into one file, which the image
// `clouder` of the bundle holds. Runs after tsc, in place of whose output its own goes.
import {mkdir, rm, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {build} from 'esbuild'
import {licencesOf} from './licences.js'

const root = join(import.meta.dirname, '..')
const out = join(root, 'dist/programs')

await rm(out, {recursive: true, force: true})
await mkdir(out, {recursive: true})
const common = {
  absWorkingDir: root,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node22',
  minify: true,
  // Names of errors and classes are told in logs.
  keepNames: true,
  legalComments: 'none',
  logLevel: 'warning',
}
const threads = await build({...common, entryPoints: ['src/programs/threads.ts'], write: false})
const {metafile} = await build({
  ...common,
  entryPoints: ['src/programs/cluster.ts'],
  outfile: join(out, 'cluster.js'),
  define: {THREADS_SOURCE: JSON.stringify(threads.outputFiles[0].text)},
  metafile: true,
  // Parts of it are CommonJS and require what belongs to Node.
  banner: {
    js: "import {createRequire as requireOf} from 'node:module';import {dirname as folderOf} from 'node:path';import {fileURLToPath as pathOf} from 'node:url';const require=requireOf(import.meta.url),__filename=pathOf(import.meta.url),__dirname=folderOf(__filename);",
  },
})
await writeFile(join(out, 'THIRD-PARTY-NOTICES.txt'), await licencesOf(root, metafile))
