import {expect, test} from 'vitest'
import {z} from 'zod'
import {CLOUD_ADDONS} from '../support/cloud-addons.ts'
import {azureSpec, azureStack} from '../support/azure-stack.ts'
import {elementsOf} from '../support/terraform-schema.ts'
import {awsInput, stackOf} from './aws-input.ts'

const documentSchema = z.looseObject({
  Statement: z.array(z.looseObject({Effect: z.string(), Action: z.array(z.string())})),
})
const KEY = 'arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555'

const aws = awsInput({aws: {sharedFiles: true, kmsKeyId: KEY}})
const azure = azureSpec({sharedFiles: true})

/** What the role of control planes may do on AWS. */
function allowedOnAws(): ReadonlySet<string> {
  const {all} = stackOf(aws)
  const attached = Object.keys(all('aws_iam_role_policy_attachment'))
  const policies = Object.entries(all('aws_iam_policy')).filter(([name]) =>
    attached.includes(`control-plane_${name}`),
  )
  return new Set(
    policies.flatMap(([, {policy}]) =>
      documentSchema
        .parse(JSON.parse(String(policy)))
        .Statement.filter(({Effect}) => Effect === 'Allow')
        .flatMap(({Action}) => Action),
    ),
  )
}

const roleSchema = z.looseObject({permissions: z.array(z.looseObject({actions: z.array(z.string())}))})
const grantSchema = z.looseObject({role_definition_id: z.string(), principal_id: z.string()})

/** What the identity of control planes may do on Azure. */
function allowedOnAzure(): ReadonlySet<string> {
  const elements = elementsOf(azureStack(azure))
  const of = (type: string) => elements.filter((element) => element.type === type)
  const granted = of('azurerm_role_assignment')
    .map(({body}) => grantSchema.parse(body))
    .filter(({principal_id}) => principal_id.includes('azurerm_user_assigned_identity.control-plane.'))
  return new Set(
    of('azurerm_role_definition')
      .filter(({name}) =>
        granted.some(({role_definition_id}) =>
          role_definition_id.includes(`azurerm_role_definition.${name}.`),
        ),
      )
      .flatMap(({body}) => roleSchema.parse(body).permissions.flatMap(({actions}) => actions)),
  )
}

const CLOUDS = {
  aws: {spec: aws.spec, allowed: allowedOnAws()},
  azure: {spec: azure, allowed: allowedOnAzure()},
} as const

const cases = (['aws', 'azure'] as const).flatMap((cloud) =>
  CLOUD_ADDONS[cloud].map((addon) => [addon.id, cloud, addon] as const),
)

test.for(cases)('what %s does on %s is granted to control planes', ([, cloud, addon]) => {
  const {spec, allowed} = CLOUDS[cloud]
  const actions = addon.cloudActions?.(spec) ?? []
  expect(actions.length).toBeGreaterThan(0)
  expect(actions.filter((action) => !allowed.has(action))).toEqual([])
  expect(new Set(actions).size).toBe(actions.length)
})

test('without a key of its own, a cluster needs no right to use one', () => {
  const actions = CLOUD_ADDONS.aws.flatMap((addon) => addon.cloudActions?.(awsInput({}).spec) ?? [])
  expect(actions.filter((action) => action.startsWith('kms:'))).toEqual([])
})
