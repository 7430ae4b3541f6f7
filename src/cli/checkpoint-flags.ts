import {Args, Flags} from '@oclif/core'
import {ConfigError} from '../base/errors.ts'

const DURATION = /^\d+(s|m|h|d)$/

export const podArgument = {
  pod: Args.string({description: 'the pod, as NAMESPACE/POD; without a namespace it is in `default`'}),
}
export const checkpointArgument = {
  checkpoint: Args.string({
    description: 'the checkpoint, as NAMESPACE/NAME; without a namespace it is in `default`',
  }),
}

export const runtimeArgument = {
  runtime: Args.string({
    description: 'the runtime, as NAMESPACE/NAME; without a namespace it is in `default`',
  }),
}

export const waitFlag = {
  wait: Flags.boolean({
    description: 'wait until it is finished; --no-wait returns at once',
    env: 'CLOUDER_WAIT',
    default: true,
    allowNo: true,
  }),
}

export const storeFlag = {
  store: Flags.string({
    description: 'name of the CheckpointStore to store it in',
    env: 'CLOUDER_STORE',
    default: 'default',
    helpValue: 'STORE',
  }),
}

export const namespaceFlag = {
  namespace: Flags.string({
    char: 'n',
    description: 'only in this namespace; default: all',
    env: 'CLOUDER_NAMESPACE',
    helpValue: 'NAMESPACE',
  }),
}

export const retentionFlags = {
  'keep-last': Flags.integer({
    description: 'number of newest checkpoints to keep of each pod',
    env: 'CLOUDER_KEEP_LAST',
    min: 1,
  }),
  'max-age': Flags.string({
    description: 'age after which checkpoints are deleted, such as 7d',
    env: 'CLOUDER_MAX_AGE',
    helpValue: 'DURATION',
  }),
}

/** `NAMESPACE/NAME`, or a name of namespace `default`. Throws ConfigError FLAG_MISSING, FLAG_INVALID. */
export function placeOf(
  text: string | undefined,
  what: 'pod' | 'checkpoint' | 'policy' | 'runtime',
): {namespace: string; name: string} {
  const [namespace, name, more] = partsOf(text, what)
  if (namespace === undefined || more !== undefined || name === '')
    throw badPlace(text ?? '', what, 'NAMESPACE/NAME')
  return name === undefined ? {namespace: 'default', name: namespace} : {namespace, name}
}

/** `NAMESPACE/POD[/CONTAINER]`, or a pod of namespace `default`. */
export function podOf(text: string | undefined): {namespace: string; pod: string; container?: string} {
  const [first, second, container, more] = partsOf(text, 'pod')
  if (first === undefined || more !== undefined || second === '' || container === '')
    throw badPlace(text ?? '', 'pod', 'NAMESPACE/POD or NAMESPACE/POD/CONTAINER')
  if (second === undefined) return {namespace: 'default', pod: first}
  return {namespace: first, pod: second, ...(container === undefined ? {} : {container})}
}

function partsOf(text: string | undefined, what: string): readonly string[] {
  if (text === undefined || text === '') {
    throw new ConfigError('FLAG_MISSING', `no ${what} given`, {
      suggestions: [`name the ${what}, as NAMESPACE/NAME`],
    })
  }
  const parts = text.split('/')
  const bad = parts.find((part) => !/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(part))
  if (bad !== undefined) throw badPlace(text, what, 'NAMESPACE/NAME, in lower case letters, digits and -')
  return parts
}

function badPlace(text: string, what: string, wanted: string): ConfigError {
  return new ConfigError(
    'FLAG_INVALID',
    `${JSON.stringify(text)} is not a valid ${what} name, expected ${wanted}`,
  )
}

/** A name without a namespace: of a node, a host, a runtime. */
export function needName(text: string | undefined, what: string): string {
  if (text !== undefined && text !== '') return text
  throw new ConfigError('FLAG_MISSING', `no ${what} given`, {suggestions: [`name the ${what}`]})
}

/** `10m` in milliseconds. Throws ConfigError FLAG_INVALID. */
export function durationMs(text: string, flag: string): number {
  if (!DURATION.test(text))
    throw new ConfigError(
      'FLAG_INVALID',
      `--${flag} ${JSON.stringify(text)} is not a duration, expected for example 30s, 10m, 2h or 7d`,
    )
  const unitMs = {s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000}
  const unit = text.slice(-1)
  return Number(text.slice(0, -1)) * (unit === 's' || unit === 'm' || unit === 'h' ? unitMs[unit] : unitMs.d)
}

/** `10m` in seconds, as the API has durations. Throws ConfigError FLAG_INVALID. */
export const secondsOf = (text: string, flag: string): number => durationMs(text, flag) / 1000

/** `KEY=VALUE` pairs. Throws ConfigError FLAG_INVALID. */
export function pairsOf(texts: readonly string[], flag: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    texts.map((text) => {
      const at = text.indexOf('=')
      if (at > 0) return [text.slice(0, at), text.slice(at + 1)]
      throw new ConfigError('FLAG_INVALID', `--${flag} ${JSON.stringify(text)} is not KEY=VALUE`)
    }),
  )
}

export interface RetentionFlags {
  readonly 'keep-last'?: number | undefined
  readonly 'max-age'?: string | undefined
  readonly 'max-bytes'?: number | undefined
}

/** What flags say of keeping; undefined: nothing. Throws ConfigError FLAG_INVALID. */
export function retentionOf(
  flags: RetentionFlags,
): {keepLast?: number; maxAgeSeconds?: number; maxBytes?: number} | undefined {
  const {'keep-last': keepLast, 'max-age': maxAge, 'max-bytes': maxBytes} = flags
  if (keepLast === undefined && maxAge === undefined && maxBytes === undefined) return undefined
  return {
    ...(keepLast === undefined ? {} : {keepLast}),
    ...(maxAge === undefined ? {} : {maxAgeSeconds: secondsOf(maxAge, 'max-age')}),
    ...(maxBytes === undefined ? {} : {maxBytes}),
  }
}
