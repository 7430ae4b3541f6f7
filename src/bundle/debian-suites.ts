import {readFile} from 'node:fs/promises'
import {z} from 'zod'
import {readAptSources, type AptSource} from '../base/apt-sources.ts'
import {BundleError} from './errors.ts'

export interface DebianSource extends AptSource {
  /** A mirror's copy of testing can be past the date its Release file is valid until. */
  readonly allowExpired: boolean
}

export type SuiteKind = 'stable' | 'testing'

const osReleaseSchema = z.object({ID: z.literal('debian'), VERSION_CODENAME: z.string().min(1)})

/** The Debian suites to take packages from: the machine's own, or testing on the same mirror. Throws BundleError. */
export async function debianSources(kind: SuiteKind): Promise<readonly DebianSource[]> {
  const codename = await debianCodename()
  const ofDebian = (await readAptSources())
    .filter(
      ({uri, suite, component}) =>
        component === 'main' &&
        (suite.split('-')[0] === codename || suite.split('-')[0] === 'stable') &&
        /\/debian(-security)?\/?$/.test(uri),
    )
    .map((source) => ({...source, allowExpired: false}))
  const base = ofDebian.find(({suite}) => suite === codename || suite === 'stable')
  if (base === undefined) {
    throw new BundleError('BUILD_FAILED', `apt has no source for the main component of Debian ${codename}`, {
      suggestions: ['add the Debian mirror to /etc/apt/sources.list.d', 'apt-get indextargets'],
    })
  }
  return kind === 'stable' ? ofDebian : [{...base, suite: 'testing', allowExpired: true}]
}

async function debianCodename(): Promise<string> {
  const lines = (await readFile('/etc/os-release', 'utf8')).split('\n')
  const values = lines
    .map((line) => line.split('='))
    .map(([name, value]) => [name, value?.replaceAll('"', '')])
  const parsed = osReleaseSchema.safeParse(Object.fromEntries(values))
  if (!parsed.success) {
    throw new BundleError(
      'BUILD_FAILED',
      'CRIU and network tools come from Debian packages, and this machine does not run Debian',
      {
        suggestions: [
          'build the bundle on Debian 12 or 13, then copy it: clouder bundle build --pack bundle.tar.zst',
        ],
      },
    )
  }
  return parsed.data.VERSION_CODENAME
}
