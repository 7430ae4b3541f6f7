import fc from 'fast-check'
import {expect, test} from 'vitest'
import {computeRules} from '../support/azure-rules/compute.ts'
import {networkRules} from '../support/azure-rules/network.ts'
import {blocksOf, brokenRules, Found, textsOf} from '../support/azure-rules/rule.ts'
import {storageRules} from '../support/azure-rules/storage.ts'
import {anyAzureSpec, azureStack} from '../support/azure-stack.ts'
import {
  elementsOf,
  isTaggable,
  readTerraformSchema,
  schemaFile,
  schemaProblems,
} from '../support/terraform-schema.ts'

const schema = readTerraformSchema('azurerm')

/** Random specs with their stacks, made once; `asked` is what a failure shows. */
const samples = fc.sample(anyAzureSpec, 80).map((spec) => {
  const stack = azureStack(spec)
  const {provider, controlPlane, workers, network, access} = spec
  const asked = JSON.stringify({azure: provider.azure, controlPlane, workers, network, access})
  return {spec, stack, found: new Found(elementsOf(stack)), asked}
})

test('any spec gives what the schema of the provider takes', (context) => {
  if (schema === undefined) return context.skip(`${schemaFile('azurerm')} is not here`)
  for (const {stack, asked} of samples) expect(schemaProblems(stack, schema), asked).toEqual([])
})

test('any spec tags everything that takes tags', (context) => {
  if (schema === undefined) return context.skip(`${schemaFile('azurerm')} is not here`)
  for (const {spec, found, asked} of samples) {
    for (const {kind, type, body} of found.elements) {
      if (kind === 'resource' && isTaggable(schema, type))
        expect(body.tags, asked).toMatchObject({
          'clouder-cluster': spec.name,
          'clouder-managed-by': 'clouder',
        })
    }
  }
})

test('any spec keeps the rules that the schema does not say', () => {
  const rules = [...networkRules, ...computeRules, ...storageRules]
  for (const {found, asked} of samples) expect(brokenRules(found, rules), asked).toEqual([])
})

test('no spec lets anybody in but machines, probes and its administrators', () => {
  for (const {spec, found, asked} of samples) {
    const known = ['AzureLoadBalancer', ...spec.access.adminCidrs]
    const rules = found.of('azurerm_network_security_rule').map(({body}) => body)
    const letIn = rules.filter(({access}) => access === 'Allow')
    const sources = letIn.flatMap((body) => [
      ...textsOf(body.source_address_prefix),
      ...textsOf(body.source_address_prefixes),
    ])
    expect(letIn.length).toBeGreaterThan(5)
    expect(
      sources.filter((source) => !known.includes(source)),
      asked,
    ).toEqual([])
  }
})

test('every firewall of any spec refuses what no rule lets in', () => {
  for (const {found, asked} of samples) {
    const last = found
      .of('azurerm_network_security_rule')
      .filter(({body}) => body.access === 'Deny' && body.source_address_prefix === '*')
      .map(({body}) => found.behind(body.network_security_group_name)?.name)
    const firewalls = found.of('azurerm_network_security_group').map(({name}) => name)
    expect(last.sort(), asked).toEqual(firewalls.sort())
  }
})

test('no spec makes a storage account that has keys, public objects or an open firewall', () => {
  for (const {found, asked} of samples) {
    for (const {body} of found.of('azurerm_storage_account')) {
      expect(body, asked).toMatchObject({
        allow_nested_items_to_be_public: false,
        shared_access_key_enabled: false,
        min_tls_version: 'TLS1_2',
      })
      expect(blocksOf(body.network_rules), asked).toMatchObject([{default_action: 'Deny'}])
    }
  }
})

test('no spec gives a role an action that stands for many', () => {
  for (const {found, asked} of samples) {
    const actions = found
      .of('azurerm_role_definition')
      .flatMap(({body}) => blocksOf(body.permissions))
      .flatMap((one) => [...textsOf(one.actions), ...textsOf(one.data_actions)])
    expect(actions.length).toBeGreaterThan(10)
    expect(
      actions.filter((action) => action.includes('*')),
      asked,
    ).toEqual([])
  }
})

test('the same spec gives the same text, whatever was synthesised before', () => {
  for (const {spec, stack, asked} of samples.slice(0, 20))
    expect(JSON.stringify(azureStack(spec)), asked).toBe(JSON.stringify(stack))
})
