import type {Frame} from './frame.ts'

export type Condition = Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>

/** One statement of a policy, in the words of IAM. */
export interface Statement {
  readonly Sid: string
  readonly Effect: 'Allow' | 'Deny'
  readonly Principal?: unknown
  readonly Action: readonly string[]
  readonly Resource: string | readonly string[]
  readonly Condition?: Condition
}

/** For look-ups, most of which know no limit by resource. */
export const EVERYTHING = '*'

/** The document as IAM takes it; references inside it are left to Terraform. */
export function documentOf(statements: readonly Statement[]): string {
  return JSON.stringify({Version: '2012-10-17', Statement: statements})
}

export const allow = (
  Sid: string,
  Action: readonly string[],
  Resource: string | readonly string[],
  Condition?: Condition,
): Statement => ({Sid, Effect: 'Allow', Action, Resource, ...(Condition === undefined ? {} : {Condition})})

/** ARN of resources of the region, of whichever account the role belongs to. */
export const arn = ({partition, region}: Frame, service: string, resource: string): string =>
  `arn:${partition}:${service}:${region}:*:${resource}`

const ownedTag = ({spec}: Frame): string => `kubernetes.io/cluster/${spec.name}`
/** Limits an action to resources with the tag of the cluster. */
export const onOwned = (frame: Frame): Condition => ({
  StringEquals: {[`aws:ResourceTag/${ownedTag(frame)}`]: 'owned'},
})
/** Limits an action to making resources that get the tag of the cluster at once. */
export const madeAsOwned = (frame: Frame): Condition => ({
  StringEquals: {[`aws:RequestTag/${ownedTag(frame)}`]: 'owned'},
})
