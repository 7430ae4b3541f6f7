import {spawnSync} from 'node:child_process'
import {expect, test} from 'vitest'
import {z} from 'zod'
import {machineSchema} from '../../src/spec/machine.ts'
import {blockOf, textOf} from '../support/azure-rules/rule.ts'
import {azureSpec, azureStack, BROUGHT, richSpec} from '../support/azure-stack.ts'
import {withTempFolder} from '../support/temp-folder.ts'
import {type Answers, rehearse} from '../support/terraform-rehearsal.ts'

const SUBSCRIPTION = 'AAAAAAAA-2222-3333-4444-555555555555'

/** Attributes that Azure and the provider fill in. */
const azureAnswers: Answers = ({kind, type, name, body}) => ({
  id: `/subscriptions/${SUBSCRIPTION}/resourceGroups/Group/providers/x/${type}/${name}`,
  ip_address: '198.51.100.9',
  private_ip_address: name === 'api-internal' ? '10.0.127.254' : '10.0.0.5',
  client_id: 'client',
  principal_id: `principal-${name}`,
  role_definition_resource_id: `role-${name}`,
  ...(kind === 'data' ? {subscription_id: SUBSCRIPTION, tenant_id: 'tenant', version: '0.1.2'} : {}),
  // Blocks are lists where something refers to them.
  ...(body.source_image_reference === undefined
    ? {}
    : {source_image_reference: [body.source_image_reference]}),
})

const hasTerraform = spawnSync('terraform', ['version']).status === 0

const outputsSchema = z.strictObject({
  machines: z.array(machineSchema.extend({cloudId: z.string(), imageId: z.string()})).nonempty(),
  endpoint: z.strictObject({internal: z.string(), external: z.string(), certSans: z.array(z.string())}),
  bastion: z.strictObject({address: z.string(), user: z.string(), cloudId: z.string()}).optional(),
  checkpoints: z.string(),
  addons: z.record(z.string(), z.string()),
})

test('Terraform works out the whole stack, and a second plan finds nothing to do', async (context) => {
  if (!hasTerraform) return context.skip('terraform is not on PATH')
  await withTempFolder(async (folder) => {
    const {outputs, resources} = await rehearse(azureStack(richSpec()), azureAnswers, folder)
    const {machines, endpoint, bastion, checkpoints} = outputsSchema.parse(outputs)
    expect(machines.map(({name}) => name)).toEqual([
      ...['cp-1', 'cp-2', 'cp-3', 'worker-1', 'worker-2', 'cheap-1', 'cheap-2', 'arm-1'],
    ])
    expect(machines[0]).toMatchObject({
      address: '10.0.0.5',
      providerId: `azure:///subscriptions/${SUBSCRIPTION.toLowerCase()}/resourceGroups/clouder-demo/providers/Microsoft.Compute/virtualMachines/cp-1`,
      imageId: 'Debian:debian-13:13-gen2:0.1.2',
    })
    expect(endpoint).toEqual({
      internal: '10.0.127.254:6443',
      external: '198.51.100.9:6443',
      certSans: ['10.0.127.254', '198.51.100.9'],
    })
    expect(bastion?.address).toBe('198.51.100.9')
    expect(checkpoints).toMatch(/^clobj[0-9a-f]{19}\/checkpoints$/)
    expect(resources['azurerm_storage_account.files']?.name).toMatch(/^clnfs[0-9a-f]{19}$/)
    expect(resources['azurerm_role_definition.disks']?.name).toMatch(/^clouder-demo-disks-[0-9a-f]{8}$/)
    const data = textOf(resources['azurerm_linux_virtual_machine.cp-2']?.custom_data)
    const text = Buffer.from(data, 'base64').toString('utf8')
    expect(text).toContain('ip address replace 10.0.127.254/32 dev lo')
    expect(text).not.toContain('@API_ADDRESS@')
  })
})

test('a cluster whose name an earlier one had is not in the way of the accounts which that one left', async (context) => {
  if (!hasTerraform) return context.skip('terraform is not on PATH')
  const stack = azureStack(azureSpec({sharedFiles: true, deletionPolicy: 'retain'}))
  const {terraform_data: own, azurerm_storage_account: accounts} = blockOf(stack.resource)
  const named = Object.entries(blockOf(accounts)).map(([key, body]) => [key, {name: blockOf(body).name}])
  const resource = {terraform_data: own, azurerm_storage_account: Object.fromEntries(named) as object}
  // Each folder has a state of its own, as every cluster has. That the second plan of one is empty, a rehearsal sees to.
  const seen: string[] = []
  const rehearsal = () =>
    withTempFolder(async (folder) => {
      const {resources} = await rehearse({resource, output: {any: {value: 1}}}, () => ({}), folder)
      const account = (key: string) => textOf(resources[`azurerm_storage_account.${key}`]?.name)
      seen.push(account('objects'), account('files'))
      expect(account('objects')).toMatch(/^clobj[0-9a-f]{19}$/)
      expect(account('files')).toMatch(/^clnfs[0-9a-f]{19}$/)
    })
  await rehearsal()
  await rehearsal()
  expect(new Set(seen).size).toBe(4)
})

test('Terraform works out a stack in a network that was brought', async (context) => {
  if (!hasTerraform) return context.skip('terraform is not on PATH')
  await withTempFolder(async (folder) => {
    const spec = azureSpec({
      resourceGroup: 'Shared-RG',
      network: {mode: 'public', existing: BROUGHT},
      api: 'internal',
      tags: {team: '${file("/etc/passwd")}'},
    })
    const {outputs, resources} = await rehearse(azureStack(spec), azureAnswers, folder)
    const {machines, bastion, addons} = outputsSchema.parse(outputs)
    expect(machines[0]?.address).toBe('198.51.100.9')
    expect(bastion).toBeUndefined()
    expect(addons).toMatchObject({vnet: 'Hub', subnet: 'nodes', tenantId: 'tenant'})
    const {tags, ip_configuration: configuration} = resources['azurerm_network_interface.cp-1'] ?? {}
    expect(tags).toMatchObject({team: '${file("/etc/passwd")}', 'clouder-cluster': 'demo'})
    expect(blockOf(configuration).subnet_id).toBe(BROUGHT.subnetId)
  })
})

test('Terraform says what is wrong with a stack that refers to nothing', async (context) => {
  if (!hasTerraform) return context.skip('terraform is not on PATH')
  await withTempFolder(async (folder) => {
    const wrong = {
      resource: {azurerm_subnet: {a: {name: '${azurerm_subnet.b.name}'}}},
      output: {a: {value: '${azurerm_subnet.a.id}'}},
    }
    await expect(rehearse(wrong, azureAnswers, folder)).rejects.toThrow(/azurerm_subnet__b/)
  })
})
