import {existsSync} from 'node:fs'
import {join} from 'node:path'
import {isAtLeast} from '../base/versions.ts'
import {BundleError} from './errors.ts'
import type {ProgramRecipe} from './catalogue-items.ts'
import type {DebianPackage} from './debian.ts'
import {digestFile} from './digest.ts'
import {writeImage, writeLayer} from './oci.ts'
import type {Layer} from './oci.ts'
import type {ProducedImage, SourceContext} from './source.ts'

// What package.json asks for: zstd is in node:zlib from here on.
const OLDEST_NODE = '22.15'

/** Hex sha256 of a program of clouder's own build. Throws BundleError BUILD_FAILED when it was not built. */
export async function programDigest({program}: ProgramRecipe, context: SourceContext): Promise<string> {
  const path = join(context.packageRoot, program)
  if (!existsSync(path)) {
    throw new BundleError(
      'BUILD_FAILED',
      `${path} does not exist: the programs of the cluster are not built`,
      {
        suggestions: ['npm run build'],
      },
    )
  }
  return (await digestFile(path, context.signal)).sha256
}

/** An image of the program over a layer with Node.js. */
export async function programImage(
  recipe: ProgramRecipe,
  base: Layer,
  blobDir: string,
  {packageRoot, arch, signal}: SourceContext,
): Promise<Pick<ProducedImage, 'manifest' | 'blobs'>> {
  const own = await writeLayer(
    [
      {path: recipe.path, file: join(packageRoot, recipe.program), mode: 0o644},
      {path: join(recipe.path, '..', 'package.json'), text: '{"type":"module"}\n', mode: 0o644},
      {path: 'etc/passwd', text: PASSWD, mode: 0o644},
      {path: 'etc/group', text: GROUP, mode: 0o644},
    ],
    blobDir,
    'clouder',
    signal,
  )
  return writeImage([base, own], {arch, entrypoint: recipe.entrypoint, command: []}, blobDir)
}

/** Version of Node.js among the packages. Throws BundleError BUILD_FAILED when it is too old. */
export function nodeVersion(packages: readonly DebianPackage[]): string {
  const version = packages.find(({name}) => name === 'nodejs')?.version ?? 'absent'
  if (isAtLeast(version, OLDEST_NODE)) return version
  throw new BundleError(
    'BUILD_FAILED',
    `the package nodejs is ${version}, ${OLDEST_NODE} or newer is required`,
  )
}

// The controller runs as the second.
const PASSWD = 'root:x:0:0:root:/:/sbin/nologin\nclouder:x:65532:65532:clouder:/tmp:/sbin/nologin\n'
const GROUP = 'root:x:0:\nclouder:x:65532:\n'
