import {AzurermProvider} from '@cdktf/provider-azurerm/lib/provider/index.js'
import {balancersOf} from './azure/balancer.ts'
import {frameOf} from './azure/frame.ts'
import {identitiesOf} from './azure/identities.ts'
import {bastionOf, machinesOf} from './azure/machines.ts'
import {networkOf} from './azure/network.ts'
import {outputsOf} from './azure/outputs.ts'
import {securityOf} from './azure/security.ts'
import {storageOf} from './azure/storage.ts'
import type {StackInput, TerraformJson} from './input.ts'
import {synthesised} from './synth.ts'

/**
 * A cluster on Azure as Terraform's JSON. The same input gives the same text. Throws TypeError for a spec that its
 * rules should have refused.
 */
export function synthesiseAzure(input: StackInput): TerraformJson {
  return synthesised(input.spec, {name: 'azurerm', version: '~> 4.55'}, (stack) => {
    const {subscription} = input.spec.provider.azure
    new AzurermProvider(stack, 'azurerm', {
      ...(subscription === undefined ? {} : {subscriptionId: subscription}),
      // Accounts have no keys that the provider could use.
      storageUseAzuread: true,
      features: [
        {
          // What controllers of the cluster left behind is found and reported, not deleted unseen.
          resourceGroup: [{preventDeletionIfContainsResources: true}],
          // The firewall of the accounts need not admit whoever runs Terraform.
          storage: [{dataPlaneAvailable: false}],
        },
      ],
    })
    const frame = frameOf(stack, input)
    const network = networkOf(frame)
    const storage = storageOf(frame, network)
    const made = {
      network,
      storage,
      security: securityOf(frame),
      balancers: balancersOf(frame, network),
      identities: identitiesOf(frame, network, storage),
    }
    const machines = machinesOf(frame, made)
    const bastion = bastionOf(frame, made)
    const outputs: Readonly<Record<string, unknown>> = {...outputsOf(frame, {...made, machines, bastion})}
    // cdktf's own class for outputs makes Node warn of a deprecated function, on the terminal of the user.
    for (const [name, value] of Object.entries(outputs)) stack.addOverride(`output.${name}`, {value})
  })
}
