import {join} from 'node:path'
import {parse, stringify} from 'yaml'
import {z} from 'zod'
import {StateError, TimeoutError} from '../base/errors.ts'
import {contextSchema} from '../spec/context.ts'
import {waitFor} from '../base/waiting.ts'
import {readIfThere, writeAtomically} from '../base/files.ts'
import {acquireLock, type LockOptions} from './lock.ts'
import {isClusterName} from './names.ts'
import {problemsOf} from './record.ts'

const VERSION = 1
const versionSchema = z.looseObject({version: z.int()})

const homeConfigSchema = z
  .strictObject({
    version: z.literal(VERSION).default(VERSION),
    defaultCluster: z.string().refine(isClusterName, 'is not a DNS label').optional(),
    currentContext: z.string().optional(),
    contexts: z.record(z.string().refine(isClusterName, 'is not a DNS label'), contextSchema).default({}),
  })
  .refine(({currentContext: name, contexts}) => name === undefined || contexts[name] !== undefined, {
    path: ['currentContext'],
    message: 'is not one of the contexts',
  })

/** What clouder itself is set to on this machine: `clouder.yaml` in its home folder. */
export type HomeConfig = Readonly<z.output<typeof homeConfigSchema>>

/** Throws StateError RECORD_INVALID, RECORD_NEWER. */
export async function readHomeConfig(home: string): Promise<HomeConfig> {
  const path = homeConfigPath(home)
  const text = await readIfThere(path)
  const document = text === undefined ? {} : (parseYaml(text, path) ?? {})
  const version = versionSchema.safeParse(document).data?.version
  if (version !== undefined && version > VERSION) {
    throw new StateError(
      'RECORD_NEWER',
      `${path} has version ${version}, this clouder supports versions up to ${VERSION}`,
      {suggestions: ['use the clouder that wrote it, or a newer one: npm install -g clouder@latest']},
    )
  }
  return checked(document, path)
}

/** Whose home folder it is, and which process changes it. */
export interface HomeOptions extends Pick<LockOptions, 'now' | 'pid' | 'hostname' | 'identify'> {
  /** `~/.clouder`, or what CLOUDER_HOME says. */
  readonly home: string
}

const lockTimeoutMs = 10_000
const lockIntervalMs = 20

/**
 * Replaces it as a whole, mode 0600, one process after the other. Throws StateError LOCKED, …; nothing is written that
 * could not be read again.
 */
export async function changeHomeConfig(
  options: HomeOptions,
  change: (config: HomeConfig) => HomeConfig,
): Promise<HomeConfig> {
  await using _lock = await lockHome(options)
  const {home} = options
  const next = checked(change(await readHomeConfig(home)), homeConfigPath(home))
  await writeAtomically(homeConfigPath(home), stringify(next))
  return next
}

/** A change takes milliseconds, so whoever makes one is waited for. */
async function lockHome(options: HomeOptions): Promise<AsyncDisposable> {
  let refusal: StateError | undefined
  try {
    return await waitFor({
      what: `another clouder to finish writing ${homeConfigPath(options.home)}`,
      check: async () => {
        try {
          const what = homeConfigPath(options.home)
          return {value: await acquireLock({...options, dir: options.home, what, command: 'ctx'}), seen: ''}
        } catch (error) {
          if (!(error instanceof StateError) || error.code !== 'LOCKED') throw error
          refusal = error
          return {seen: error.message}
        }
      },
      timeoutMs: lockTimeoutMs,
      intervalMs: lockIntervalMs,
      signal: new AbortController().signal,
    })
  } catch (error) {
    throw error instanceof TimeoutError && refusal !== undefined ? refusal : error
  }
}

function homeConfigPath(home: string): string {
  return join(home, 'clouder.yaml')
}

function checked(document: unknown, path: string): HomeConfig {
  const config = homeConfigSchema.safeParse(document)
  if (!config.success) throw invalidHomeConfig(path, problemsOf(config.error))
  return config.data
}

function parseYaml(text: string, path: string): unknown {
  try {
    return parse(text)
  } catch (error) {
    const [firstLine = ''] = String(error instanceof Error ? error.message : error).split('\n')
    throw invalidHomeConfig(path, firstLine, error)
  }
}

function invalidHomeConfig(path: string, problem: string, cause?: unknown): StateError {
  return new StateError('RECORD_INVALID', `${path} is not clouder's own configuration: ${problem}`, {
    cause,
    suggestions: [
      `move it aside: mv ${path} ${path}.broken`,
      'then set cluster and context again: clouder kubeadm set-default NAME; clouder ctx set NAME',
    ],
  })
}
