import {join} from 'node:path'
import {expect, test} from 'vitest'
import {made, names, only, outputs} from '../support/azure-made.ts'
import {blockOf, Found} from '../support/azure-rules/rule.ts'
import {type AzureSettings, azureSpec, azureStack, BROUGHT, richSpec} from '../support/azure-stack.ts'
import {elementsOf} from '../support/terraform-schema.ts'
import {expectGoldenFile} from '../templates/golden.ts'

const GOLDENS: readonly (readonly [string, ReturnType<typeof azureSpec>])[] = [
  ['default', azureSpec()],
  ['everything', richSpec()],
  [
    'brought',
    azureSpec(
      {
        subscription: '11111111-2222-3333-4444-555555555555',
        resourceGroup: 'Shared-RG',
        network: {mode: 'public', existing: BROUGHT},
        api: 'internal',
        image: 'ubuntu-24.04',
      },
      {
        state: {
          backend: 'azurerm',
          azurerm: {resourceGroup: 'tf', storageAccount: 'acc', container: 'state'},
        },
      },
    ),
  ],
]
for (const [name, spec] of GOLDENS) {
  test(`the whole stack is as its golden file says: ${name}`, () => {
    const file = join(import.meta.dirname, 'golden', `azure-${name}.json`)
    expectGoldenFile(file, `${JSON.stringify(azureStack(spec), undefined, 2)}\n`)
  })
}

test('workers get checkpoints and nothing else; control planes the network and disks too', () => {
  const grants = made({sharedFiles: true}).of('azurerm_role_assignment')
  const of = (role: string) =>
    grants
      .filter(({body}) => body.principal_id === `\${azurerm_user_assigned_identity.${role}.principal_id}`)
      .map(({name}) => name)
  expect(of('worker')).toEqual(['checkpoints-worker'])
  expect(of('control-plane')).toEqual([
    'cloud-provider',
    'disks',
    'checkpoints-control-plane',
    'backups-control-plane',
    'checkpoint-deletion',
    'files',
  ])
})

test('no worker may delete a blob, and no node a backup', () => {
  const found = made()
  const deleting = found
    .of('azurerm_role_definition')
    .filter(({body}) => JSON.stringify(body.permissions).includes('blobs/delete'))
    .map(({name}) => name)
  expect(deleting).toEqual(['checkpoint-deletion'])
  const grant = only(found, 'azurerm_role_assignment', 'checkpoint-deletion')
  expect(grant.scope).toBe('${azurerm_storage_container.checkpoints.id}')
})

test('checkpoints and backups lie in private containers and go after the days that the spec says', () => {
  const found = made({checkpointRetentionDays: 7})
  for (const name of ['checkpoints', 'backups'])
    expect(only(found, 'azurerm_storage_container', name).container_access_type).toBe('private')
  const [rule] = [blockOf(only(found, 'azurerm_storage_management_policy', 'objects').rule)]
  expect(blockOf(blockOf(rule.actions).base_blob).delete_after_days_since_modification_greater_than).toBe(7)
  expect(outputs().checkpoints.value).toBe('${azurerm_storage_account.objects.name}/checkpoints')
})

test('shared files are made only where they are asked for', () => {
  expect(names(made(), 'azurerm_storage_share')).toEqual([])
  expect(names(made({sharedFiles: true}), 'azurerm_storage_share')).toEqual(['shared'])
})

test('what holds data is not deleted by Terraform where the deletion policy is to retain it', () => {
  const protectedIn = (found: Found) =>
    found.elements
      .filter(({body}) => blockOf(body.lifecycle).prevent_destroy === true)
      .map(({type, name}) => `${type}.${name}`)
  expect(protectedIn(made({sharedFiles: true}))).toEqual([])
  expect(protectedIn(made({sharedFiles: true, deletionPolicy: 'retain'})).toSorted()).toEqual([
    'azurerm_resource_group.cluster',
    'azurerm_storage_account.files',
    'azurerm_storage_account.objects',
    'azurerm_storage_container.backups',
    'azurerm_storage_container.checkpoints',
    'azurerm_storage_share.shared',
  ])
})

test('tags of the user stand beside ours and have no say over them, nor over Terraform', () => {
  const tags = {team: '${file("/etc/passwd")}', 'clouder-cluster': 'other', '%{x}': 'y'}
  expect(only(made({tags}), 'azurerm_resource_group', 'cluster').tags).toEqual({
    team: '$${file("/etc/passwd")}',
    '%%{x}': 'y',
    'clouder-cluster': 'demo',
    'clouder-managed-by': 'clouder',
  })
})

test('a spec without location is refused', () => {
  const spec = azureSpec()
  const {location: _, ...azure} = spec.provider.azure
  expect(() => azureStack({...spec, provider: {...spec.provider, azure}})).toThrow(
    'location is not filled in',
  )
})

const BACKENDS: readonly (readonly [string, AzureSettings, object])[] = [
  ['local', {backend: 'local'}, {backend: {local: {path: 'terraform.tfstate'}}}],
  [
    's3',
    {backend: 's3', s3: {bucket: 'b', region: 'r'}},
    {
      backend: {
        s3: {bucket: 'b', region: 'r', key: 'clouder/demo.tfstate', encrypt: true, use_lockfile: true},
      },
    },
  ],
  [
    'azurerm',
    {backend: 'azurerm', azurerm: {resourceGroup: 'g', storageAccount: 'a', container: 'c', key: 'k'}},
    {
      backend: {
        azurerm: {
          resource_group_name: 'g',
          storage_account_name: 'a',
          container_name: 'c',
          key: 'k',
          use_azuread_auth: true,
        },
      },
    },
  ],
  [
    'remote',
    {backend: 'remote', remote: {organization: 'o'}},
    {cloud: {hostname: 'app.terraform.io', organization: 'o', workspaces: {name: 'clouder-demo'}}},
  ],
]
for (const [name, state, wanted] of BACKENDS) {
  test(`the state is kept where the spec says: ${name}`, () => {
    expect(azureStack(azureSpec({}, {state})).terraform).toEqual({
      required_version: name === 's3' ? '>= 1.10.0' : '>= 1.6.0',
      required_providers: {azurerm: {source: 'hashicorp/azurerm', version: '~> 4.55'}},
      ...wanted,
    })
  })
}

test('each of fifty workers adds as much to the stack as the second one', () => {
  const of = (count: number) =>
    elementsOf(azureStack(azureSpec({}, {controlPlane: {count: 3}, workers: [{name: 'worker', count}]})))
  const [one, two, fifty] = [of(1), of(2), of(50)]
  expect(fifty.length - one.length).toBe(49 * (two.length - one.length))
  expect(new Found(fifty).of('azurerm_linux_virtual_machine')).toHaveLength(54)
})
