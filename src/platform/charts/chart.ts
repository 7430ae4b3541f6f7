import {createHash} from 'node:crypto'
import {mkdir, mkdtemp, readdir, readFile, rm, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {PlatformError} from '../errors.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import {parseObjects} from './documents.ts'
import {splitHooks, type SplitHooks} from './helm-hooks.ts'
import {runProgram} from './program.ts'

export interface ChartSource {
  /** Folder or archive of a chart; else it is remote. */
  readonly path?: string | undefined
  readonly repository?: string | undefined
  readonly name?: string | undefined
  readonly oci?: string | undefined
  readonly version?: string | undefined
  readonly digest?: string | undefined
}

export interface ChartTools {
  /** Path of the helm that renders. */
  readonly helm: string
  /** For folders that only this user reads. */
  readonly temporaryDir: string
  /** What helm gets besides, for repositories behind a proxy: HTTPS_PROXY, SSL_CERT_FILE. */
  readonly environment: Readonly<Record<string, string>>
  readonly signal: AbortSignal
  /** Takes values of Secrets out of what helm reports. */
  readonly redact: (text: string) => string
}

export interface ChartRequest {
  readonly chart: ChartSource
  readonly release: string
  readonly namespace: string
  /** With values of Secrets in them: written to a file of this user alone, and removed with it. */
  readonly values: unknown
  /** `1.35.4`. */
  readonly kubeVersion: string
  /** `apps/v1`, `apps/v1/Deployment`. */
  readonly apiVersions: readonly string[]
}

export type RenderedChart = SplitHooks & {
  /** Name and version as the chart has them. */
  readonly version: string
}

/**
 * The objects of a chart, rendered by helm without a cluster. A remote chart is fetched, and refused where its archive has
 * another digest. Throws PlatformError CHART_INVALID, CHART_DIGEST_WRONG.
 */
export async function renderChart(request: ChartRequest, tools: ChartTools): Promise<RenderedChart> {
  const {chart, namespace, values, release, kubeVersion, apiVersions} = request
  // mkdtemp makes it for this user alone.
  const dir = await mkdtemp(join(tools.temporaryDir, 'clouder-chart-'))
  try {
    const path = chart.path ?? (await fetchChart(chart, dir, tools))
    const what = `cannot render chart ${describeChart(chart)}`
    const valuesFile = join(dir, 'values.json')
    await writeFile(valuesFile, JSON.stringify(values), {mode: 0o600})
    const helm = (args: readonly string[]): Promise<string> =>
      runProgram({
        program: tools.helm,
        args,
        environment: helmEnvironment(dir, tools),
        signal: tools.signal,
        code: 'CHART_INVALID',
        what,
        redact: tools.redact,
      })
    const [text, shown] = await Promise.all([
      helm([
        ...['template', release, path, '--namespace', namespace, '--values', valuesFile],
        ...['--include-crds', '--kube-version', kubeVersion],
        ...apiVersions.flatMap((version) => ['--api-versions', version]),
      ]),
      helm(['show', 'chart', path]),
    ])
    const {objects, problems} = parseObjects(text)
    const [problem] = problems
    if (problem !== undefined) {
      throw new PlatformError(
        'CHART_INVALID',
        `${what}: ${tools.redact(`${problem.place} ${problem.problem}`)}`,
      )
    }
    return {...splitHooks(objects.map(withoutEmptyNamespace)), version: versionOf(shown)}
  } finally {
    await rm(dir, {recursive: true, force: true})
  }
}

/** Charts that write `namespace:` and nothing behind it leave it to helm. */
function withoutEmptyNamespace(object: KubeObject): KubeObject {
  const {namespace, ...metadata} = object.metadata
  return namespace === '' ? {...object, metadata} : object
}

export const describeChart = ({path, repository, name, oci, version}: ChartSource): string =>
  path ?? `${oci ?? `${name ?? ''} of ${repository ?? ''}`} ${version ?? ''}`

/** Nothing of the user's own helm: neither plugins, nor repositories, nor another driver. */
const helmEnvironment = (dir: string, {environment}: ChartTools): Readonly<Record<string, string>> => ({
  ...environment,
  HOME: dir,
  HELM_CACHE_HOME: join(dir, 'cache'),
  HELM_CONFIG_HOME: join(dir, 'config'),
  HELM_DATA_HOME: join(dir, 'data'),
})

async function fetchChart(chart: ChartSource, dir: string, tools: ChartTools): Promise<string> {
  const {oci, repository = '', name = '', version = '', digest = ''} = chart
  const to = join(dir, 'fetched')
  await mkdir(to, {mode: 0o700})
  const from = oci === undefined ? [name, '--repo', repository] : [oci]
  await runProgram({
    program: tools.helm,
    args: ['pull', ...from, '--version', version, '--destination', to],
    environment: helmEnvironment(dir, tools),
    signal: tools.signal,
    code: 'CHART_INVALID',
    what: `cannot fetch chart ${describeChart(chart)}`,
  })
  const [file] = (await readdir(to)).filter((entry) => entry.endsWith('.tgz'))
  if (file === undefined) {
    throw new PlatformError('CHART_INVALID', `helm fetched no archive of chart ${describeChart(chart)}`)
  }
  const archive = join(to, file)
  const found = `sha256:${createHash('sha256')
    .update(await readFile(archive))
    .digest('hex')}`
  if (found === digest) return archive
  throw new PlatformError(
    'CHART_DIGEST_WRONG',
    `the archive of chart ${describeChart(chart)} has digest ${found}, expected ${digest}`,
    {suggestions: ['check where it comes from; only then set digest to the one that was found']},
  )
}

function versionOf(chartYaml: string): string {
  const field = (key: string): string =>
    new RegExp(`^${key}:\\s*["']?([^"'\\s#]+)`, 'm').exec(chartYaml)?.[1] ?? ''
  return `${field('name')}-${field('version')}`
}
