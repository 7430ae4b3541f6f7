import {join} from 'node:path'
import {format, resolveConfig} from 'prettier'
import {expect, test} from 'vitest'
import {expectGoldenFile} from '../templates/golden.ts'
import {computeRules} from '../support/azure-rules/compute.ts'
import {networkRules} from '../support/azure-rules/network.ts'
import {type AzureRule, brokenRules, Found} from '../support/azure-rules/rule.ts'
import {storageRules} from '../support/azure-rules/storage.ts'
import {azureStack, richSpec} from '../support/azure-stack.ts'
import {elementsOf} from '../support/terraform-schema.ts'

const rules = [...networkRules, ...computeRules, ...storageRules]
const elements = elementsOf(azureStack(richSpec()))

for (const one of rules) {
  test(`${one.resource}: ${one.rule}`, () => {
    expect(brokenRules(new Found(elements), [one])).toEqual([])
    expect(brokenRules(new Found(withBroken(one)), [one])).not.toEqual([])
  })
}

/** The same configuration with one resource that breaks the rule. */
function withBroken({resource, broken, where = () => true}: AzureRule) {
  const index = elements.findIndex(
    ({kind, type, body}) => kind === 'resource' && type === resource && where(body),
  )
  return elements.map((element, at) => (at === index ? {...element, body: broken(element.body)} : element))
}

test('every resource of the stack has its rules in the table', () => {
  // What Terraform has itself has no rules of Azure.
  const used = new Set(
    elements.filter(({kind, type}) => kind === 'resource' && type !== 'terraform_data').map(({type}) => type),
  )
  expect([...used].filter((type) => !rules.some(({resource}) => resource === type))).toEqual([])
})

test('docs/azure-rules.md lists every rule with its test', async () => {
  const path = join(import.meta.dirname, '../../docs/azure-rules.md')
  expectGoldenFile(path, await format(page(), {...(await resolveConfig(path)), parser: 'markdown'}))
})

function page(): string {
  const resources = [...new Set(rules.map(({resource}) => resource))]
  const tables = resources.flatMap((resource) => [
    `## \`${resource}\``,
    '',
    '| rule | refused by |',
    '| --- | --- |',
    ...rules.filter((one) => one.resource === resource).map((one) => `| ${one.rule} | ${one.refusedBy} |`),
    '',
  ])
  return [...INTRODUCTION, ...tables].join('\n')
}

const INTRODUCTION = [
  '# What the schema of the Azure provider does not say',
  '',
  'Every argument of every resource of the stack is checked against the schema that the provider prints. The schema does not hold the combinations below: the provider refuses them while it plans (`plan`) or while it applies (`apply`), or Azure does.',
  '',
  'The test of a rule has the name `<resource>: <rule>` and stands in `test/stacks/azure-rules.test.ts`. It holds the stack against the rule, and the rule against a stack that breaks it. `test/stacks/azure-properties.test.ts` holds random specs against all of them. This page is generated: `UPDATE_GOLDEN=1 npx vitest run --project stacks test/stacks/azure-rules.test.ts`.',
  '',
  '## What must be there before the first apply',
  '',
  '| what | otherwise Azure refuses | how to see to it |',
  '| --- | --- | --- |',
  '| the feature EncryptionAtHost of the subscription | every machine | `az feature register --namespace Microsoft.Compute --name EncryptionAtHost` |',
  '| sizes that have encryption at host, in the location and the zones | the machine | `az vm list-skus --location westeurope --size Standard_D2s_v5` |',
  '| the right to define and assign roles in the resource group | the identities of nodes | the role Owner, or Contributor with User Access Administrator |',
  '| the endpoint Microsoft.Storage on a subnet that is brought | the storage account | `az network vnet subnet update --ids SUBNET --service-endpoints Microsoft.Storage` |',
  '| a way out of a subnet that is brought | nothing, but nodes of private mode reach no registry | a NAT gateway, or a route to a firewall |',
  '| sizes that boot images of generation 2, as all since the third version with premium disks do | the machine | `az vm list-skus --location westeurope --size Standard_D2s_v5`, HyperVGenerations |',
  '| the subnet of the jump host in the same virtual network as that of the nodes | the rule by which nodes admit it | `bastionSubnetId` of a subnet beside it |',
  '| a firewall on a subnet that is brought lets through what the nodes need | nothing, but nodes do not find each other | the ports of kubeadm inside the subnet, 22 and 6443 from administrators |',
  '| a resource group without machines of the same names | the machine | one cluster per resource group: machines are called as their nodes are |',
  "| read access of the control planes' identity to a disk encryption set | volumes of the Disk CSI driver with that key | `az role assignment create --role Reader --scope SET --assignee-object-id IDENTITY` |",
  '',
]
