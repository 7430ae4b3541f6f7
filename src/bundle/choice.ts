import type {Report} from '../base/run-events.ts'
import {BundleError} from './errors.ts'
import {catalogueHash} from './catalogue-hash.ts'
import {catalogueFor} from './catalogue.ts'
import {bundleDir, loadBundle} from './load.ts'
import {useProxyOf} from './proxy.ts'
import {archSchema, type Bundle} from './types.ts'

/** What a run says about where its bundle comes from. */
export interface BundleChoice {
  /** The bundle to use instead of the one in the cache: its folder, or its `.tar.zst`. */
  readonly given?: string
  readonly cacheDir: string
  /** Folder of package.json. */
  readonly packageRoot: string
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly report: Report
}

/**
 * The bundle for a version and an architecture: the one that is given, else the cache's, which is built when it is absent
 * or of another clouder. Throws BundleError, or what building throws.
 */
export async function bundleFor(
  kubernetes: string,
  arch: string,
  signal: AbortSignal,
  choice: BundleChoice,
): Promise<Bundle> {
  const known = archSchema.safeParse(arch)
  if (!known.success)
    throw new BundleError('BUNDLE_MISSING', `there is no bundle for the architecture ${arch}`)
  if (choice.given !== undefined) {
    const bundle = await givenBundle(choice.given, {kubernetes, arch}, signal, choice)
    // One that was carried here may be damaged; what clouder built itself was verified when it was built.
    const {verifyBundle} = await import('./verify.ts')
    await verifyBundle(bundle, {references: [], signal})
    return bundle
  }
  const {cacheDir, packageRoot, environment, report} = choice
  const dir = bundleDir(cacheDir, kubernetes, known.data)
  try {
    const bundle = await loadBundle(dir)
    if (bundle.lock.catalogueHash === (await catalogueHash(kubernetes, packageRoot))) return bundle
  } catch (error) {
    // In the cache an unreadable one is only stale: it is built anew.
    if (!(error instanceof BundleError)) throw error
  }
  await useProxyOf(environment)
  const {buildBundle} = await import('./build.ts')
  return buildBundle({
    kubernetes,
    arch: known.data,
    source: 'auto',
    dir,
    cacheDir,
    packageRoot,
    report,
    signal,
    environment,
  })
}

/** The bundle that --bundle names; it must be for what is asked. */
async function givenBundle(
  path: string,
  wanted: {kubernetes: string; arch?: string},
  signal: AbortSignal,
  {cacheDir}: BundleChoice,
): Promise<Bundle> {
  const {openBundle} = await import('./archive.ts')
  const bundle = await openBundle(path, cacheDir, signal)
  const {kubernetes, arch} = bundle.lock
  if (kubernetes === wanted.kubernetes && arch === (wanted.arch ?? arch)) return bundle
  const asked = [wanted.kubernetes, ...(wanted.arch === undefined ? [] : [wanted.arch])].join(' for ')
  throw new BundleError(
    'VERSION_NOT_IN_BUNDLE',
    `the bundle in ${path} contains Kubernetes ${kubernetes} for ${arch}, not ${asked}`,
    {
      suggestions: [
        `use its version: --kubernetes ${kubernetes}`,
        `clouder bundle build --kubernetes ${wanted.kubernetes}`,
      ],
    },
  )
}

/** Throws BundleError VERSION_NOT_IN_BUNDLE for a version that the bundle to be used cannot have. */
export async function checkKubernetesVersion(
  version: string,
  signal: AbortSignal,
  choice: BundleChoice,
): Promise<void> {
  if (choice.given === undefined) catalogueFor(version)
  else await givenBundle(choice.given, {kubernetes: version}, signal, choice)
}
