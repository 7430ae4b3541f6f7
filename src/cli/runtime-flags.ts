import {Flags} from '@oclif/core'
import {ConfigError} from '../base/errors.ts'
import type {RuntimeInput} from '../workflows/runtime/runtime.ts'
import {pairsOf} from './checkpoint-flags.ts'
import {listOf} from './flags.ts'

const many = {multiple: true, multipleNonGreedy: true, delimiter: ','} as const

/** What a runtime is made of. */
export const runtimeFlags = {
  image: Flags.string({description: 'image of the container', env: 'CLOUDER_IMAGE', helpValue: 'IMAGE'}),
  cpu: Flags.string({description: 'CPU request and limit, such as 500m or 2', env: 'CLOUDER_CPU'}),
  memory: Flags.string({
    description: 'memory request and limit, such as 512Mi or 4Gi',
    env: 'CLOUDER_MEMORY',
  }),
  env: Flags.string({
    description:
      'environment variable, as KEY=VALUE; it becomes part of checkpoints, so do not put secrets there',
    env: 'CLOUDER_ENV',
    helpValue: 'KEY=VALUE',
    multiple: true,
    multipleNonGreedy: true,
  }),
  secret: Flags.string({
    ...many,
    description: 'name of a Secret to mount as files below /run/secrets; can be repeated',
    env: 'CLOUDER_SECRET',
    helpValue: 'NAME',
  }),
  volume: Flags.string({
    ...many,
    description: 'volume claim and where to mount it; can be repeated',
    env: 'CLOUDER_VOLUME',
    helpValue: 'CLAIM=PATH',
  }),
  home: Flags.string({description: 'size of the home volume', env: 'CLOUDER_HOME_SIZE'}),
  'home-class': Flags.string({
    description: 'storage class of the home volume; default: the one of the cluster',
    env: 'CLOUDER_HOME_CLASS',
    dependsOn: ['home'],
  }),
  port: Flags.string({
    ...many,
    description: 'port it listens on; can be repeated',
    env: 'CLOUDER_PORT',
    helpValue: 'PORT',
  }),
  placement: Flags.string({
    ...many,
    description: 'label of the nodes that it may run on, such as clouder.dev/pool=big',
    env: 'CLOUDER_PLACEMENT',
    helpValue: 'KEY=VALUE',
  }),
}

export interface RuntimeFlagValues {
  readonly image?: string | undefined
  readonly cpu?: string | undefined
  readonly memory?: string | undefined
  readonly env?: readonly string[] | undefined
  readonly secret?: readonly string[] | undefined
  readonly volume?: readonly string[] | undefined
  readonly home?: string | undefined
  readonly 'home-class'?: string | undefined
  readonly port?: readonly string[] | undefined
  readonly placement?: readonly string[] | undefined
  readonly store: string
}

/** A runtime from flags. Throws ConfigError FLAG_MISSING, FLAG_INVALID. */
export function runtimeOf(flags: RuntimeFlagValues, command: readonly string[]): RuntimeInput {
  const {image, cpu, memory, home, 'home-class': storageClassName} = flags
  if (image === undefined) throw new ConfigError('FLAG_MISSING', '--image is missing')
  const resources = {...(cpu === undefined ? {} : {cpu}), ...(memory === undefined ? {} : {memory})}
  const env = pairsOf(flags.env ?? [], 'env')
  const volumes = Object.entries(pairsOf(listOf(flags.volume), 'volume')).map(([claimName, mountPath]) => ({
    claimName,
    mountPath,
  }))
  const nodeSelector = pairsOf(listOf(flags.placement), 'placement')
  const secrets = listOf(flags.secret)
  const ports = listOf(flags.port).map(portOf)
  return {
    image,
    storeName: flags.store,
    ...(command.length === 0 ? {} : {command: [...command]}),
    ...(Object.keys(resources).length === 0 ? {} : {resources}),
    ...(Object.keys(env).length === 0 ? {} : {env}),
    ...(secrets.length === 0 ? {} : {secretNames: [...secrets]}),
    ...(volumes.length === 0 ? {} : {volumes}),
    ...(home === undefined
      ? {}
      : {home: {size: home, ...(storageClassName === undefined ? {} : {storageClassName})}}),
    ...(ports.length === 0 ? {} : {ports}),
    ...(Object.keys(nodeSelector).length === 0 ? {} : {nodeSelector}),
  }
}

function portOf(text: string): number {
  const port = Number(text)
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port
  throw new ConfigError('FLAG_INVALID', `--port ${JSON.stringify(text)} is not a port, expected 1 to 65535`)
}
