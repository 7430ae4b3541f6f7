import {terraformProviderContract} from '../support/terraform-provider-contract.ts'
import {terraformIn, terraformOrSkip} from '../support/with-terraform.ts'

terraformProviderContract('over the binary', async (context) => {
  await terraformOrSkip('/', context)
  return (dir: string) => terraformIn(dir)
})
