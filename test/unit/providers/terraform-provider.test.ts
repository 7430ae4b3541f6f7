import {fakeTerraform} from '../../support/fake-terraform.ts'
import {terraformProviderContract} from '../../support/terraform-provider-contract.ts'

terraformProviderContract('over the fake', () =>
  Promise.resolve((dir: string) => Promise.resolve(fakeTerraform(dir))),
)
