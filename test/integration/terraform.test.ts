import {terraformContract} from '../support/terraform-contract.ts'
import {terraformOrSkip} from '../support/with-terraform.ts'

terraformContract('the binary', terraformOrSkip)
