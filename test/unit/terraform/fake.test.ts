import {fakeTerraform} from '../../support/fake-terraform.ts'
import {terraformContract} from '../../support/terraform-contract.ts'

terraformContract('the fake', (dir) => Promise.resolve(fakeTerraform(dir)))
