/** Provisions demo over this machine's Terraform, as a process that a test can kill; every event is a line. Arguments: home. */
import {join} from 'node:path'
import {contextIn} from './local-cluster.ts'
import {demoProvider, outside} from './terraform-cluster.ts'
import {awsDemo} from './terraform-demo.ts'
import {terraformIn} from './with-terraform.ts'

const [home = ''] = process.argv.slice(2)
const around = outside({madeFile: join(home, 'made')})
const provider = demoProvider(around, (dir) => terraformIn(dir), join(home, 'tmp'))
const report = (event: object) => void process.stdout.write(`${JSON.stringify(event)}\n`)
await provider.provision(awsDemo(), {...contextIn(home, 'demo'), report})
