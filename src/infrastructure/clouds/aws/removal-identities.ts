import {
  DeleteInstanceProfileCommand,
  DeletePolicyCommand,
  DeletePolicyVersionCommand,
  DeleteRoleCommand,
  DeleteRolePolicyCommand,
  DetachRolePolicyCommand,
  GetInstanceProfileCommand,
  ListAttachedRolePoliciesCommand,
  ListInstanceProfilesForRoleCommand,
  ListPolicyVersionsCommand,
  ListRolePoliciesCommand,
  RemoveRoleFromInstanceProfileCommand,
} from '@aws-sdk/client-iam'
import {type AwsApi, call} from './api.ts'

/** The roles in it stay: they are removed by themselves. */
export async function removeInstanceProfile({iam}: AwsApi, id: string, signal: AbortSignal): Promise<void> {
  const profile = {InstanceProfileName: id}
  const answer = await call('iam:GetInstanceProfile', signal, (options) =>
    iam.send(new GetInstanceProfileCommand(profile), options),
  )
  for (const {RoleName: role} of answer.InstanceProfile?.Roles ?? []) {
    await call('iam:RemoveRoleFromInstanceProfile', signal, (options) =>
      iam.send(new RemoveRoleFromInstanceProfileCommand({...profile, RoleName: role}), options),
    )
  }
  await call('iam:DeleteInstanceProfile', signal, (options) =>
    iam.send(new DeleteInstanceProfileCommand(profile), options),
  )
}

/** With the policies written into it; those that are attached stay. */
export async function removeRole({iam}: AwsApi, id: string, signal: AbortSignal): Promise<void> {
  const role = {RoleName: id}
  const profiles = await call('iam:ListInstanceProfilesForRole', signal, (options) =>
    iam.send(new ListInstanceProfilesForRoleCommand(role), options),
  )
  for (const {InstanceProfileName: profile} of profiles.InstanceProfiles ?? []) {
    await call('iam:RemoveRoleFromInstanceProfile', signal, (options) =>
      iam.send(new RemoveRoleFromInstanceProfileCommand({...role, InstanceProfileName: profile}), options),
    )
  }
  const attached = await call('iam:ListAttachedRolePolicies', signal, (options) =>
    iam.send(new ListAttachedRolePoliciesCommand(role), options),
  )
  for (const {PolicyArn: policy} of attached.AttachedPolicies ?? []) {
    await call('iam:DetachRolePolicy', signal, (options) =>
      iam.send(new DetachRolePolicyCommand({...role, PolicyArn: policy}), options),
    )
  }
  const written = await call('iam:ListRolePolicies', signal, (options) =>
    iam.send(new ListRolePoliciesCommand(role), options),
  )
  for (const policy of written.PolicyNames ?? []) {
    await call('iam:DeleteRolePolicy', signal, (options) =>
      iam.send(new DeleteRolePolicyCommand({...role, PolicyName: policy}), options),
    )
  }
  await call('iam:DeleteRole', signal, (options) => iam.send(new DeleteRoleCommand(role), options))
}

/** With its earlier versions. */
export async function removePolicy({iam}: AwsApi, id: string, signal: AbortSignal): Promise<void> {
  const policy = {PolicyArn: id}
  const versions = await call('iam:ListPolicyVersions', signal, (options) =>
    iam.send(new ListPolicyVersionsCommand(policy), options),
  )
  for (const {VersionId: version, IsDefaultVersion: isDefault} of versions.Versions ?? []) {
    if (isDefault === true) continue
    await call('iam:DeletePolicyVersion', signal, (options) =>
      iam.send(new DeletePolicyVersionCommand({...policy, VersionId: version}), options),
    )
  }
  await call('iam:DeletePolicy', signal, (options) => iam.send(new DeletePolicyCommand(policy), options))
}
