// Writes src and stacks to dist, file by file. Packages that they import and that package.json does not name as
// dependencies (the SDKs of the clouds, cdktf with its bindings: more than a gigabyte) are written into the importing
// files and, where several share them, into dist/libraries, without the parts that nobody uses: none is installed.
// Our own files stay modules of their own: an error class is one class, whoever imports it. Types are checked by tsc.
import {glob, readFile, rm, writeFile} from 'node:fs/promises'
import {isBuiltin} from 'node:module'
import {join} from 'node:path'
import {build} from 'esbuild'
import {licencesOf} from './licences.js'

const root = join(import.meta.dirname, '..')
const out = join(root, 'dist')
const {dependencies} = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
const installed = Object.keys(dependencies)

const isBundled = (path) =>
  !path.startsWith('.') &&
  !isBuiltin(path) &&
  !installed.some((name) => path === name || path.startsWith(`${name}/`))

const ownFiles = {
  name: 'own-files',
  setup: ({onResolve}) =>
    onResolve({filter: /^\.{1,2}\/.*\.ts$/}, ({path, kind}) =>
      kind === 'entry-point' ? undefined : {path: path.replace(/\.ts$/, '.js'), external: true},
    ),
}

const options = {
  absWorkingDir: root,
  outbase: root,
  outdir: out,
  bundle: true,
  format: 'esm',
  platform: 'node',
  // Of CommonJS, which the packages of AWS name first, nothing can be left out.
  mainFields: ['module', 'main'],
  target: 'node22',
  legalComments: 'none',
  logLevel: 'warning',
  metafile: true,
  plugins: [ownFiles],
}

// What an older build left would be packed too.
for (const name of ['src', 'stacks', 'libraries', 'help.txt'])
  await rm(join(out, name), {recursive: true, force: true})

// Programs of the cluster are one file, by bundle-programs.js.
const files = await Array.fromAsync(glob('{src,stacks}/**/*.ts', {cwd: root, exclude: ['src/programs/**']}))
const entryPoints = files.map((path) => `./${path}`)
const plain = await build({...options, entryPoints, packages: 'external'})

const {metafile} = await build({
  ...options,
  entryPoints: Object.values(plain.metafile.outputs)
    .filter(({imports}) => imports.some(({path}) => isBundled(path)))
    .map(({entryPoint}) => `./${entryPoint}`),
  external: installed,
  allowOverwrite: true,
  splitting: true,
  chunkNames: 'libraries/[name]-[hash]',
  minifySyntax: true,
  minifyWhitespace: true,
  // Errors and clients are told apart by their names.
  keepNames: true,
  // Parts are CommonJS and require what belongs to Node.
  banner: {
    js: "import {createRequire as requireOf} from 'node:module';const require=requireOf(import.meta.url);",
  },
})
await writeFile(join(out, 'libraries/THIRD-PARTY-NOTICES.txt'), await licencesOf(root, metafile))
