import {IamInstanceProfile} from '@cdktf/provider-aws/lib/iam-instance-profile/index.js'
import {IamPolicy} from '@cdktf/provider-aws/lib/iam-policy/index.js'
import {IamRolePolicyAttachment} from '@cdktf/provider-aws/lib/iam-role-policy-attachment/index.js'
import {IamRole} from '@cdktf/provider-aws/lib/iam-role/index.js'
import {add, type Frame, namedWithin, NODE_ROLES, type NodeRole, tagsOf} from './frame.ts'
import {machinesMayAssume, rolePolicies} from './policies.ts'
import {documentOf} from './statements.ts'

/** What machines of a role are in the account. */
export interface Identity {
  readonly profile: string
  readonly roleArn: string
}

/** A role and its instance profile for control planes and for workers, with the policies that each needs. */
export function identitiesOf(frame: Frame, bucketArn: string): Readonly<Record<NodeRole, Identity>> {
  const roles = new Map(NODE_ROLES.map((name) => [name, roleOf(frame, name)]))
  for (const {name, roles: holders, statements} of rolePolicies(frame, bucketArn)) {
    const policy = add(frame, IamPolicy, name, {
      name: regional(128, frame, name),
      policy: documentOf(statements),
      tags: tagsOf(frame, name),
    })
    for (const holder of holders) {
      const role = roles.get(holder)
      if (role === undefined) continue
      add(frame, IamRolePolicyAttachment, `${holder}_${name}`, {role: role.name, policyArn: policy.arn})
    }
  }
  const identity = (name: NodeRole): Identity => {
    const role = roles.get(name) ?? roleOf(frame, name)
    const tags = tagsOf(frame, name)
    const profile = add(frame, IamInstanceProfile, name, {
      name: regional(128, frame, name),
      role: role.name,
      tags,
    })
    return {profile: profile.name, roleArn: role.arn}
  }
  return {'control-plane': identity('control-plane'), worker: identity('worker')}
}

function roleOf(frame: Frame, name: NodeRole): IamRole {
  return add(frame, IamRole, name, {
    name: regional(64, frame, name),
    assumeRolePolicy: machinesMayAssume(frame),
    // Otherwise a policy that somebody attached by hand keeps the role from being deleted.
    forceDetachPolicies: true,
    tags: tagsOf(frame, name),
  })
}

/** Names of IAM hold for all regions of an account, names of clusters for one. */
const regional = (limit: number, frame: Frame, name: string): string =>
  namedWithin(limit, frame, `${frame.region}-${name}`)
