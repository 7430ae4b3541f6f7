import {readFile} from 'node:fs/promises'
import {z} from 'zod'
import {BundleError} from '../errors.ts'
import {runProcess} from './process.ts'
import type {SourceContext} from './source.ts'

/** A suite of a Debian mirror. */
export interface AptSource {
  readonly uri: string
  readonly suite: string
  readonly component: string
  /** A mirror's copy of testing can be past the date its Release file is valid until. */
  readonly allowExpired: boolean
}

export type SuiteKind = 'stable' | 'testing'

const osReleaseSchema = z.object({ID: z.literal('debian'), VERSION_CODENAME: z.string().min(1)})

/** The Debian suites to take packages from: the machine's own, or testing on the same mirror. Throws BundleError. */
export async function debianSources(kind: SuiteKind, context: SourceContext): Promise<readonly AptSource[]> {
  const codename = await debianCodename()
  const targets = await configuredTargets(context)
  const ofDebian = targets.filter(
    ({uri, suite, component}) =>
      component === 'main' &&
      (suite.split('-')[0] === codename || suite.split('-')[0] === 'stable') &&
      /\/debian(-security)?\/?$/.test(uri),
  )
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
      'CRIU and network tools are taken from Debian packages, and this machine is not Debian',
      {
        suggestions: [
          'build the bundle on Debian 12 or 13, then copy it: clouder bundle build --pack bundle.tar.zst',
        ],
      },
    )
  }
  return parsed.data.VERSION_CODENAME
}

/** What /etc/apt configures, as apt itself understands it. */
async function configuredTargets(context: SourceContext): Promise<readonly AptSource[]> {
  const output = await runProcess(
    [
      'apt-get',
      'indextargets',
      '--no-release-info',
      '--format',
      '$(CREATED_BY) $(REPO_URI) $(RELEASE) $(COMPONENT)',
    ],
    {cwd: context.workDir, environment: context.environment, signal: context.signal},
  )
  const lines = new Set(output.split('\n').filter((line) => line.startsWith('Packages ')))
  return [...lines].map((line) => {
    const [, uri = '', suite = '', component = ''] = line.split(' ')
    return {uri, suite, component, allowExpired: false}
  })
}
