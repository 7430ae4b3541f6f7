import {Flags} from '@oclif/core'
import {ConfigError} from '../base/errors.ts'
import type {PolicySpec} from '../workflows/checkpoint/move.ts'
import {pairsOf, retentionFlags, retentionOf, secondsOf, storeFlag} from './checkpoint-flags.ts'
import {listOf} from './flags.ts'

/** When a policy acts, and on which pods. */
export const policyFlags = {
  selector: Flags.string({
    description: 'label of the pods, as KEY=VALUE; can be repeated',
    env: 'CLOUDER_SELECTOR',
    multiple: true,
    multipleNonGreedy: true,
    delimiter: ',',
    helpValue: 'KEY=VALUE',
  }),
  cron: Flags.string({
    description: 'schedule, in the five fields of cron',
    env: 'CLOUDER_CRON',
    helpValue: "'0 3 * * *'",
  }),
  'time-zone': Flags.string({
    description: 'time zone of --cron, such as Europe/Berlin; default: UTC',
    env: 'CLOUDER_TIME_ZONE',
    helpValue: 'ZONE',
  }),
  'idle-cpu': Flags.string({
    description: 'checkpoint a pod that uses less CPU than this, such as 10m',
    env: 'CLOUDER_IDLE_CPU',
    dependsOn: ['idle-for'],
  }),
  'idle-for': Flags.string({
    description: 'how long it must stay below --idle-cpu, such as 30m',
    env: 'CLOUDER_IDLE_FOR',
    dependsOn: ['idle-cpu'],
    helpValue: 'DURATION',
  }),
  'idle-stop': Flags.boolean({
    description: 'delete an idle pod when its checkpoint is verified',
    env: 'CLOUDER_IDLE_STOP',
    dependsOn: ['idle-cpu'],
  }),
  'on-drain': Flags.boolean({
    description: 'move a pod when its node is drained with --checkpoint',
    env: 'CLOUDER_ON_DRAIN',
  }),
  'on-interruption': Flags.boolean({
    description: 'checkpoint a pod when the cloud reclaims its spot machine',
    env: 'CLOUDER_ON_INTERRUPTION',
  }),
  ...retentionFlags,
  ...storeFlag,
  suspend: Flags.boolean({description: 'keep the policy, but do not act on it', env: 'CLOUDER_SUSPEND'}),
}

export interface PolicyFlags {
  readonly selector?: readonly string[] | undefined
  readonly cron?: string | undefined
  readonly 'time-zone'?: string | undefined
  readonly 'idle-cpu'?: string | undefined
  readonly 'idle-for'?: string | undefined
  readonly 'idle-stop'?: boolean
  readonly 'on-drain'?: boolean
  readonly 'on-interruption'?: boolean
  readonly 'keep-last'?: number | undefined
  readonly 'max-age'?: string | undefined
  readonly store: string
  readonly suspend?: boolean
}

/** A policy from flags. Throws ConfigError FLAG_MISSING when it would select nothing or never act, FLAG_INVALID. */
export function policyOf(flags: PolicyFlags): PolicySpec {
  const labels = pairsOf(listOf(flags.selector), 'selector')
  if (Object.keys(labels).length === 0) {
    throw new ConfigError(
      'FLAG_MISSING',
      '--selector is missing: the labels of the pods that the policy applies to',
      {
        suggestions: ['--selector app=web'],
      },
    )
  }
  const {cron, 'time-zone': timeZone, 'idle-cpu': cpu, 'idle-for': idleFor} = flags
  const durationSeconds = idleFor === undefined ? undefined : secondsOf(idleFor, 'idle-for')
  if (cpu !== undefined && !/^\d+(\.\d+)?m?$/.test(cpu)) {
    const wanted = 'expected an amount of CPU such as 10m or 0.5'
    throw new ConfigError('FLAG_INVALID', `--idle-cpu ${JSON.stringify(cpu)} is not a quantity, ${wanted}`)
  }
  const acts = cron ?? cpu ?? (flags['on-drain'] === true || flags['on-interruption'] === true || undefined)
  if (acts === undefined) {
    throw new ConfigError('FLAG_MISSING', 'the policy has no trigger', {
      suggestions: ["--cron '0 3 * * *'", '--idle-cpu 10m --idle-for 30m', '--on-drain', '--on-interruption'],
    })
  }
  const retention = retentionOf(flags)
  return {
    selector: {matchLabels: labels},
    storeName: flags.store,
    ...(cron === undefined ? {} : {schedule: cron}),
    ...(timeZone === undefined ? {} : {timeZone}),
    ...(cpu === undefined || durationSeconds === undefined
      ? {}
      : {idle: {cpu, durationSeconds, podPolicy: flags['idle-stop'] === true ? 'Delete' : 'Resume'}}),
    ...(flags['on-drain'] === true ? {migrateOnDrain: true} : {}),
    ...(flags['on-interruption'] === true ? {checkpointOnInterruption: true} : {}),
    ...(retention === undefined ? {} : {retention}),
    ...(flags.suspend === true ? {suspend: true} : {}),
  }
}
