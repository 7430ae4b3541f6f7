import {fromFolder} from '../spec/home-paths.ts'
import {parseSshAddress} from '../spec/ssh-address.ts'
import {ConfigError, type ConfigProblem} from '../base/errors.ts'
import type {JoinHost} from '../workflows/session/types.ts'

export interface JoinFlagValues {
  readonly host: readonly string[]
  readonly name: string | undefined
  readonly key: string | undefined
  readonly pool: string
}

/** `user@address:port` and its flags as hosts to join. Throws ConfigError FLAG_INVALID with every problem. */
export function joinHosts(flags: JoinFlagValues): readonly JoinHost[] {
  const problems: ConfigProblem[] = []
  if (flags.name !== undefined && flags.host.length > 1) {
    problems.push({
      path: '--name',
      value: flags.name,
      problem: `names a single host, but ${flags.host.length} are given`,
    })
  }
  const hosts = flags.host.flatMap((text): readonly JoinHost[] => {
    const parsed = parseSshAddress(text)
    if (parsed === undefined) {
      problems.push({path: '--host', value: text, problem: 'is not [user@]address[:port]'})
      return []
    }
    return [
      {
        address: parsed.address,
        user: parsed.user,
        port: parsed.port,
        name: flags.name,
        keyPath: flags.key === undefined ? undefined : fromFolder(flags.key, process.cwd()),
        pool: flags.pool,
      },
    ]
  })
  if (problems.length > 0)
    throw new ConfigError('FLAG_INVALID', 'the hosts to join are not valid', {problems})
  return hosts
}
