import {
  GetInstanceProfileCommand,
  ListPolicyTagsCommand,
  ListRoleTagsCommand,
  paginateListInstanceProfiles,
  paginateListPolicies,
  paginateListRoles,
} from '@aws-sdk/client-iam'
import type {OwnedKind, OwnedResource} from '../cloud.ts'
import {type AwsApi, call, gather} from './api.ts'
import {type OwnerOf, type Tags, tagsOf} from './tags.ts'

/** Names that would be too long are cut; this much of the cluster's own name always stays. */
const CLUSTER_PART = 20
const REGION = /\b[a-z]{2}(-gov|-iso[a-z]?)?-(north|south|east|west|central)+-\d\b/

/** IAM knows no regions, so that stacks write theirs into the name: a cluster of the same name elsewhere keeps its own. */
const isOf = (name: string, region: string): boolean => (REGION.exec(name)?.[0] ?? region) === region

interface Candidate {
  readonly kind: OwnedKind
  readonly id: string
  readonly name: string
  readonly createdAt: Date | undefined
  readonly tags: () => Promise<Tags>
}

/**
 * Roles, instance profiles and policies. IAM can list none of them by tag, and tells tags one by one: so those whose
 * name has the cluster's in it are asked, and only the tag decides.
 */
export async function ownedIdentities(
  api: AwsApi,
  cluster: string,
  owner: OwnerOf,
  signal: AbortSignal,
): Promise<readonly OwnedResource[]> {
  const found: OwnedResource[] = []
  for (const candidate of await candidates(api, cluster, signal)) {
    const madeBy = owner(await candidate.tags())
    if (madeBy === undefined) continue
    const {kind, id, name, createdAt} = candidate
    found.push({
      id,
      kind,
      region: 'global',
      name,
      ...(createdAt === undefined ? {} : {createdAt: createdAt.toISOString()}),
      madeBy,
      holdsData: false,
    })
  }
  return found
}

async function candidates(api: AwsApi, cluster: string, signal: AbortSignal): Promise<readonly Candidate[]> {
  const profiles = await gather(
    'iam:ListInstanceProfiles',
    signal,
    paginateListInstanceProfiles({client: api.iam}, {}, {abortSignal: signal}),
    (page) => page.InstanceProfiles,
  )
  const roles = await gather(
    'iam:ListRoles',
    signal,
    paginateListRoles({client: api.iam}, {}, {abortSignal: signal}),
    (page) => page.Roles,
  )
  const policies = await gather(
    'iam:ListPolicies',
    signal,
    paginateListPolicies({client: api.iam}, {Scope: 'Local'}, {abortSignal: signal}),
    (page) => page.Policies,
  )
  const all: readonly Candidate[] = [
    ...profiles.map((profile): Candidate => {
      const name = profile.InstanceProfileName ?? ''
      const tags = async () => {
        const command = new GetInstanceProfileCommand({InstanceProfileName: name})
        const send = 'iam:GetInstanceProfile'
        const answer = await call(send, signal, (options) => api.iam.send(command, options))
        return tagsOf(answer.InstanceProfile?.Tags)
      }
      return {kind: 'instance-profile', id: name, name, createdAt: profile.CreateDate, tags}
    }),
    ...roles.map((role): Candidate => {
      const name = role.RoleName ?? ''
      const tags = async () => {
        const command = new ListRoleTagsCommand({RoleName: name})
        return tagsOf(
          (await call('iam:ListRoleTags', signal, (options) => api.iam.send(command, options))).Tags,
        )
      }
      return {kind: 'role', id: name, name, createdAt: role.CreateDate, tags}
    }),
    ...policies.map((policy): Candidate => {
      const id = policy.Arn ?? ''
      const tags = async () => {
        const command = new ListPolicyTagsCommand({PolicyArn: id})
        return tagsOf(
          (await call('iam:ListPolicyTags', signal, (options) => api.iam.send(command, options))).Tags,
        )
      }
      return {kind: 'policy', id, name: policy.PolicyName ?? id, createdAt: policy.CreateDate, tags}
    }),
  ]
  return all.filter(({name}) => name.includes(cluster.slice(0, CLUSTER_PART)) && isOf(name, api.region))
}
