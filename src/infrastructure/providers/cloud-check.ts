import type {Cloud, CloudProblem} from '../clouds/cloud.ts'
import {InfrastructureError} from '../errors.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import {wantedOf} from './terraform-input.ts'

/** What the cloud would refuse half-way is told before anything is made. Throws InfrastructureError with every problem. */
export async function checkCloud(spec: ClusterSpec, cloud: Cloud, signal: AbortSignal): Promise<void> {
  const problems = await cloud.check(wantedOf(spec, {}), signal)
  const [first] = problems
  if (first !== undefined) throw refusal(first, problems)
}

/** Every problem that was found, the first one's code. */
function refusal(first: CloudProblem, problems: readonly CloudProblem[]): InfrastructureError {
  const message = problems.map((problem) => problem.message).join('; ')
  return new InfrastructureError(first.code, message, {
    suggestions: [...new Set(problems.map(({suggestion}) => suggestion))],
  })
}
