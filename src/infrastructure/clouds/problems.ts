import {overlaps, parseCidr} from '../../base/cidr.ts'
import type {CloudProblem, WantedMachines} from './cloud.ts'

/** Sizes that are not offered in the region, or not in the zones that are meant. `list`: the command that lists them. */
export function sizeProblems(
  machines: readonly WantedMachines[],
  zonesBySize: ReadonlyMap<string, readonly string[]>,
  {region, list}: {readonly region: string; readonly list: string},
): readonly CloudProblem[] {
  const problems = machines.flatMap(({size, zones}): readonly CloudProblem[] => {
    const offered = zonesBySize.get(size)
    if (offered === undefined) {
      const message = `machine size ${size} is not offered in ${region}`
      return [{code: 'SIZE_NOT_OFFERED', message, suggestion: `list the available ones: ${list}`}]
    }
    const without = zones.filter((zone) => !offered.includes(zone))
    if (without.length === 0) return []
    return [
      {
        code: 'SIZE_NOT_OFFERED',
        message: `machine size ${size} is not offered in zone ${without.join(', ')}`,
        suggestion: `zones of ${region} that have ${size}: ${offered.length === 0 ? 'none' : offered.join(', ')}`,
      },
    ]
  })
  return [...new Map(problems.map((problem) => [problem.message, problem])).values()]
}

/** Networks of the cluster that overlap with those of the network it is to be built in. */
export function overlapProblems(
  ours: readonly string[],
  theirs: readonly string[],
  where: string,
): readonly CloudProblem[] {
  const parsed = theirs.map(parseCidr).filter((cidr) => cidr !== undefined)
  return ours.flatMap((text): readonly CloudProblem[] => {
    const own = parseCidr(text)
    if (own === undefined || !parsed.some((cidr) => overlaps(own, cidr))) return []
    return [
      {
        code: 'NETWORK_OVERLAP',
        message: `${text} overlaps with ${where} (${theirs.join(', ')})`,
        suggestion: 'choose other spec.network.podCidr and spec.network.serviceCidr',
      },
    ]
  })
}
