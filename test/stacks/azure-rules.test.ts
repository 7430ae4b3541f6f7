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
  '# What the schema of the Azure provider does not check',
  '',
  'Tests check every argument of every resource of the stack against the schema that the provider prints. The schema does not contain the rules below. The provider enforces them while it plans (`plan`) or applies (`apply`), or Azure does.',
  '',
  'The test of a rule is named `<resource>: <rule>` and is in `test/stacks/azure-rules.test.ts`. It checks that the stack follows the rule, and that a stack that breaks the rule is detected. `test/stacks/azure-properties.test.ts` checks random specs against all rules. This page is generated: `UPDATE_GOLDEN=1 npx vitest run --project stacks test/stacks/azure-rules.test.ts`.',
  '',
  '## Requirements before the first apply',
  '',
  '| requirement | otherwise Azure refuses | how to meet it |',
  '| --- | --- | --- |',
  "| the subscription's feature EncryptionAtHost | every machine | `az feature register --namespace Microsoft.Compute --name EncryptionAtHost` |",
  '| sizes with encryption at host in the location and zones | the machine | `az vm list-skus --location westeurope --size Standard_D2s_v5` |',
  '| permission to define and assign roles in the resource group | the identities of nodes | the role Owner, or Contributor with User Access Administrator |',
  '| the service endpoint Microsoft.Storage on an existing subnet | the storage account | `az network vnet subnet update --ids SUBNET --service-endpoints Microsoft.Storage` |',
  '| outbound access from an existing subnet | nothing, but nodes in private mode reach no registry | a NAT gateway, or a route to a firewall |',
  '| sizes that boot generation 2 images, as all sizes with premium disks do since version 3 | the machine | `az vm list-skus --location westeurope --size Standard_D2s_v5`, HyperVGenerations |',
  "| the jump host's subnet in the same virtual network as the nodes' subnet | the rule that lets the jump host reach the nodes | `bastionSubnetId` of a subnet in that network |",
  "| a network security group on an existing subnet that allows the nodes' traffic | nothing, but nodes do not reach each other | open the ports of kubeadm inside the subnet, and 22 and 6443 from administrators |",
  '| a resource group without machines of the same names | the machine | one cluster per resource group: machines have the names of their nodes |',
  "| read access for the control planes' identity to a disk encryption set | volumes of the Disk CSI driver with that key | `az role assignment create --role Reader --scope SET --assignee-object-id IDENTITY` |",
  '',
]
