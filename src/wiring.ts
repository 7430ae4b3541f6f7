import {hostname} from 'node:os'
import {isAbsolute, join} from 'node:path'
import type {Report} from './engine/types.ts'
import type {Redactor} from './hosts/redaction.ts'
import {diskStore} from './store/disk.ts'
import {createRenderer} from './templating/render.ts'
import type {Tools} from './workflows/types.ts'

type Environment = Readonly<Record<string, string | undefined>>

export interface ToolsOptions {
  readonly environment: Environment
  /** The user's home folder. */
  readonly userHome: string
  /** Where clusters are remembered; see `clouderHome`. */
  readonly home: string
  readonly pid: number
  readonly report: Report
  readonly redactor: Redactor
  readonly signal: AbortSignal
  /** Folder of package.json. */
  readonly packageRoot: string
  /** `2026-11-21T09-14-02-init`. */
  readonly run: string
  /** The bundle to use instead of the one in the cache. */
  readonly bundleDir?: string | undefined
}

/** CLOUDER_HOME, or `~/.clouder`. */
export function clouderHome(environment: Environment, userHome: string): string {
  const said = environment.CLOUDER_HOME
  return said === undefined || said === '' ? join(userHome, '.clouder') : said
}

/** `$XDG_CACHE_HOME/clouder`, or `~/.cache/clouder`; a relative XDG_CACHE_HOME is ignored, as its standard says. */
export function cacheDir(environment: Environment, userHome: string): string {
  const said = environment.XDG_CACHE_HOME ?? ''
  return join(isAbsolute(said) ? said : join(userHome, '.cache'), 'clouder')
}

/** The real adapters behind every interface, built once per run. */
export function buildTools(options: ToolsOptions): Tools {
  const now = () => Date.now()
  const missing = (what: string) => () => {
    throw new Error(`${what} is not wired yet`)
  }
  return {
    store: diskStore({home: options.home, now, pid: options.pid, hostname: hostname()}),
    connectorFor: missing('connectorFor'),
    providerFor: missing('providerFor'),
    bundleFor: missing('bundleFor'),
    renderer: createRenderer(join(options.packageRoot, 'templates')),
    report: options.report,
    signal: options.signal,
    now,
    run: options.run,
    userKubeconfig:
      (options.environment.KUBECONFIG ?? '').split(':')[0] || join(options.userHome, '.kube', 'config'),
  }
}
